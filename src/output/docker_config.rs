//! Docker's `config.json`: an `auths` entry for each registry host.
//!
//! Docker looks a registry up in `credHelpers`, else in `credsStore`, else in `auths` under its
//! bare host name (docker/cli, cli/config/configfile/file.go), so that is the key. Keys of other
//! forms, such as `https://HOST`, lose against it and stay as they are.

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    Entries, Seen,
    atomic_file::Next,
    cred_helpers,
    file::{Change, Edited, Format},
};
use crate::{
    consumer::docker::{LeftTo, left_to, malformed, parse},
    model::{
        outcome::Problem,
        reason::Reason,
        token::{Token, fingerprint},
    },
};

/// Credentials of other forms in an entry of ours: Docker would take them instead, or choke.
const RIVALS: [&str; 4] = ["identitytoken", "registrytoken", "username", "password"];

/// `auths` in JSON, as Docker and the containers tools (podman, skopeo, buildah) read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auths {
    /// Docker's `config.json`.
    Docker,
    /// The containers tools' `auth.json`; it knows no `credsStore`.
    Containers,
}

impl Format for Auths {
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem> {
        let mut config = parse(current, change.path)?;
        let mut edited = Edited::default();
        if config.get("auths").is_none_or(Value::is_null) && !change.entries.is_empty() {
            config.insert("auths".to_owned(), Value::Object(Map::new()));
        }
        if let Some(auths) = config.get_mut("auths").filter(|auths| !auths.is_null()) {
            let auths = auths
                .as_object_mut()
                .ok_or_else(|| malformed(change.path, "auths is no object"))?;
            for (host, token) in change.entries {
                let absent = !auths.contains_key(host);
                if set_entry(auths, host, token.secret.base64().expose_secret()) {
                    edited.set.push(host.clone());
                    edited.absent.extend(absent.then(|| host.clone()));
                }
            }
            for (host, fingerprints) in change.withdraw {
                if !change.entries.contains_key(host) && is_ours(auths, host, fingerprints) {
                    auths.shift_remove(host);
                    edited.removed.push(host.clone());
                }
            }
        }
        if !edited.set.is_empty() || !edited.removed.is_empty() {
            let text = render(&config);
            edited.next =
                Next::Write(text.map_err(|error| malformed(change.path, &error.to_string()))?);
        }
        Ok(edited)
    }

    fn merge(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
        path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let read = |text| parse(Some(text), path).map(Value::Object);
        let merged = three_way(&read(base)?, &read(ours)?, read(theirs)?);
        let Value::Object(merged) = merged else {
            return Err(malformed(path, "it is no object"));
        };
        render(&merged).map_err(|error| malformed(path, &error.to_string()))
    }

    fn see(
        &self,
        current: Option<&[u8]>,
        entries: &Entries,
        path: &Path,
    ) -> Result<BTreeMap<String, Seen>, Problem> {
        let mut config = parse(current, path)?;
        if *self == Self::Containers {
            config.shift_remove("credsStore");
        }
        let seen =
            entries.iter().map(|(host, token)| (host.clone(), see(&config, host, token, path)));
        Ok(seen.collect())
    }
}

/// What Docker would use for a host, by its own order.
fn see(config: &Map<String, Value>, host: &str, token: &Token, path: &Path) -> Seen {
    match left_to(config, host) {
        // Our own helper gives out the same token.
        Some(LeftTo::Helper(helper)) if helper == cred_helpers::NAME => {
            return Seen::Ours { expires: token.expires };
        }
        Some(LeftTo::Helper(helper)) => {
            let detail = format!("{}: credHelpers has {helper} for {host}", path.display());
            return Seen::NotOurs(Problem::new(Reason::OutputShadowedByHelper, detail));
        }
        Some(LeftTo::Store(store)) => {
            let detail = format!("{}: credsStore is {store}", path.display());
            return Seen::NotOurs(Problem::new(Reason::OutputShadowedByStore, detail));
        }
        None => {}
    }
    let found = config.get("auths").and_then(|auths| auths.get(host)?.get("auth")?.as_str());
    if found == Some(token.secret.base64().expose_secret()) {
        Seen::Ours { expires: token.expires }
    } else {
        let what = if found.is_some() { "another credential" } else { "no entry" };
        let detail = format!("{}: {what} for {host}", path.display());
        Seen::NotOurs(Problem::new(Reason::OutputMissing, detail))
    }
}

/// `theirs` with the changes from `base` to `ours`. Where both changed the same thing, theirs is
/// the later one and stays; our own entries are set again afterwards anyway.
pub(super) fn three_way(base: &Value, ours: &Value, theirs: Value) -> Value {
    let (Value::Object(ours), Value::Object(mut theirs)) = (ours, theirs.clone()) else {
        return if theirs == *base { ours.clone() } else { theirs };
    };
    let empty = Map::new();
    let base = base.as_object().unwrap_or(&empty);
    for (key, our_value) in ours {
        let base_value = base.get(key);
        match theirs.get(key) {
            Some(their_value) => {
                let merged =
                    three_way(base_value.unwrap_or(&Value::Null), our_value, their_value.clone());
                theirs.insert(key.clone(), merged);
            }
            // They removed it, or it is new with us.
            None if base_value.is_none() => {
                theirs.insert(key.clone(), our_value.clone());
            }
            None => {}
        }
    }
    let gone: Vec<String> = base
        .iter()
        .filter(|(key, value)| !ours.contains_key(*key) && theirs.get(*key) == Some(value))
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone {
        theirs.shift_remove(&key);
    }
    Value::Object(theirs)
}

/// Sets a host's entry; `false` if it holds just that already. What else is in it (an e-mail
/// address) stays.
fn set_entry(auths: &mut Map<String, Value>, host: &str, auth: &str) -> bool {
    let entry = auths.entry(host.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    let Some(entry) = entry.as_object_mut() else {
        return false;
    };
    let same = entry.get("auth").and_then(Value::as_str) == Some(auth);
    let rivals = RIVALS.iter().filter(|rival| entry.shift_remove(**rival).is_some()).count();
    if !same {
        entry.insert("auth".to_owned(), Value::String(auth.to_owned()));
    }
    !same || rivals > 0
}

fn is_ours(auths: &Map<String, Value>, host: &str, fingerprints: &[String]) -> bool {
    let auth = auths.get(host).and_then(|entry| entry.get("auth")?.as_str());
    auth.is_some_and(|auth| fingerprints.contains(&fingerprint(auth)))
}

/// Docker's own style: one tab a level, no newline at the end.
pub(super) fn render(config: &Map<String, Value>) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    // Roomy from the start: a vector that grows leaves copies of the secrets behind.
    let entries = config.get("auths").and_then(Value::as_object).map_or(0, Map::len);
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024 + entries * 3 * 1024));
    let style = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut *text, style);
    serde::Serialize::serialize(config, &mut serializer)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
