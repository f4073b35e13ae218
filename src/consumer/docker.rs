//! Docker's `config.json` (docker/cli, cli/config/configfile/file.go): `credHelpers` of exactly
//! this host, else `credsStore`, else `auths`. With a store or a helper, `auths` is not consulted.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Pick, host_of_url};
use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// The file's object. An empty file is what Docker takes for an empty configuration.
pub fn parse(text: Option<&[u8]>, path: &Path) -> Result<Map<String, Value>, Problem> {
    let text = text.unwrap_or_default();
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(malformed(path, "it is no JSON object")),
        // serde_json's words may quote the text, which may be a secret: only the place is told.
        Err(error) => {
            let place = format!("no JSON at line {}, column {}", error.line(), error.column());
            Err(malformed(path, &place))
        }
    }
}

/// A file that is not what it should be.
pub fn malformed(path: &Path, why: &str) -> Problem {
    Problem::new(Reason::OutputMalformed, format!("{}: {why}", path.display()))
}

/// Whom a host's credentials are left to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftTo {
    /// `credHelpers` has this helper for the host.
    Helper(String),
    /// `credsStore` is this one.
    Store(String),
}

/// The helper or store that Docker asks in place of `auths`.
pub fn left_to(config: &Map<String, Value>, host: &str) -> Option<LeftTo> {
    let word = |value: &Value| value.as_str().filter(|word| !word.is_empty()).map(str::to_owned);
    let helper = config.get("credHelpers").and_then(|helpers| helpers.get(host)).and_then(word);
    helper
        .map(LeftTo::Helper)
        .or_else(|| config.get("credsStore").and_then(word).map(LeftTo::Store))
}

/// Whether Docker would look for a store by itself (`pass`, else `secretservice`): it does where
/// the file has no credentials in any form.
pub fn detects_store(config: &Map<String, Value>) -> bool {
    let has =
        |key: &str| config.get(key).and_then(Value::as_object).is_some_and(|all| !all.is_empty());
    let store = config.get("credsStore").and_then(Value::as_str).unwrap_or_default();
    store.is_empty() && !has("credHelpers") && !has("auths")
}

/// What Docker takes for a registry host. One entry that can't be read makes all of them useless,
/// because then Docker goes on without the file.
pub fn pick(config: &Map<String, Value>, host: &str, path: &Path) -> Result<Option<Pick>, Problem> {
    let none = Map::new();
    let auths = match config.get("auths") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(auths)) => auths,
        Some(_) => return Err(malformed(path, "auths is no object")),
    };
    for (key, entry) in auths {
        if let Err(why) = read(entry) {
            let detail = format!("{}: auths[{key:?}] {why}", path.display());
            return Err(Problem::new(Reason::CredentialMalformed, detail));
        }
    }
    match left_to(config, host) {
        Some(LeftTo::Helper(suffix)) => {
            let at = format!("credHelpers[{host:?}] = {suffix}");
            return Ok(Some(Pick::Helper { at, suffix, key: host.to_owned() }));
        }
        Some(LeftTo::Store(suffix)) => {
            let at = format!("credsStore = {suffix}");
            return Ok(Some(Pick::Helper { at, suffix, key: host.to_owned() }));
        }
        None => {}
    }
    let found = auths
        .get_key_value(host)
        .or_else(|| auths.iter().find(|(key, _)| host_of_url(key) == host));
    Ok(found.and_then(|(key, entry)| taken(key, entry)))
}

/// An entry that was read without a mistake, as what is taken.
pub(super) fn taken(key: &str, entry: &Value) -> Option<Pick> {
    let at = format!("auths[{key:?}]");
    match read(entry).ok()? {
        Read::Basic(token) => Some(Pick::Basic { at, token }),
        Read::Other(kind) => Some(Pick::Other { at: format!("{at}.{kind}") }),
        Read::Nothing => None,
    }
}

/// What is in one entry of `auths`.
pub(super) enum Read {
    Basic(AuthorizationToken),
    Other(&'static str),
    Nothing,
}

/// Reads one entry; why it can't be. `auth` wins over the other forms.
pub(super) fn read(entry: &Value) -> Result<Read, &'static str> {
    let entry = match entry {
        Value::Object(entry) => entry,
        Value::Null => return Ok(Read::Nothing),
        _ => return Err("is no object"),
    };
    let word = |key: &str| entry.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
    if let Some(auth) = word("auth") {
        let plain = STANDARD.decode(auth).map_err(|_| "has an auth that is not base64")?;
        let plain = Zeroizing::new(plain);
        let text = std::str::from_utf8(&plain).map_err(|_| "has an auth that is no text")?;
        return match text.split_once(':') {
            None | Some(("", _)) => Err("has an auth that is not base64 of user:password"),
            Some((user, password)) => Ok(basic(user, password.trim_end_matches('\0'))),
        };
    }
    for kind in ["identitytoken", "registrytoken"] {
        if word(kind).is_some() {
            return Ok(Read::Other(kind));
        }
    }
    Ok(match (word("username"), word("password")) {
        (Some(user), Some(password)) => basic(user, password),
        _ => Read::Nothing,
    })
}

fn basic(user: &str, password: &str) -> Read {
    if password.is_empty() {
        return Read::Nothing;
    }
    Read::Basic(AuthorizationToken::of(user, &SecretString::from(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn picked(config: &Value) -> Result<Option<String>, Reason> {
        let config = config.as_object().unwrap();
        let pick = pick(config, HOST, Path::new("/c")).map_err(|problem| problem.reason)?;
        Ok(pick.map(|pick| match pick {
            Pick::Basic { at, token } => format!("{at} {}", token.user()),
            Pick::Helper { at, .. } | Pick::Other { at } => at,
        }))
    }

    #[test]
    fn helpers_come_before_the_store_and_the_store_before_the_entry() {
        let mut config = json!({
            "credHelpers": { HOST: "ecr-login", "other": "x" }, "credsStore": "pass",
            "auths": { HOST: { "auth": "QVdTOnA=" } },
        });
        assert_eq!(picked(&config), Ok(Some(format!("credHelpers[{HOST:?}] = ecr-login"))));
        config["credHelpers"].as_object_mut().unwrap().shift_remove(HOST);
        assert_eq!(picked(&config), Ok(Some("credsStore = pass".to_owned())));
        config["credsStore"] = json!("");
        assert_eq!(picked(&config), Ok(Some(format!("auths[{HOST:?}] AWS"))));
    }

    #[test]
    fn a_key_with_a_scheme_counts_where_there_is_none_without() {
        let url = format!("https://{HOST}/v1/");
        let config = json!({ "auths": { &url: { "auth": "eDpw" } } });
        assert_eq!(picked(&config), Ok(Some(format!("auths[{url:?}] x"))));
        let config = json!({ "auths": { &url: { "auth": "eDpw" }, HOST: { "auth": "QVdTOnA=" } } });
        assert_eq!(picked(&config), Ok(Some(format!("auths[{HOST:?}] AWS"))));
    }

    #[test]
    fn one_unreadable_entry_of_another_registry_spoils_all() {
        for auth in ["%%%", "bm9jb2xvbg==", "OnBhc3M="] {
            let config = json!({
                "auths": { HOST: { "auth": "QVdTOnA=" }, "other": { "auth": auth } }
            });
            assert_eq!(picked(&config), Err(Reason::CredentialMalformed), "{auth}");
        }
    }

    #[test]
    fn a_store_is_looked_for_only_where_nothing_is_written() {
        let detects = |config: Value| detects_store(config.as_object().unwrap());
        assert!(detects(json!({ "auths": {} })) && detects(json!({})));
        assert!(!detects(json!({ "auths": { "x": {} } })));
        assert!(!detects(json!({ "credHelpers": { "x": "y" } })));
    }

    proptest! {
        #[test]
        fn no_file_is_a_problem(text in "\\PC{0,60}", auth in "\\PC{0,12}") {
            let path = Path::new("/c");
            if let Ok(config) = parse(Some(text.as_bytes()), path) {
                let _ = pick(&config, "h", path);
            }
            let config = json!({ "auths": { "h": { "auth": auth } } });
            let _ = pick(config.as_object().unwrap(), "h", path);
        }
    }
}
