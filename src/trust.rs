//! Which certificate authorities are trusted: the system's store, or SSL_CERT_FILE in its place,
//! plus a file of the configuration. Loaded once for all of AWS and the registries.

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::model::{outcome::Problem, reason::Reason};

static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
});

/// The trusted authorities; none at all is a reason, not a panic.
pub fn roots(extra: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut store = SYSTEM.clone();
    if let Some(path) = extra {
        for certificate in certificates(path)? {
            store.add(certificate).map_err(|error| unusable(path, &error.to_string()))?;
        }
    }
    if store.is_empty() {
        return Err(Problem::new(Reason::TlsNoTrustStore, "the system's store is empty"));
    }
    Ok(store)
}

/// TLS for a client that trusts those authorities.
pub fn client(extra: Option<&Path>) -> Result<Arc<ClientConfig>, Problem> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(Reason::TlsNoTrustStore, error.to_string()))?
        .with_root_certificates(roots(extra)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificates of a PEM file, as PEM that is known to be good.
pub fn pem(path: &Path) -> Result<Vec<u8>, Problem> {
    certificates(path)?;
    fs::read(path).map_err(|error| unusable(path, &error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unusable(path, &error.to_string()))?
        .collect();
    let found = found.map_err(|error| unusable(path, &error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in &found {
        store.add(certificate.clone()).map_err(|error| unusable(path, &error.to_string()))?;
    }
    if found.is_empty() {
        return Err(unusable(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn unusable(path: &Path, why: &str) -> Problem {
    Problem::new(Reason::TlsNoTrustStore, format!("{}: {why}", path.display()))
}
