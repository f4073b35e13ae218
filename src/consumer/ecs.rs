//! `ECS_ENGINE_AUTH_TYPE` and `ECS_ENGINE_AUTH_DATA` in the ECS agent's `ecs.config` (`KEY=VALUE`,
//! no shell). The agent reads the file only when it starts, and for ECR's own host names it fetches
//! a token itself.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// The key that tells how the data are written.
pub const TYPE: &str = "ECS_ENGINE_AUTH_TYPE";

/// The key of the data.
pub const DATA: &str = "ECS_ENGINE_AUTH_DATA";

/// How the agent reads the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"HOST": {"auth": base64}}`
    Dockercfg,
    /// `{"HOST": {"username": ..., "password": ...}}`
    Docker,
}

/// What the file says about registries.
pub struct AuthData {
    /// How it is written.
    pub dialect: Dialect,
    /// Host, or its URL, to its entry.
    pub data: Map<String, Value>,
    /// The value stood in single quotes.
    pub quoted: bool,
}

impl AuthData {
    /// Reads the file's text. Of several lines with the same key the last one counts.
    pub fn of(text: &str, path: &Path) -> Result<Self, Problem> {
        let malformed =
            |why: &str| Problem::new(Reason::OutputMalformed, format!("{}: {why}", path.display()));
        let last = |key: &str| text.lines().rev().find_map(|line| value(line, key));
        let dialect = match last(TYPE).map(unquoted) {
            None | Some("" | "dockercfg") => Dialect::Dockercfg,
            Some("docker") => Dialect::Docker,
            Some(_) => return Err(malformed(&format!("{TYPE} is neither dockercfg nor docker"))),
        };
        let data = last(DATA).unwrap_or_default();
        let quoted = data.starts_with('\'');
        let data = match unquoted(data) {
            "" => Map::new(),
            text => match serde_json::from_str(text) {
                Ok(Value::Object(data)) => data,
                // Its words may quote a secret.
                _ => return Err(malformed(&format!("{DATA} is no JSON object"))),
            },
        };
        Ok(Self { dialect, data, quoted })
    }

    /// The key under which a host stands; `docker` is usually written with URLs.
    pub fn key(&self, host: &str) -> String {
        let url = format!("https://{host}");
        if self.data.contains_key(&url) { url } else { host.to_owned() }
    }

    /// The credential under a key.
    pub fn token(&self, key: &str) -> Option<AuthorizationToken> {
        let entry = self.data.get(key)?;
        match self.dialect {
            Dialect::Dockercfg => {
                AuthorizationToken::new(entry.get("auth")?.as_str()?.to_owned().into()).ok()
            }
            Dialect::Docker => {
                let password = entry.get("password")?.as_str()?.to_owned().into();
                Some(AuthorizationToken::of(entry.get("username")?.as_str()?, &password))
            }
        }
    }
}

/// The value of a key, if it is this line's.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    Some(line.trim().strip_prefix(key)?.strip_prefix('=')?.trim())
}

/// A value without the quotes around it.
pub fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"').filter(|rest| !rest.contains('"'))).unwrap_or(text)
}
