//! What must not be kept of an answer, should it be echoed there: a trace is made to be sent to
//! somebody.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::{origin::Url, trace::Answer};
use crate::model::token::AuthorizationToken;

/// What stands where a secret stood.
const MARK: &str = "[redacted]";

/// Shorter than this, a part of a query is a word and no secret.
const SHORTEST: usize = 8;

/// A credential that is shorter hides nothing.
const SHORTEST_CREDENTIAL: usize = 4;

/// The secrets of one conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Redaction {
    credentials: Vec<SecretString>,
    /// Of the URL that is asked now.
    query: Vec<SecretString>,
}

impl Redaction {
    /// Those of a credential: as it is sent, and its password.
    pub(super) fn of(basic: Option<&AuthorizationToken>) -> Self {
        let mut own = Self::default();
        if let Some(basic) = basic {
            own.add_spelled(basic.base64());
            own.add_spelled(&basic.password());
        }
        own
    }

    /// One more, also as JSON and URLs may spell it.
    pub(super) fn add_spelled(&mut self, secret: &SecretString) {
        let plain = secret.expose_secret();
        let escaped = utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string();
        let spelled = [plain.replace('/', "\\/"), escaped, plain.to_owned()];
        self.credentials.extend(
            spelled
                .into_iter()
                .filter(|text| text.len() >= SHORTEST_CREDENTIAL)
                .map(SecretString::from),
        );
    }

    /// What the query of a signed URL holds: a signature opens the object until it expires.
    pub(super) fn query_of(&mut self, url: &Url) {
        self.query.clear();
        let Some((_, query)) = url.path.split_once('?') else {
            return;
        };
        for pair in query.split('&') {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            let plain = percent_decode_str(value).decode_utf8_lossy().into_owned();
            let both = [plain, value.to_owned()];
            let long = both.into_iter().filter(|text| text.len() >= SHORTEST);
            self.query.extend(long.map(SecretString::from));
        }
    }

    /// The text without them.
    pub(super) fn clean(&self, text: &str) -> String {
        self.credentials
            .iter()
            .chain(&self.query)
            .fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), MARK))
    }

    /// The same for everything that an answer said of itself.
    pub(super) fn clean_answer(&self, answer: &mut Answer) {
        let Answer { challenge, content_type, digest, location, request_id, server, said, .. } =
            answer;
        let texts = [challenge, content_type, digest, location, request_id, server, said];
        for text in texts.into_iter().flatten() {
            *text = self.clean(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::origin::Origin;

    #[test]
    fn whatever_is_echoed_of_a_credential_or_a_signed_url_is_gone() {
        let token = AuthorizationToken::of("AWS", &SecretString::from("a-password-of-ecr"));
        let mut redaction = Redaction::of(Some(&token));
        redaction.query_of(&Url::at(
            &Origin::of("s3"),
            "/blob?X-Amz-Credential=AKIAX%2F20260101&X-Amz-Signature=0123456789abcdef&n=1",
        ));
        let echoed = format!(
            "Basic {} a-password-of-ecr 0123456789abcdef AKIAX/20260101 n=1",
            token.base64().expose_secret()
        );
        assert_eq!(
            redaction.clean(&echoed),
            "Basic [redacted] [redacted] [redacted] [redacted] n=1"
        );
        let mut answer = Answer {
            server: Some("a-password-of-ecr".into()),
            said: Some("x a-password-of-ecr".into()),
            ..Answer::default()
        };
        redaction.clean_answer(&mut answer);
        assert_eq!(answer.server.as_deref(), Some("[redacted]"));
        assert_eq!(answer.said.as_deref(), Some("x [redacted]"));
    }
}
