//! The two lines, among others' (`KEY=VALUE`, no shell).

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::{
    Entries, Seen,
    atomic_file::Next,
    file::{Change, Edited, Format},
};
use crate::{
    consumer::ecs::{AuthData, DATA, Dialect, TYPE, unquoted, value},
    model::{outcome::Problem, reason::Reason, token::Token},
};

/// The format.
pub(super) struct Lines;

struct Parsed {
    lines: Vec<String>,
    auth: AuthData,
}

impl Parsed {
    fn of(current: Option<&[u8]>, path: &Path) -> Result<Self, Problem> {
        let text = std::str::from_utf8(current.unwrap_or_default()).map_err(|_| {
            let detail = format!("{}: it is no text", path.display());
            Problem::new(Reason::OutputMalformed, detail)
        })?;
        let lines = text.split_inclusive('\n').map(str::to_owned).collect();
        Ok(Self { lines, auth: AuthData::of(text, path)? })
    }

    fn entry(&self, token: &Token) -> Value {
        match self.auth.dialect {
            Dialect::Dockercfg => json!({ "auth": token.secret.base64().expose_secret() }),
            Dialect::Docker => json!({
                "username": token.secret.user(),
                "password": token.secret.password().expose_secret(),
            }),
        }
    }

    fn fingerprint_of(&self, key: &str) -> Option<String> {
        self.auth.token(key).map(|token| token.fingerprint())
    }

    fn holds(&self, key: &str, token: &Token) -> bool {
        self.fingerprint_of(key).as_deref() == Some(&token.secret.fingerprint())
    }

    /// The text with the data of now: in the place of the last line of that key, or at the end.
    fn text(mut self) -> String {
        let at =
            |lines: &[String], key: &str| lines.iter().rposition(|line| value(line, key).is_some());
        if self.auth.data.is_empty() {
            // The type that we put there goes too, and is the default anyway; any other is an
            // administrator's.
            let default = |line: &str| value(line, TYPE).map(unquoted) == Some("dockercfg");
            self.lines.retain(|line| value(line, DATA).is_none() && !default(line));
            return self.lines.concat();
        }
        let quote = if self.auth.quoted { "'" } else { "" };
        let data = format!("{DATA}={quote}{}{quote}\n", Value::Object(self.auth.data));
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

impl Format for Lines {
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem> {
        let mut parsed = Parsed::of(current, change.path)?;
        let mut edited = Edited::default();
        for (host, token) in change.entries {
            let key = parsed.auth.key(host);
            if !parsed.holds(&key, token) {
                edited.absent.extend((!parsed.auth.data.contains_key(&key)).then(|| host.clone()));
                edited.set.push(host.clone());
                let entry = parsed.entry(token);
                parsed.auth.data.insert(key, entry);
            }
        }
        for (host, fingerprints) in change.withdraw {
            let key = parsed.auth.key(host);
            let ours =
                parsed.fingerprint_of(&key).is_some_and(|found| fingerprints.contains(&found));
            if !change.entries.contains_key(host) && ours {
                parsed.auth.data.shift_remove(&key);
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
            if parsed.holds(&parsed.auth.key(host), token) {
                Seen::Ours { expires: token.expires }
            } else {
                let detail = format!("{}: {DATA} has it not for {host}", path.display());
                Seen::NotOurs(Problem::new(Reason::OutputMissing, detail))
            }
        };
        Ok(entries.iter().map(|(host, token)| (host.clone(), see(host, token))).collect())
    }
}
