//! The two lines, among others' (`KEY=VALUE`, no shell).

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::{
    Entries, Seen,
    atomic_file::Next,
    file::{Change, Edited, Format},
};
use crate::model::{
    outcome::Problem,
    reason::Reason,
    token::{AuthorizationToken, Token, fingerprint},
};

const TYPE: &str = "ECS_ENGINE_AUTH_TYPE";
const DATA: &str = "ECS_ENGINE_AUTH_DATA";

/// How the agent reads the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `{"HOST": {"auth": base64}}`
    Dockercfg,
    /// `{"HOST": {"username": ..., "password": ...}}`
    Docker,
}

/// The format.
pub(super) struct Lines;

struct Parsed {
    lines: Vec<String>,
    dialect: Dialect,
    data: Map<String, Value>,
    /// The value stood in single quotes.
    quoted: bool,
}

impl Parsed {
    fn of(current: Option<&[u8]>, path: &Path) -> Result<Self, Problem> {
        let malformed =
            |why: &str| Problem::new(Reason::OutputMalformed, format!("{}: {why}", path.display()));
        let text = std::str::from_utf8(current.unwrap_or_default())
            .map_err(|_| malformed("it is no text"))?;
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let last = |key: &str| lines.iter().rev().find_map(|line| value(line, key));
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
        Ok(Self { lines, dialect, data, quoted })
    }

    /// The key under which a host stands; `docker` is usually written with URLs.
    fn key(&self, host: &str) -> String {
        let url = format!("https://{host}");
        if self.data.contains_key(&url) { url } else { host.to_owned() }
    }

    fn entry(&self, token: &Token) -> Value {
        match self.dialect {
            Dialect::Dockercfg => json!({ "auth": token.secret.base64().expose_secret() }),
            Dialect::Docker => json!({
                "username": token.secret.user(),
                "password": token.secret.password().expose_secret(),
            }),
        }
    }

    fn fingerprint_of(&self, key: &str) -> Option<String> {
        let entry = self.data.get(key)?;
        match self.dialect {
            Dialect::Dockercfg => Some(fingerprint(entry.get("auth")?.as_str()?)),
            Dialect::Docker => {
                let password = entry.get("password")?.as_str()?.to_owned().into();
                let user = entry.get("username")?.as_str()?;
                Some(AuthorizationToken::of(user, &password).fingerprint())
            }
        }
    }

    fn holds(&self, key: &str, token: &Token) -> bool {
        self.fingerprint_of(key).as_deref() == Some(&token.secret.fingerprint())
    }

    /// The text with the data of now: in the place of the last line of that key, or at the end.
    fn text(mut self) -> String {
        let at =
            |lines: &[String], key: &str| lines.iter().rposition(|line| value(line, key).is_some());
        if self.data.is_empty() {
            // A type without data means nothing.
            self.lines.retain(|line| value(line, DATA).is_none() && value(line, TYPE).is_none());
            return self.lines.concat();
        }
        let quote = if self.quoted { "'" } else { "" };
        let data = format!("{DATA}={quote}{}{quote}\n", Value::Object(self.data));
        if let Some(last) = self.lines.last_mut()
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        if let Some(index) = at(&self.lines, DATA) {
            self.lines[index] = data;
        } else {
            if at(&self.lines, TYPE).is_none() {
                self.lines.push(format!("{TYPE}=dockercfg\n"));
            }
            self.lines.push(data);
        }
        self.lines.concat()
    }
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    Some(line.trim().strip_prefix(key)?.strip_prefix('=')?.trim())
}

fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('\'').or_else(|| inside('"').filter(|rest| !rest.contains('"'))).unwrap_or(text)
}

impl Format for Lines {
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem> {
        let mut parsed = Parsed::of(current, change.path)?;
        let mut edited = Edited::default();
        for (host, token) in change.entries {
            let key = parsed.key(host);
            if !parsed.holds(&key, token) {
                edited.absent.extend((!parsed.data.contains_key(&key)).then(|| host.clone()));
                edited.set.push(host.clone());
                let entry = parsed.entry(token);
                parsed.data.insert(key, entry);
            }
        }
        for (host, fingerprints) in change.withdraw {
            let key = parsed.key(host);
            let ours =
                parsed.fingerprint_of(&key).is_some_and(|found| fingerprints.contains(&found));
            if !change.entries.contains_key(host) && ours {
                parsed.data.shift_remove(&key);
                edited.removed.push(host.clone());
            }
        }
        if !edited.set.is_empty() || !edited.removed.is_empty() {
            edited.next = Next::Write(Zeroizing::new(parsed.text().into_bytes()));
        }
        Ok(edited)
    }

    /// People and user data write this file: the later text counts, ours is edited into it again.
    fn merge(
        &self,
        _base: &[u8],
        _ours: &[u8],
        theirs: &[u8],
        _path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        Ok(Zeroizing::new(theirs.to_vec()))
    }

    fn see(
        &self,
        current: Option<&[u8]>,
        entries: &Entries,
        path: &Path,
    ) -> Result<BTreeMap<String, Seen>, Problem> {
        let parsed = Parsed::of(current, path)?;
        let see = |host: &String, token: &Token| {
            if parsed.holds(&parsed.key(host), token) {
                Seen::Ours { expires: token.expires }
            } else {
                let detail = format!("{}: {DATA} has it not for {host}", path.display());
                Seen::NotOurs(Problem::new(Reason::OutputMissing, detail))
            }
        };
        Ok(entries.iter().map(|(host, token)| (host.clone(), see(host, token))).collect())
    }
}
