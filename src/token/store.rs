//! Tokens over a restart: one file a token in the state directory, bound to this host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    model::{
        host_id::HostId,
        outcome::Problem,
        principal::Principal,
        reason::Reason,
        token::{AuthorizationToken, Token, exposed, fingerprint},
    },
    state_file::{self, Readers},
};

const VERSION: u32 = 1;

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The token.
    pub token: Token,
    /// Whose it is, if STS said so.
    pub principal: Option<Principal>,
    /// The credentials that it was last tried under.
    pub credentials: Option<String>,
    /// When the registry last accepted it.
    pub accepted: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    host: String,
    #[serde(with = "exposed")]
    token: SecretString,
    minted: Timestamp,
    expires: Timestamp,
    principal: Option<Principal>,
    credentials: Option<String>,
    accepted: Option<Timestamp>,
}

/// Where the tokens are kept.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    host: String,
}

impl Store {
    /// The store in `state_directory`, for this host.
    pub fn new(state_directory: &Path, host: &HostId) -> Self {
        Self { folder: state_directory.join("tokens"), host: fingerprint(host.as_str()) }
    }

    /// The kept token of this name. What can't be used is set aside and said, never fatal.
    pub fn load(&self, name: &str) -> (Option<Kept>, Option<Problem>) {
        let path = self.path(name);
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, None),
            Err(error) => {
                let detail = format!("{}: {error}", path.display());
                return (None, Some(Problem::new(Reason::StateUnreadable, detail)));
            }
        };
        match self.parse(&text) {
            Ok(kept) => (Some(kept), None),
            Err((reason, why)) => {
                let aside = path.with_extension("json.bad");
                // A foreign host's live token is not kept for anybody to find.
                let moved = if reason == Reason::StateForeign {
                    fs::remove_file(&path)
                } else {
                    fs::rename(&path, &aside)
                };
                let what = match moved {
                    Ok(()) if reason == Reason::StateForeign => "removed".to_owned(),
                    Ok(()) => format!("set aside as {}", aside.display()),
                    Err(error) => format!("it could not be set aside: {error}"),
                };
                (None, Some(Problem::new(reason, format!("{}: {why}; {what}", path.display()))))
            }
        }
    }

    fn parse(&self, text: &[u8]) -> Result<Kept, (Reason, String)> {
        // serde_json's words can quote the text, so only the place of a mistake is told.
        let file: File = serde_json::from_slice(text).map_err(|error| {
            (Reason::StateCorrupt, format!("line {}, column {}", error.line(), error.column()))
        })?;
        if file.version != VERSION {
            return Err((Reason::StateCorrupt, format!("version {} is unknown", file.version)));
        }
        if file.host != self.host {
            return Err((Reason::StateForeign, "it was kept by another host".to_owned()));
        }
        let secret = AuthorizationToken::new(file.token)
            .map_err(|error| (Reason::StateCorrupt, format!("the token: {error}")))?;
        Ok(Kept {
            token: Token { secret, minted: file.minted, expires: file.expires },
            principal: file.principal,
            credentials: file.credentials,
            accepted: file.accepted,
        })
    }

    /// Keeps a token: 0600 from the moment that the file exists, replaced in one step.
    pub fn save(&self, name: &str, kept: &Kept) -> Result<(), Problem> {
        let file = File {
            version: VERSION,
            host: self.host.clone(),
            token: kept.token.secret.base64().clone(),
            minted: kept.token.minted,
            expires: kept.token.expires,
            principal: kept.principal.clone(),
            credentials: kept.credentials.clone(),
            accepted: kept.accepted,
        };
        let path = self.path(name);
        Self::write(&path, &file).map_err(|error| {
            Problem::new(Reason::StateUnwritable, format!("{}: {error}", path.display()))
        })
    }

    fn write(path: &Path, file: &File) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(file)?);
        state_file::replace(path, &text, Readers::Nobody)
    }

    /// Forgets a token that is no longer configured.
    pub fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.path(name));
    }

    fn path(&self, name: &str) -> PathBuf {
        let safe: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        // Two names that differ only in what was replaced still get two files.
        self.folder.join(format!("{safe}-{}.json", &fingerprint(name)[..6]))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept() -> Kept {
        let minted = Timestamp::from_second(1_800_000_000).unwrap();
        Kept {
            token: Token {
                secret: AuthorizationToken::of("AWS", &SecretString::from("password-of-test")),
                minted,
                expires: Timestamp::from_second(1_800_043_200).unwrap(),
            },
            principal: None,
            credentials: Some("f00".into()),
            accepted: Some(minted),
        }
    }

    fn store(folder: &Path) -> Store {
        Store::new(folder, &HostId::new("i-1"))
    }

    #[test]
    fn a_token_survives_a_restart_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path()).save("default/eu-west-1", &kept()).unwrap();
        assert_eq!(store(folder.path()).load("default/eu-west-1"), (Some(kept()), None));
        let path = store(folder.path()).path("default/eu-west-1");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_baked_image_carries_no_live_token() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path()).save("a", &kept()).unwrap();
        let other = Store::new(folder.path(), &HostId::new("i-2"));
        let (none, problem) = other.load("a");
        assert_eq!((none, problem.unwrap().reason), (None, Reason::StateForeign));
        assert!(!other.path("a").exists());
    }

    #[test]
    fn a_state_that_is_not_understood_is_set_aside_and_never_fatal() {
        for text in ["", "{", "[]", "{\"version\":1}", "\u{0}\u{0}", "{\"version\":9}"] {
            let folder = tempfile::tempdir().unwrap();
            let store = store(folder.path());
            store.save("a", &kept()).unwrap();
            fs::write(store.path("a"), text).unwrap();
            let (none, problem) = store.load("a");
            assert_eq!((none, problem.unwrap().reason), (None, Reason::StateCorrupt), "{text}");
            assert_eq!(
                fs::read_to_string(store.path("a").with_extension("json.bad")).unwrap(),
                text
            );
            assert_eq!(store.load("a"), (None, None));
        }
    }

    #[test]
    fn names_that_look_alike_keep_apart() {
        let store = store(Path::new("/nowhere"));
        assert_ne!(store.path("a/b"), store.path("a_b"));
        assert!(store.path("../../etc").starts_with("/nowhere/tokens"));
    }
}
