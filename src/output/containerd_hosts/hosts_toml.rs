//! The text of one `hosts.toml`, edited in place.

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret as _;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value, value};
use zeroize::Zeroizing;

use super::super::{
    Entries, Seen,
    atomic_file::Next,
    file::{Change, Edited, Format},
};
use crate::{
    consumer::containerd::HEADER,
    model::{
        outcome::Problem,
        reason::Reason,
        token::{Token, fingerprint},
    },
};

const MADE: &str =
    "# Made by ecr-warden, which removes this file when it has nothing to say here.\n";
const ENTRY: &str = "# ecr-warden keeps this entry. When its header has expired, containerd goes on to the server.\n";
const CARRIED: &str = "# Carried over from _default, sha256 ";

/// What of the root's settings an entry for the same registry needs as well.
const CONNECTION: [&str; 3] = ["ca", "client", "skip_verify"];

/// The file of one registry host.
pub(super) struct HostsToml {
    /// The host name.
    pub(super) host: String,
    /// What a new file begins with: what `_default` says.
    pub(super) beginning: Option<String>,
}

impl HostsToml {
    fn url(&self) -> String {
        format!("https://{}", self.host)
    }

    fn parse(text: Option<&[u8]>, path: &Path) -> Result<DocumentMut, Problem> {
        let malformed = |why: String| {
            Problem::new(Reason::OutputMalformed, format!("{}: {why}", path.display()))
        };
        let text = std::str::from_utf8(text.unwrap_or_default())
            .map_err(|_| malformed("it is no text".to_owned()))?;
        text.parse().map_err(|error: toml_edit::TomlError| {
            // Its words may quote the text, which may be a secret: only the place is told.
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            malformed(format!("no TOML at line {line}"))
        })
    }

    /// A new file, with what `_default` has.
    fn made(&self, path: &Path) -> Result<DocumentMut, Problem> {
        let mut text = MADE.to_owned();
        let beginning = self.beginning.as_deref().unwrap_or_default();
        if !beginning.is_empty() {
            text.extend([CARRIED, &fingerprint(beginning), "\n"]);
        }
        if !Self::parse(Some(beginning.as_bytes()), path)?.contains_key("server") {
            text += &self.server();
        }
        text += beginning;
        Self::parse(Some(text.as_bytes()), path)
    }

    fn server(&self) -> String {
        format!("server = \"{}\"\n", self.url())
    }

    /// Whether a file that began as a copy of `_default` is still that copy.
    fn is_carried_over(&self, text: &str) -> bool {
        let copy = text.strip_prefix(MADE).and_then(|rest| rest.strip_prefix(CARRIED));
        copy.and_then(|rest| rest.split_once('\n')).is_some_and(|(sum, rest)| {
            let without = rest.strip_prefix(&self.server()).unwrap_or(rest);
            [rest, without].iter().any(|text| fingerprint(text) == sum)
        })
    }

    /// Removing a table takes the comments before it along, which may be somebody's. Our own lines
    /// are cut out instead, where the result says the same as `edited`.
    fn without_lines_of_ours(before: &str, edited: String) -> String {
        let cut = || {
            let start = before.find(ENTRY)?;
            let value = before[start..].find("\nAuthorization = ")? + start + 1;
            let end = before[value..].find('\n').map_or(before.len(), |length| value + length + 1);
            let head = before[..start].strip_suffix('\n').unwrap_or(&before[..start]);
            Some([head, &before[end..]].concat())
        };
        let parsed = |text: &str| toml::from_str::<toml::Table>(text).ok();
        cut().filter(|text| parsed(text) == parsed(&edited)).unwrap_or(edited)
    }

    fn set(&self, document: &mut DocumentMut, token: &Token, path: &Path) -> Result<(), Problem> {
        let url = self.url();
        let about_here = document
            .get("server")
            .and_then(Item::as_str)
            .is_none_or(|server| server.trim_end_matches('/') == url);
        let connection: Vec<(&str, Item)> = CONNECTION
            .into_iter()
            .filter(|_| about_here)
            .filter_map(|key| Some((key, document.get(key)?.clone())))
            .collect();
        let broken = |what: &str| {
            Problem::new(Reason::OutputMalformed, format!("{}: {what} is no table", path.display()))
        };
        if !document.contains_key("host") {
            let mut hosts = Table::new();
            hosts.set_implicit(true);
            document.insert("host", Item::Table(hosts));
        }
        let hosts = document["host"].as_table_like_mut().ok_or_else(|| broken("host"))?;
        if !hosts.contains_key(&url) {
            let mut entry = Table::new();
            entry.decor_mut().set_prefix(format!("\n{ENTRY}"));
            entry.insert("capabilities", value(Value::from_iter(["pull", "resolve", "push"])));
            for (key, item) in connection {
                entry.insert(key, item);
            }
            hosts.insert(&url, Item::Table(entry));
        }
        let entry = hosts
            .get_mut(&url)
            .and_then(Item::as_table_like_mut)
            .ok_or_else(|| broken(&format!("host.\"{url}\"")))?;
        if !entry.contains_key("header") {
            entry.insert("header", Item::Table(Table::new()));
        }
        let header = entry
            .get_mut("header")
            .and_then(Item::as_table_like_mut)
            .ok_or_else(|| broken("header"))?;
        header.insert(HEADER, value(basic(token)));
        Ok(())
    }

    /// Takes our header out, and whatever is there only for its sake.
    fn unset(&self, document: &mut DocumentMut) -> Next {
        let url = self.url();
        let before = Zeroizing::new(document.to_string());
        if let Some(hosts) = document.get_mut("host").and_then(Item::as_table_like_mut) {
            let ours = hosts.get(&url).and_then(Item::as_table).is_some_and(|entry| {
                entry
                    .decor()
                    .prefix()
                    .and_then(|raw| raw.as_str())
                    .is_some_and(|text| text.contains(ENTRY.trim()))
            });
            if ours {
                hosts.remove(&url);
            } else if let Some(entry) = hosts.get_mut(&url).and_then(Item::as_table_like_mut) {
                let empty = entry.get_mut("header").and_then(Item::as_table_like_mut).is_some_and(
                    |header| {
                        header.remove(HEADER);
                        header.is_empty()
                    },
                );
                if empty {
                    entry.remove("header");
                }
            }
        }
        let no_hosts =
            document.get("host").and_then(Item::as_table_like).is_none_or(TableLike::is_empty);
        if no_hosts {
            document.remove("host");
        }
        let text = Zeroizing::new(Self::without_lines_of_ours(&before, document.to_string()));
        let only_server = document.iter().all(|(key, _)| key == "server");
        if (text.starts_with(MADE) && only_server) || self.is_carried_over(&text) {
            return Next::Remove;
        }
        Next::Write(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

fn basic(token: &Token) -> String {
    format!("Basic {}", token.secret.base64().expose_secret())
}

/// The header of a host's entry; a list of values is one value if it has one.
fn header(document: &DocumentMut, url: &str) -> Option<String> {
    let header = document.get("host")?.as_table_like()?.get(url)?.as_table_like()?.get("header")?;
    let found = header.as_table_like()?.get(HEADER)?;
    match found.as_array() {
        Some(list) if list.len() == 1 => list.get(0)?.as_str().map(str::to_owned),
        Some(_) => None,
        None => found.as_str().map(str::to_owned),
    }
}

impl Format for HostsToml {
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem> {
        let mut edited = Edited::default();
        let empty = current.is_none_or(|text| text.iter().all(u8::is_ascii_whitespace));
        if let Some(token) = change.entries.get(&self.host) {
            let mut document =
                if empty { self.made(change.path)? } else { Self::parse(current, change.path)? };
            let before = header(&document, &self.url());
            if before.as_deref() != Some(&basic(token)) {
                self.set(&mut document, token, change.path)?;
                edited.absent.extend(before.is_none().then(|| self.host.clone()));
                edited.set.push(self.host.clone());
                edited.next = Next::Write(Zeroizing::new(document.to_string().into_bytes()));
            }
        } else if let Some(fingerprints) = change.withdraw.get(&self.host)
            && !empty
        {
            let mut document = Self::parse(current, change.path)?;
            let ours = header(&document, &self.url()).is_some_and(|value| {
                let token = value.strip_prefix("Basic ").unwrap_or_default();
                fingerprints.contains(&fingerprint(token))
            });
            if ours {
                edited.next = self.unset(&mut document);
                edited.removed.push(self.host.clone());
            }
        }
        Ok(edited)
    }

    /// Administrators write this file, not programs in a loop: the later text counts, and ours is
    /// edited into it again.
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
        let document = Self::parse(current, path)?;
        let seen = entries.iter().map(|(host, token)| {
            let found = header(&document, &self.url());
            let seen = if found.as_deref() == Some(&basic(token)) {
                Seen::Ours { expires: token.expires }
            } else {
                let what = if found.is_some() { "another header" } else { "no header" };
                let detail = format!("{}: {what} for {host}", path.display());
                Seen::NotOurs(Problem::new(Reason::OutputMissing, detail))
            };
            (host.clone(), seen)
        });
        Ok(seen.collect())
    }
}
