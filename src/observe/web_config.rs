//! `web_config_file`: TLS and basic authentication in the format of Prometheus's exporter-toolkit
//! (its docs/web-configuration.md). Read again when it or a certificate has changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::model::{outcome::Problem, reason::Reason};

/// Files are looked at again at most this often.
const LOOK: Duration = Duration::from_secs(5);

/// So many right passwords are remembered, as digests: bcrypt is slow on purpose.
const REMEMBERED: usize = 64;

/// A hash that no password has, so that an unknown user costs as much time as a known one.
const NOBODY: &str = "$2y$10$XlIFaw3IfLRhKP.OPspIsuNrLDxHpYJ1ZV5VIMcW3dv0EsrqISTWa";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<Tls>,
    basic_auth_users: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_auth_type: Option<String>,
    client_ca_file: Option<PathBuf>,
    min_version: Option<String>,
}

/// What the file says, ready for use.
#[derive(Clone, Default)]
struct Current {
    tls: Option<Arc<ServerConfig>>,
    users: BTreeMap<String, String>,
    stamp: Vec<Option<SystemTime>>,
    files: Vec<PathBuf>,
}

/// The file, followed.
pub struct WebConfig {
    path: PathBuf,
    state: Mutex<(Current, Instant)>,
    known: Mutex<Vec<[u8; 32]>>,
}

impl WebConfig {
    /// Reads the file; it must be right at the start.
    pub fn load(path: &Path) -> Result<Self, Problem> {
        let current = read(path)?;
        let state = Mutex::new((current, Instant::now()));
        Ok(Self { path: path.to_owned(), state, known: Mutex::default() })
    }

    fn current(&self) -> Current {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1.elapsed() > LOOK {
            state.1 = Instant::now();
            if stamp(&state.0.files) != state.0.stamp {
                match read(&self.path) {
                    Ok(current) => {
                        state.0 = current;
                        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                    // The old one stays in force; it is said at each change, not at each request.
                    Err(problem) => {
                        tracing::warn!(
                            reason = problem.reason.code(),
                            detail = problem.detail,
                            "{}",
                            problem.reason.text()
                        );
                        state.0.stamp = stamp(&state.0.files);
                    }
                }
            }
        }
        state.0.clone()
    }

    /// TLS for a new connection, if the file asks for it.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.current().tls
    }

    /// Whether a request with this Authorization header may pass. Slow: call it where it may block.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let users = self.current().users;
        if users.is_empty() {
            return true;
        }
        let Some(basic) = authorization.and_then(|value| value.strip_prefix("Basic ")) else {
            return false;
        };
        let digest: [u8; 32] = Sha256::digest(basic.as_bytes()).into();
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let plain = Zeroizing::new(STANDARD.decode(basic).unwrap_or_default());
        let plain = std::str::from_utf8(&plain).unwrap_or_default();
        let (user, password) = plain.split_once(':').unwrap_or_default();
        let hash = users.get(user);
        let right = bcrypt::verify(password, hash.map_or(NOBODY, String::as_str)).unwrap_or(false);
        if right && hash.is_some() {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.remove(0);
            }
            known.push(digest);
            return true;
        }
        false
    }
}

fn stamp(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files
        .iter()
        .map(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok())
        .collect()
}

fn read(path: &Path) -> Result<Current, Problem> {
    let wrong =
        |why: String| Problem::new(Reason::WebConfigInvalid, format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let file: Option<File> =
        serde_yaml_ng::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let file = file.unwrap_or_default();
    let mut files = vec![path.to_owned()];
    let users = file.basic_auth_users.unwrap_or_default();
    for (user, hash) in &users {
        if hash.parse::<bcrypt::HashParts>().is_err() {
            return Err(wrong(format!("basic_auth_users.{user} is no bcrypt hash")));
        }
    }
    let tls = match file.tls_server_config {
        Some(tls) => {
            // Paths are relative to the file, as in the exporter-toolkit.
            let folder = path.parent().unwrap_or(Path::new("/"));
            files.extend([folder.join(&tls.cert_file), folder.join(&tls.key_file)]);
            files.extend(tls.client_ca_file.as_ref().map(|file| folder.join(file)));
            Some(server(&tls, folder).map_err(wrong)?)
        }
        None => None,
    };
    let stamp = stamp(&files);
    Ok(Current { tls, users, stamp, files })
}

fn server(tls: &Tls, folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let read = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| told(path, &error))
    };
    let (cert, key) = (folder.join(&tls.cert_file), folder.join(&tls.key_file));
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.min_version.as_deref() {
        None | Some("TLS12") => &[&rustls::version::TLS12, &rustls::version::TLS13],
        Some("TLS13") => &[&rustls::version::TLS13],
        Some(other) => {
            return Err(format!("min_version {other} is not offered; use TLS12 or TLS13"));
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match tls.client_auth_type.as_deref() {
        None | Some("" | "NoClientCert") => builder.with_no_client_auth(),
        Some(kind @ ("RequireAndVerifyClientCert" | "VerifyClientCertIfGiven")) => {
            let ca = tls.client_ca_file.as_ref().ok_or(format!("{kind} needs client_ca_file"))?;
            let ca = folder.join(ca);
            let mut roots = RootCertStore::empty();
            for certificate in read(&ca)? {
                roots.add(certificate).map_err(|error| told(&ca, &error))?;
            }
            let mut verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            if kind == "VerifyClientCertIfGiven" {
                verifier = verifier.allow_unauthenticated();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|error| told(&ca, &error))?)
        }
        Some(other) => {
            return Err(format!(
                "client_auth_type {other} is not offered; it would admit unverified clients"
            ));
        }
    };
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|error| told(&key, &error))?;
    let config =
        builder.with_single_cert(read(&cert)?, key_der).map_err(|error| told(&cert, &error))?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_known_one() {
        // A hash that can't be parsed would be refused at once.
        assert_eq!(bcrypt::verify("x", NOBODY).ok(), Some(false));
    }

    #[test]
    fn only_a_user_with_the_right_password_passes() {
        let hash = bcrypt::hash("right", 4).unwrap();
        let (_folder, path) = file(&format!("basic_auth_users:\n  prometheus: {hash}\n"));
        let config = WebConfig::load(&path).unwrap();
        assert!(config.admits(Some(&basic("prometheus", "right"))));
        assert!(config.admits(Some(&basic("prometheus", "right"))), "also when it is remembered");
        assert!(!config.admits(Some(&basic("prometheus", "wrong"))));
        assert!(!config.admits(Some(&basic("other", "right"))));
        assert!(!config.admits(Some("Bearer x")));
        assert!(!config.admits(None));
    }

    #[test]
    fn an_empty_file_asks_for_nothing() {
        let (_folder, path) = file("");
        let config = WebConfig::load(&path).unwrap();
        assert!(config.tls().is_none() && config.admits(None));
    }

    #[test]
    fn a_file_that_is_not_right_is_refused_with_what_is_wrong() {
        for (text, words) in [
            ("basic_auth_user: {}", "unknown field"),
            ("basic_auth_users: {a: plain}", "no bcrypt hash"),
            ("tls_server_config: {cert_file: none.pem, key_file: none.pem}", "none.pem"),
            (
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}",
                "not offered",
            ),
            ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}", "not offered"),
        ] {
            let (_folder, path) = file(text);
            let problem = WebConfig::load(&path).err().unwrap();
            assert_eq!(problem.reason, Reason::WebConfigInvalid);
            assert!(problem.detail.contains(words), "{}", problem.detail);
        }
    }
}
