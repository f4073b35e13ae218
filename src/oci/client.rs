//! The client: what is trusted, which proxy, how long is waited; and the trial of a token at
//! `GET /v2/`.

use std::{future::Future, path::Path, pin::Pin, sync::Arc};

use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Acceptance, TokenCheck,
    challenge::Bearer,
    connect::{Connector, Patience, Way},
    error::{self, Broken, Failure},
    fetch::{AGENT, Fetch, LONGEST_REFUSAL},
    origin::Origin,
    session::Session,
    trace::Record,
};
use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// An answer, as far as it matters to the trial of a token.
struct Heard {
    status: StatusCode,
    bearer: Option<Bearer>,
    body: Vec<u8>,
}

/// Talks to registries over HTTPS.
pub struct Client {
    connector: Connector,
}

impl Client {
    /// Trusts the system's authorities and those of `ca_file`; goes through `proxy`, else
    /// HTTPS_PROXY, and NO_PROXY counts for both. Nothing is loaded before the first request.
    pub fn new(ca_file: Option<&Path>, proxy: Option<&SecretString>) -> Self {
        Self { connector: Connector::new(ca_file, proxy) }
    }

    /// The same with another patience.
    #[must_use]
    pub fn patient(mut self, patience: Patience) -> Self {
        self.connector.patience = patience;
        self
    }

    /// A conversation with the registry `host`, noted in `record`.
    pub fn fetch<'a>(
        &'a self,
        host: &str,
        credential: Option<&'a AuthorizationToken>,
        record: Arc<Record>,
    ) -> Fetch<'a> {
        Fetch::new(&self.connector, host, credential, record)
    }

    async fn ask(
        &self,
        host: &str,
        path: &str,
        token: &AuthorizationToken,
    ) -> Result<Heard, Failure> {
        let other = |words: String| Failure::Exchange { why: Broken::Other, words };
        let mut value = HeaderValue::from_str(&format!("Basic {}", token.base64().expose_secret()))
            .map_err(|_| other("the token is no header value".to_owned()))?;
        value.set_sensitive(true);
        let request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, AGENT)
            .header(AUTHORIZATION, value)
            .body(Full::<Bytes>::default())
            .map_err(|error| other(error.to_string()))?;
        let mut session = Session::new(&self.connector);
        let answer = session.send(&Origin::of(host), request, &mut Way::default()).await?;
        let mut body = Vec::new();
        // A body that breaks off is one that ends there.
        while let Ok(Some(chunk)) = session.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_REFUSAL {
                break;
            }
        }
        Ok(Heard { status: answer.status(), bearer: Bearer::of(answer.headers()), body })
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
