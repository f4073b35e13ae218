//! The ECR authorization token.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The `authorizationToken` of GetAuthorizationToken: base64 of `AWS:password`, sent verbatim
/// behind `Basic `. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct AuthorizationToken(SecretString);

#[derive(serde::Deserialize)]
struct ExpiryHint {
    expiration: i64,
}

/// Why something is not an authorization token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenShapeError {
    /// Not base64 of text.
    #[error("it is not base64 of text")]
    Encoding,
    /// Decoded, it is not `user:password`.
    #[error("it does not decode to user:password")]
    NoPassword,
}

impl AuthorizationToken {
    /// Takes the API's string and checks its shape: base64 of `user:password`.
    pub fn new(base64: SecretString) -> Result<Self, TokenShapeError> {
        let token = Self(base64);
        token.split()?;
        Ok(token)
    }

    /// Makes the token of a user and a password.
    pub fn of(user: &str, password: &SecretString) -> Self {
        let plain = Zeroizing::new(format!("{user}:{}", password.expose_secret()));
        Self(SecretString::from(STANDARD.encode(plain.as_bytes())))
    }

    /// The base64 text, as in `auths.*.auth` of a docker config and behind `Basic ` in a header.
    pub fn base64(&self) -> &SecretString {
        &self.0
    }

    /// The user, `AWS` as far as anybody has seen.
    pub fn user(&self) -> String {
        self.split().map(|(user, _)| user).unwrap_or_default()
    }

    /// The password alone, as in `docker login --password-stdin`.
    pub fn password(&self) -> SecretString {
        self.split().map_or_else(|_| SecretString::from(String::new()), |(_, password)| password)
    }

    /// When the password itself says that it dies: ECR's is base64 of JSON with `expiration`.
    /// Nobody promises that, so it is a hint and no more.
    pub fn stated_expiry(&self) -> Option<Timestamp> {
        let plain = Zeroizing::new(STANDARD.decode(self.password().expose_secret()).ok()?);
        let json: ExpiryHint = serde_json::from_slice(&plain).ok()?;
        Timestamp::from_second(json.expiration).ok()
    }

    /// Sixteen hexadecimal digits that identify this token and say nothing about it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.expose_secret())
    }

    fn split(&self) -> Result<(String, SecretString), TokenShapeError> {
        let bytes = Zeroizing::new(
            STANDARD.decode(self.0.expose_secret()).map_err(|_| TokenShapeError::Encoding)?,
        );
        let text = std::str::from_utf8(&bytes).map_err(|_| TokenShapeError::Encoding)?;
        let (user, password) = text.split_once(':').ok_or(TokenShapeError::NoPassword)?;
        if user.is_empty() || password.is_empty() {
            return Err(TokenShapeError::NoPassword);
        }
        Ok((user.to_owned(), SecretString::from(password.to_owned())))
    }
}

/// Sixteen hexadecimal digits of SHA-256: enough to tell two secrets apart, useless to guess one.
pub fn fingerprint(secret: &str) -> String {
    use fmt::Write as _;
    let digest = Sha256::digest(secret.as_bytes());
    digest[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// For `#[serde(with)]`: a secret as the text that it is, in a file or on a socket whose readers may
/// have it.
pub mod exposed {
    use secrecy::{ExposeSecret as _, SecretString};
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// The text itself.
    pub fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    /// A secret from its text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        SecretString::deserialize(from)
    }
}

impl fmt::Debug for AuthorizationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationToken({})", self.fingerprint())
    }
}

impl PartialEq for AuthorizationToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

/// A token with its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The credential.
    pub secret: AuthorizationToken,
    /// When it arrived here, by this host's clock.
    pub minted: Timestamp,
    /// When it dies, as far as is known (see `token::schedule` for answers that can't be right).
    pub expires: Timestamp,
}

impl Token {
    /// Whether it is past its life at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// How long it lives in all.
    pub fn life(&self) -> jiff::SignedDuration {
        self.expires.duration_since(self.minted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_splits_into_user_and_password_and_never_prints() {
        let token = AuthorizationToken::of("AWS", &SecretString::from("pass:word"));
        assert_eq!(token.user(), "AWS");
        assert_eq!(token.password().expose_secret(), "pass:word");
        assert!(!format!("{token:?}").contains(token.base64().expose_secret()));
        assert_eq!(AuthorizationToken::new(token.base64().clone()).unwrap(), token);
    }

    #[test]
    fn a_password_that_states_its_expiry_is_taken_at_its_word_and_others_state_none() {
        let stated = |json: &str| {
            let password = SecretString::from(STANDARD.encode(json));
            AuthorizationToken::of("AWS", &password).stated_expiry()
        };
        let expiry = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(stated("{\"payload\":\"x\",\"expiration\":1700000000}"), Some(expiry));
        for json in ["{}", "{\"expiration\":\"soon\"}", "{\"expiration\":9999999999999999}", "no"] {
            assert_eq!(stated(json), None, "{json}");
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for (text, why) in [
            ("%%%", TokenShapeError::Encoding),
            ("bm9jb2xvbg==", TokenShapeError::NoPassword),
            ("OnBhc3M=", TokenShapeError::NoPassword),
        ] {
            assert_eq!(
                AuthorizationToken::new(SecretString::from(text)).unwrap_err(),
                why,
                "{text}"
            );
        }
    }
}
