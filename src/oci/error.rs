//! Where a request to a registry failed, and the words of those who answered.

use std::io;

use crate::model::{outcome::Problem, reason::Reason};

/// A failure with its stage, which is known because each stage is awaited on its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The name was not resolved.
    #[error("the name was not resolved: {0}")]
    Resolve(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The proxy did not open a tunnel.
    #[error("the proxy answered {0}")]
    Proxy(String),
    /// No TLS.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The exchange broke off.
    #[error("the exchange broke off: {0}")]
    Exchange(String),
    /// A stage took too long.
    #[error("no answer within {1} s ({0})")]
    Slow(&'static str, u64),
    /// The trust store can't be used.
    #[error("{0}")]
    Trust(Problem),
}

impl Failure {
    /// As a problem with this host.
    pub(super) fn at(self, host: &str) -> Problem {
        let reason = match &self {
            Self::Resolve(_) => Reason::NameUnresolved,
            Self::Proxy(_) => Reason::ProxyRefused,
            Self::Tls(words) if words.to_lowercase().contains("certificate") => {
                Reason::TlsUntrusted
            }
            Self::Trust(problem) => return problem.clone(),
            _ => Reason::RegistryUnreachable,
        };
        Problem::new(reason, format!("{host}: {self}"))
    }
}

/// An I/O error of a TLS handshake or a connect, in one line.
pub(super) fn words(error: &io::Error) -> String {
    error.to_string().replace('\n', " ")
}

/// What the body of a refusal says: the messages of the distribution spec's JSON, a `Message` of
/// XML, or the text itself, shortened. ECR sends all of these.
pub(super) fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(errors) = json["errors"].as_array()
    {
        let messages: Vec<String> = errors
            .iter()
            .map(|error| {
                let word = |key: &str| error[key].as_str().unwrap_or_default().trim().to_owned();
                format!("{}: {}", word("code"), word("message"))
            })
            .collect();
        return shortened(&messages.join("; "));
    }
    let inside = text.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    shortened(inside.map_or(text.as_ref(), |(message, _)| message))
}

fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 300 {
        line.chars().take(300).chain("...".chars()).collect()
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
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
            "Only one auth"
        );
        assert_eq!(said(b""), "");
        assert_eq!(said(&[b'x'; 5000]).len(), 303);
        said(&[0xff, 0xfe, b'{']);
    }
}
