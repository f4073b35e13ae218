//! A connection made by hand: each stage is awaited on its own, so that the stage of a failure is
//! known, and timed on its own.

use std::{
    fmt::Display,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    error::{Failure, Untrusted, words},
    origin::Origin,
    phases::{Phase, Timings},
};
use crate::{model::outcome::Problem, trust};

/// rustls reads four KiB at a time; a layer wants fewer system calls than that.
const READ_AHEAD: usize = 128 * 1024;

/// The longest answer of a proxy that is read.
const LONGEST_PROXY_ANSWER: usize = 8192;

/// The stream that a request goes over.
pub(super) type Stream = TlsStream<BufReader<TcpStream>>;

/// How long each stage is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Name resolution.
    pub resolve: Duration,
    /// TCP, for each address, and the proxy.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// From the request to the head of its answer.
    pub answer: Duration,
    /// A body that stands still.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            resolve: seconds(5),
            connect: seconds(5),
            handshake: seconds(5),
            answer: seconds(10),
            stall: seconds(15),
        }
    }
}

/// What is seen on the way, also when it leads nowhere.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) timings: Timings,
    pub(super) address: Option<SocketAddr>,
    pub(super) proxy: Option<String>,
    pub(super) certificate_until: Option<Timestamp>,
}

/// Makes connections.
pub(super) struct Connector {
    ca_file: Option<PathBuf>,
    proxy: Option<SecretString>,
    tls: OnceLock<Result<TlsConnector, Problem>>,
    pub(super) patience: Patience,
}

impl Connector {
    pub(super) fn new(ca_file: Option<&Path>, proxy: Option<&SecretString>) -> Self {
        Self {
            ca_file: ca_file.map(Path::to_owned),
            proxy: proxy.cloned(),
            tls: OnceLock::new(),
            patience: Patience::default(),
        }
    }

    pub(super) async fn connect(&self, to: &Origin, way: &mut Way) -> Result<Stream, Failure> {
        let tls =
            self.tls.get_or_init(|| trust::client(self.ca_file.as_deref()).map(TlsConnector::from));
        let tls =
            tls.as_ref().map_err(|problem| Failure::Trust { words: problem.detail.clone() })?;
        let stream = match self.proxy_for(to) {
            Some(proxy) => self.tunnel(&proxy, to, way).await?,
            None => self.tcp(&to.name, to.port, way).await?,
        };
        let server = ServerName::try_from(to.name.clone()).map_err(|error| Failure::Tls {
            why: Untrusted::WrongName,
            words: error.to_string(),
        })?;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let stream = timed(way, Phase::Tls, self.patience.handshake, async {
            tls.connect(server, stream).await.map_err(|error| Failure::tls(&error))
        })
        .await?;
        way.certificate_until = until(stream.get_ref().1.peer_certificates().unwrap_or_default());
        Ok(stream)
    }

    async fn tcp(&self, name: &str, port: u16, way: &mut Way) -> Result<TcpStream, Failure> {
        let addresses: Vec<SocketAddr> = timed(way, Phase::Resolve, self.patience.resolve, async {
            let found = lookup_host((name, port)).await;
            found.map(Iterator::collect).map_err(|error| Failure::resolve(&error))
        })
        .await?;
        let mut last = Failure::resolve(&std::io::Error::other("Name has No address associated"));
        for address in addresses {
            way.address = Some(address);
            let tried = timed(way, Phase::Connect, self.patience.connect, async {
                TcpStream::connect(address).await.map_err(|error| Failure::connect(address, &error))
            });
            match tried.await {
                Ok(stream) => {
                    // A request is one small write: nothing is gained by holding it back.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// CONNECT through a proxy (RFC 9110, section 9.3.6). The registry's credential never goes there.
    async fn tunnel(
        &self,
        proxy: &Intercept,
        to: &Origin,
        way: &mut Way,
    ) -> Result<TcpStream, Failure> {
        let address = proxy.uri();
        let host = address.host().unwrap_or_default().to_owned();
        let refused = |status: Option<u16>, words: &dyn Display| Failure::Proxy {
            proxy: host.clone(),
            status,
            words: words.to_string(),
        };
        way.proxy = Some(host.clone());
        let port = address.port_u16().unwrap_or(80);
        let mut stream = self.tcp(&host, port, way).await.map_err(|failure| {
            refused(None, &format_args!("nothing, it can't be reached: {failure}"))
        })?;
        let Origin { name, port } = to;
        let mut request =
            format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n").into_bytes();
        if let Some(credentials) = proxy.basic_auth() {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(credentials.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let exchange = async {
            let broken = |error: std::io::Error| refused(None, &words(&error));
            stream.write_all(&request).await.map_err(broken)?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") && answer.len() < LONGEST_PROXY_ANSWER {
                answer.push(stream.read_u8().await.map_err(broken)?);
            }
            let line = String::from_utf8_lossy(&answer);
            let line = line.lines().next().unwrap_or_default().to_owned();
            match line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
                Some(200..=299) => Ok(stream),
                status => Err(refused(status, &line)),
            }
        };
        match timed(way, Phase::Connect, self.patience.connect, exchange).await {
            Err(Failure::Slow { seconds, .. }) => {
                Err(refused(None, &format_args!("nothing within {seconds} s")))
            }
            other => other,
        }
    }

    /// `proxy` of the configuration, else HTTPS_PROXY; NO_PROXY counts for both.
    fn proxy_for(&self, to: &Origin) -> Option<Intercept> {
        let target: Uri = format!("https://{}:{}/", to.name, to.port).parse().ok()?;
        let matcher = match &self.proxy {
            Some(proxy) => {
                let no = std::env::var("no_proxy").or_else(|_| std::env::var("NO_PROXY"));
                Matcher::builder().https(proxy.expose_secret()).no(no.unwrap_or_default()).build()
            }
            None => Matcher::from_env(),
        };
        matcher.intercept(&target)
    }
}

/// When the first certificate of a chain expires.
fn until(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let expiry = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
    };
    chain.iter().filter_map(expiry).min()
}

/// Awaits a stage for so long, and notes how long it took.
pub(super) async fn timed<T>(
    way: &mut Way,
    phase: Phase,
    patience: Duration,
    what: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let since = Instant::now();
    let seconds = patience.as_secs();
    let done = timeout(patience, what).await.unwrap_or(Err(Failure::Slow { phase, seconds }));
    way.timings.add(phase, since.elapsed());
    done
}
