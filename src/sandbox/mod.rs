//! AWS and a registry on loopback, for `demo` and the tests: the calls that are used, with ECR's
//! own status codes and bodies, a token life in seconds, and faults on demand. It never sends a
//! reason code of ours.

mod aws;
mod history;
mod image;
mod policies;
mod refusals;
mod registry;
mod storage;
mod uploads;
mod upstream;
mod world;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use self::upstream::Upstream;
use self::world::World;

/// What is to be had.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the AWS endpoint listens; plain HTTP.
    pub aws: SocketAddr,
    /// Where the registry listens; TLS.
    pub registry: SocketAddr,
    /// The registry's host names, for its certificate and its challenge.
    pub hosts: Vec<String>,
    /// How long a token lives.
    pub token_life: Duration,
    /// Where the certificate of the registry's authority is written, PEM.
    pub ca_file: PathBuf,
    /// What is the matter with the registry's certificate.
    pub certificate: Certificate,
    /// A registry whose images are served in place of the sandbox's own.
    pub upstream: Option<Upstream>,
}

/// A certificate as it should be, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// As it should be.
    #[default]
    Good,
    /// Past its time.
    Expired,
    /// Before its time.
    NotYetValid,
    /// For somebody else.
    WrongName,
}

/// A running sandbox. It ends with the runtime.
#[derive(Debug)]
pub struct Sandbox {
    /// The AWS endpoint's address.
    pub aws: SocketAddr,
    /// The registry's address.
    pub registry: SocketAddr,
}

/// Starts it.
pub async fn start(options: &Options) -> io::Result<Sandbox> {
    let tls = certificate(options)?;
    let storage = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let world = Arc::new(World::new(
        options.token_life,
        options.hosts.first().cloned().unwrap_or_default(),
        storage.local_addr()?.to_string(),
        options.upstream.clone(),
    ));
    let aws = TcpListener::bind(options.aws).await?;
    let registry = TcpListener::bind(options.registry).await?;
    let sandbox = Sandbox { aws: aws.local_addr()?, registry: registry.local_addr()? };
    tokio::spawn(serve_aws(aws, Arc::clone(&world)));
    tokio::spawn(serve_storage(storage, TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&world)));
    tokio::spawn(serve_registry(registry, TlsAcceptor::from(tls), world));
    Ok(sandbox)
}

async fn serve_aws(listener: TcpListener, world: Arc<World>) {
    while let Ok((stream, _)) = listener.accept().await {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let service = service_fn(move |request| aws::answer(request, Arc::clone(&world)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve_registry(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (world, tls) = (Arc::clone(&world), tls.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| registry::answer(request, Arc::clone(&world)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve_storage(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (world, tls) = (Arc::clone(&world), tls.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| storage::answer(request, Arc::clone(&world)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An authority for this run, and a certificate of it for the registry's names.
fn certificate(options: &Options) -> io::Result<Arc<ServerConfig>> {
    let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let ca_key = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
    let mut ca = rcgen::CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "ecr-warden sandbox");
    let ca_certificate = ca.self_signed(&ca_key).map_err(|error| failed(&error))?;
    std::fs::write(&options.ca_file, ca_certificate.pem())?;
    let mut names = options.hosts.clone();
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    names.extend(options.upstream.iter().map(|upstream| upstream.storage.clone()));
    if options.certificate == Certificate::WrongName {
        names = vec!["somebody.else.example".to_owned()];
    }
    let key = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
    let mut leaf = rcgen::CertificateParams::new(names).map_err(|error| failed(&error))?;
    match options.certificate {
        Certificate::Expired => leaf.not_after = rcgen::date_time_ymd(2020, 1, 1),
        Certificate::NotYetValid => leaf.not_before = rcgen::date_time_ymd(2100, 1, 1),
        Certificate::Good | Certificate::WrongName => {}
    }
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf = leaf.signed_by(&key, &issuer).map_err(|error| failed(&error))?;
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed(&error))?;
    Ok(Arc::new(config))
}
