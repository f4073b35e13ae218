//! Where a request to a registry failed, and the words of those who answered.

use std::{error::Error, io};

use serde::{Deserialize, Serialize};

use super::phases::Phase;
use crate::model::{outcome::Problem, reason::Reason};

/// A failure with its stage, which is known because each stage is awaited on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The name was not resolved.
    #[error("the name was not resolved: {words}")]
    Resolve {
        /// In what way.
        why: Unresolved,
        /// The resolver's words.
        words: String,
    },
    /// No connection.
    #[error("no connection: {words}")]
    Connect {
        /// In what way.
        why: Unconnected,
        /// The system's words, with the address.
        words: String,
    },
    /// The proxy did not open a tunnel.
    #[error("the proxy {proxy} answered {words}")]
    Proxy {
        /// Its host.
        proxy: String,
        /// The status of its answer, if it gave one.
        status: Option<u16>,
        /// Its words.
        words: String,
    },
    /// No TLS.
    #[error("no TLS: {words}")]
    Tls {
        /// In what way.
        why: Untrusted,
        /// The words of the TLS library.
        words: String,
    },
    /// The exchange broke off before the head of an answer.
    #[error("the exchange broke off: {words}")]
    Exchange {
        /// In what way.
        why: Broken,
        /// The words of the HTTP library.
        words: String,
    },
    /// The body broke off.
    #[error("the body broke off after {received} bytes: {words}")]
    Body {
        /// In what way.
        why: Broken,
        /// How much of it had come.
        received: u64,
        /// The words of the HTTP library.
        words: String,
    },
    /// A redirect that is not followed.
    #[error("the redirect can't be followed: {words}")]
    Redirect {
        /// Where to, and why not.
        words: String,
    },
    /// A phase took too long; a body that stands still counts as one.
    #[error("no answer within {seconds} s ({})", .phase.word())]
    Slow {
        /// Which.
        phase: Phase,
        /// How long was waited.
        seconds: u64,
    },
    /// Everything had its time, and in this phase it was over.
    #[error("time was up ({})", .phase.word())]
    Unfinished {
        /// Which.
        phase: Phase,
    },
    /// The trust store can't be used.
    #[error("{words}")]
    Trust {
        /// Why not.
        words: String,
    },
}

/// How a name was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unresolved {
    /// The resolver says that there is no such name.
    NoSuchName,
    /// The resolver failed or did not answer.
    Failing,
    /// Neither can be told.
    Other,
}

/// How no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unconnected {
    /// Refused or reset by the other side, or by a firewall in its name.
    Refused,
    /// There is no route.
    Unreachable,
    /// Nothing came back.
    TimedOut,
    /// Something else.
    Other,
}

/// What is wrong with a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untrusted {
    /// Signed by an authority that is not trusted here.
    UnknownAuthority,
    /// The certificate is past its time.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
    /// It is for other names.
    WrongName,
    /// It is no good in some other way.
    Certificate,
    /// The handshake itself broke off.
    Handshake,
}

/// How an exchange broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// The other side hung up.
    HungUp,
    /// The connection was reset.
    Reset,
    /// What came is not HTTP.
    NotHttp,
    /// Something else.
    Other,
}

impl Failure {
    /// As a problem with this host, in the token check's words.
    pub(super) fn at(&self, host: &str) -> Problem {
        let reason = match self {
            Self::Resolve { .. } => Reason::NameUnresolved,
            Self::Proxy { .. } => Reason::ProxyRefused,
            Self::Tls { why, .. } if *why != Untrusted::Handshake => Reason::TlsUntrusted,
            Self::Trust { words } => return Problem::new(Reason::TlsNoTrustStore, words.clone()),
            _ => Reason::RegistryUnreachable,
        };
        Problem::new(reason, format!("{host}: {self}"))
    }

    /// A failed resolution. The C library tells apart in words alone; glibc's and musl's are known.
    pub(super) fn resolve(error: &io::Error) -> Self {
        let words = words(error);
        let any = |list: &[&str]| list.iter().any(|one| words.contains(one));
        let why = if any(&["not known", "does not resolve", "No address associated"]) {
            Unresolved::NoSuchName
        } else if any(&["Temporary failure", "Try again", "Non-recoverable", "recoverable failure"])
        {
            Unresolved::Failing
        } else {
            Unresolved::Other
        };
        Self::Resolve { why, words }
    }

    /// A failed connect.
    pub(super) fn connect(address: std::net::SocketAddr, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let why = match error.kind() {
            Kind::ConnectionRefused | Kind::ConnectionReset | Kind::ConnectionAborted => {
                Unconnected::Refused
            }
            Kind::HostUnreachable | Kind::NetworkUnreachable => Unconnected::Unreachable,
            Kind::TimedOut => Unconnected::TimedOut,
            _ => Unconnected::Other,
        };
        Self::Connect { why, words: format!("{address}: {}", words(error)) }
    }

    /// A failed handshake.
    pub(super) fn tls(error: &io::Error) -> Self {
        use rustls::CertificateError as Certificate;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let why = match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
                Certificate::UnknownIssuer => Untrusted::UnknownAuthority,
                Certificate::Expired | Certificate::ExpiredContext { .. } => Untrusted::Expired,
                Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                    Untrusted::NotYetValid
                }
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                    Untrusted::WrongName
                }
                _ => Untrusted::Certificate,
            },
            _ => Untrusted::Handshake,
        };
        Self::Tls { why, words: words(error) }
    }

    /// An exchange that broke off before its head came.
    pub(super) fn exchange(error: &hyper::Error) -> Self {
        Self::Exchange { why: broken(error), words: chain(error) }
    }

    /// A body that broke off.
    pub(super) fn body(error: &hyper::Error, received: u64) -> Self {
        Self::Body { why: broken(error), received, words: chain(error) }
    }
}

fn broken(error: &hyper::Error) -> Broken {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Broken::Reset,
        Some(io::ErrorKind::UnexpectedEof) => Broken::HungUp,
        _ if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
            Broken::HungUp
        }
        _ if error.is_parse() => Broken::NotHttp,
        _ => Broken::Other,
    }
}

fn chain(error: &hyper::Error) -> String {
    let words = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    // The TLS library adds a link for programmers.
    words.split(": https://").next().unwrap_or_default().to_owned()
}

/// An I/O error of a TLS handshake or a connect, in one line.
pub(super) fn words(error: &io::Error) -> String {
    error.to_string().replace('\n', " ")
}

/// One message out of a refusal's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `DENIED`, `AccessDenied`; empty when the body has none. The set is open.
    pub code: String,
    /// The message.
    pub message: String,
}

/// The messages of a body: the distribution spec's JSON, a `Code` and `Message` of XML, or the text
/// itself. ECR and its storage send all of these, and sometimes nothing.
pub fn messages(text: &str) -> Vec<Said> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text)
        && let Some(errors) = json["errors"].as_array()
    {
        let word = |error: &serde_json::Value, key: &str| {
            error[key].as_str().unwrap_or_default().trim().to_owned()
        };
        return errors
            .iter()
            .map(|error| Said { code: word(error, "code"), message: word(error, "message") })
            .collect();
    }
    let tag = |name: &str| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let (_, rest) = text.split_once(&open)?;
        Some(rest.split_once(&close)?.0.trim().to_owned())
    };
    match (tag("Code"), tag("Message")) {
        (None, None) if text.trim().is_empty() => Vec::new(),
        (None, None) => vec![Said { code: String::new(), message: text.to_owned() }],
        (code, message) => {
            vec![Said { code: code.unwrap_or_default(), message: message.unwrap_or_default() }]
        }
    }
}

/// What the body of a refusal says, in one line.
pub fn said(body: &[u8]) -> String {
    let parts: Vec<String> = messages(&String::from_utf8_lossy(body))
        .into_iter()
        .map(|said| match (said.code.as_str(), said.message.as_str()) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        })
        .collect();
    shortened(&parts.join("; "))
}

fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 400 {
        line.chars().take(400).chain("...".chars()).collect()
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_registrys_own_words_whatever_their_form() {
        let json = br#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
        assert_eq!(
            said(json),
            "DENIED: Your authorization token has expired. Reauthenticate and try again."
        );
        assert_eq!(said(b"Not Authorized\n"), "Not Authorized");
        assert_eq!(
            said(b"<Error><Code>X</Code><Message>Only one auth</Message></Error>"),
            "X: Only one auth"
        );
        assert_eq!(said(b"<Error><Code>SlowDown</Code></Error>"), "SlowDown");
        assert_eq!(said(b""), "");
        assert_eq!(said(&[b'x'; 5000]).len(), 403);
        said(&[0xff, 0xfe, b'{']);
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_resolver_that_fails() {
        for (words, why) in [
            (
                "failed to lookup address information: Name or service not known",
                Unresolved::NoSuchName,
            ),
            ("failed to lookup address information: Name does not resolve", Unresolved::NoSuchName),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                Unresolved::Failing,
            ),
            ("failed to lookup address information: Try again", Unresolved::Failing),
            ("something new", Unresolved::Other),
        ] {
            let failure = Failure::resolve(&io::Error::other(words));
            assert_eq!(failure, Failure::Resolve { why, words: words.to_owned() });
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_fail(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = said(&body);
        }

        #[test]
        fn nor_does_one_that_is_nearly_right(text in "(\\{\"errors\":\\[\\{\"code\":)?[\\PC]{0,40}(<Code>|</Code>|<Message>){0,3}") {
            let _ = messages(&text);
        }
    }
}
