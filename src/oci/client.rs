//! `GET /v2/`: one connection made by hand, so that the stage of a failure is known.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::OnceLock,
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::{client::proxy::matcher::Matcher, rt::TokioIo};
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Acceptance, TokenCheck,
    challenge::Bearer,
    error::{self, Failure},
};
use crate::{
    model::{outcome::Problem, reason::Reason, token::AuthorizationToken},
    trust,
};

const RESOLVE: u64 = 5;
const CONNECT: u64 = 5;
const HANDSHAKE: u64 = 5;
const ANSWER: u64 = 10;

/// The longest refusal that is read.
const LONGEST: usize = 64 * 1024;

/// An answer, as far as it matters here.
struct Heard {
    status: StatusCode,
    bearer: Option<Bearer>,
    body: Vec<u8>,
}

/// Tries tokens over HTTPS.
pub struct Client {
    ca_file: Option<PathBuf>,
    proxy: Option<SecretString>,
    tls: OnceLock<Result<TlsConnector, Problem>>,
}

impl Client {
    /// Trusts the system's authorities and those of `ca_file`; goes through `proxy`, else
    /// HTTPS_PROXY, and NO_PROXY counts for both. Nothing is loaded before the first check.
    pub fn new(ca_file: Option<&Path>, proxy: Option<&SecretString>) -> Self {
        Self { ca_file: ca_file.map(Path::to_owned), proxy: proxy.cloned(), tls: OnceLock::new() }
    }

    async fn ask(
        &self,
        host: &str,
        path: &str,
        token: &AuthorizationToken,
    ) -> Result<Heard, Failure> {
        let mut value = HeaderValue::from_str(&format!("Basic {}", token.base64().expose_secret()))
            .map_err(|_| Failure::Exchange("the token is no header value".to_owned()))?;
        value.set_sensitive(true);
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("ecr-warden/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, value)
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::Exchange(error.to_string()))?;
        let stream = self.connect(host).await?;
        within("answer", ANSWER, async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| Failure::Exchange(error.to_string()))?;
            let exchange = async {
                let answer = sender.send_request(request).await?;
                let (status, bearer) = (answer.status(), Bearer::of(answer.headers()));
                let body = body(answer.into_body()).await;
                Ok::<_, hyper::Error>(Heard { status, bearer, body })
            };
            tokio::pin!(exchange);
            tokio::select! {
                answer = &mut exchange => answer,
                ended = connection => match ended {
                    // The connection is done; what it brought is at hand.
                    Ok(()) => exchange.await,
                    Err(error) => Err(error),
                },
            }
            .map_err(|error| Failure::Exchange(error.to_string()))
        })
        .await
    }

    async fn connect(&self, host: &str) -> Result<TlsStream<TcpStream>, Failure> {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().unwrap_or(443)),
            None => (host, 443),
        };
        let tls =
            self.tls.get_or_init(|| trust::client(self.ca_file.as_deref()).map(TlsConnector::from));
        let tls = tls.as_ref().map_err(|problem| Failure::Trust(problem.clone()))?;
        let stream = match self.proxy_for(name, port) {
            Some(proxy) => tunnel(&proxy, name, port).await?,
            None => tcp(name, port).await?,
        };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| Failure::Tls(error.to_string()))?;
        within("TLS handshake", HANDSHAKE, async {
            tls.connect(server, stream).await.map_err(|error| Failure::Tls(error::words(&error)))
        })
        .await
    }

    fn proxy_for(
        &self,
        name: &str,
        port: u16,
    ) -> Option<hyper_util::client::proxy::matcher::Intercept> {
        let target: Uri = format!("https://{name}:{port}/").parse().ok()?;
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

impl TokenCheck for Client {
    fn check<'a>(
        &'a self,
        host: &'a str,
        token: &'a AuthorizationToken,
    ) -> Pin<Box<dyn Future<Output = Acceptance> + Send + 'a>> {
        Box::pin(async move {
            let heard = match self.ask(host, "/v2/", token).await {
                Ok(heard) => heard,
                Err(failure) => return Acceptance::Unknown(failure.at(host)),
            };
            // ECR Public exchanges the password for a Bearer token: whether it would is the answer.
            let Some(bearer) = heard.bearer.filter(|_| heard.status == StatusCode::UNAUTHORIZED)
            else {
                return verdict(host, heard.status, &heard.body);
            };
            let Some(path) = bearer.path_at(host) else {
                let detail = format!("{host} sends its clients to {}", bearer.realm());
                return Acceptance::Unknown(Problem::new(Reason::RegistryUnhealthy, detail));
            };
            match self.ask(host, &path, token).await {
                Ok(heard) => verdict(host, heard.status, &heard.body),
                Err(failure) => Acceptance::Unknown(failure.at(host)),
            }
        })
    }
}

/// What an answer means. ECR: 200 for a good token, 401 for garbled credentials, 403 for an
/// expired token (without a challenge), 400 or 403 for one of another region.
fn verdict(host: &str, status: StatusCode, body: &[u8]) -> Acceptance {
    let detail = || {
        let said = error::said(body);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{host} answered {}{colon}{said}", status.as_u16())
    };
    match status.as_u16() {
        200 => Acceptance::Accepted,
        400 | 401 | 403 => Acceptance::Refused(Problem::new(Reason::TokenRefused, detail())),
        _ => Acceptance::Unknown(Problem::new(Reason::RegistryUnhealthy, detail())),
    }
}

async fn tcp(name: &str, port: u16) -> Result<TcpStream, Failure> {
    let addresses: Vec<_> = within("name resolution", RESOLVE, async {
        let found = lookup_host((name, port)).await;
        found.map(Iterator::collect).map_err(|error| Failure::Resolve(error::words(&error)))
    })
    .await?;
    let mut last = Failure::Resolve("there is no address".to_owned());
    for address in addresses {
        let tried = within("connect", CONNECT, async {
            TcpStream::connect(address)
                .await
                .map_err(|error| Failure::Connect(format!("{address}: {}", error::words(&error))))
        });
        match tried.await {
            Ok(stream) => return Ok(stream),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// CONNECT through a proxy (RFC 9110, section 9.3.6). The registry's credential never goes there.
async fn tunnel(
    proxy: &hyper_util::client::proxy::matcher::Intercept,
    name: &str,
    port: u16,
) -> Result<TcpStream, Failure> {
    let address = proxy.uri();
    let proxy_name = address.host().unwrap_or_default().to_owned();
    let mut stream =
        tcp(&proxy_name, address.port_u16().unwrap_or(80)).await.map_err(|failure| {
            Failure::Proxy(format!("nothing, {proxy_name} can't be reached: {failure}"))
        })?;
    let mut request =
        format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n").into_bytes();
    if let Some(credentials) = proxy.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(credentials.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    within("proxy", CONNECT, async {
        let broken = |error: std::io::Error| Failure::Proxy(error::words(&error));
        stream.write_all(&request).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < 8192 {
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(error) => return Err(broken(error)),
            }
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default().to_owned();
        if line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
            Ok(stream)
        } else {
            Err(Failure::Proxy(line))
        }
    })
    .await
}

/// The body as far as it is of interest; a body that breaks off is one that ends there.
async fn body(body: Incoming) -> Vec<u8> {
    let mut body = Limited::new(body, LONGEST);
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read
}

async fn within<T>(
    stage: &'static str,
    seconds: u64,
    what: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(Duration::from_secs(seconds), what).await.unwrap_or(Err(Failure::Slow(stage, seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(acceptance: &Acceptance) -> &'static str {
        match acceptance {
            Acceptance::Accepted => "accepted",
            Acceptance::Refused(problem) | Acceptance::Unknown(problem) => problem.reason.code(),
        }
    }

    #[test]
    fn each_answer_of_a_registry_has_its_meaning() {
        for (status, meaning) in [
            (200, "accepted"),
            (401, "token_refused"),
            (403, "token_refused"),
            (400, "token_refused"),
            (429, "registry_unhealthy"),
            (500, "registry_unhealthy"),
            (307, "registry_unhealthy"),
        ] {
            let answer = verdict("h", StatusCode::from_u16(status).unwrap(), b"");
            assert_eq!(word(&answer), meaning, "{status}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_is_not_there_is_unknown_and_never_refused() {
        let token = AuthorizationToken::of("AWS", &SecretString::from("x"));
        let client = Client::new(None, None);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let answer = client.check(&closed.to_string(), &token).await;
        assert!(matches!(answer, Acceptance::Unknown(_)), "{answer:?}");
        let answer = client.check("no-such-host.invalid", &token).await;
        assert!(
            matches!(&answer, Acceptance::Unknown(problem) if problem.reason == Reason::NameUnresolved),
            "{answer:?}"
        );
    }
}
