//! What was published where: kept over a restart, so that an output or a registry that is taken
//! out of the configuration is withdrawn even if the daemon did not run meanwhile.
//!
//! Each output has a page, a file of its own: what a rotation writes grows with the outputs and not
//! with their square, and no output waits for another's disk.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Entries, Ownership};
use crate::{
    model::{
        outcome::Problem,
        output::{OutputKind, OutputSpec},
        reason::Reason,
        token::fingerprint,
    },
    state_file::{self, Readers},
};

const VERSION: u32 = 1;

/// So many tokens of the past are remembered for each host.
const REMEMBERED: usize = 4;

/// Where something was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    kind: String,
    path: PathBuf,
    owner: Option<String>,
    group: Option<String>,
    hosts: BTreeMap<String, Vec<Mark>>,
}

/// A token that was published, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    fingerprint: String,
    expires: Timestamp,
}

impl Record {
    fn of(spec: &OutputSpec) -> Self {
        Self {
            kind: spec.kind.word().to_owned(),
            path: spec.path.clone(),
            owner: spec.owner.clone(),
            group: spec.group.clone(),
            hosts: BTreeMap::new(),
        }
    }

    fn is_of(&self, spec: &OutputSpec) -> bool {
        if spec.kind == OutputKind::Socket {
            // Wherever a socket is, what is kept for it is in one place.
            return self.kind == spec.kind.word();
        }
        self.kind == spec.kind.word() && self.path == spec.path && self.owner == spec.owner
    }

    /// The registry hosts for which something was published.
    pub fn hosts(&self) -> impl Iterator<Item = &String> {
        self.hosts.keys()
    }

    /// The settings with which it can be withdrawn.
    pub fn spec(&self, name: &str) -> Option<OutputSpec> {
        let kind = OutputKind::of(&self.kind)?;
        Some(OutputSpec {
            owner: self.owner.clone(),
            group: self.group.clone(),
            ..OutputSpec::new(name, kind, &self.path)
        })
    }
}

/// A page as it stands in its file.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    output: String,
    record: Record,
}

/// What is to be written, without the ledger being held meanwhile.
#[must_use]
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    /// `None`: nothing is left to remember.
    text: Option<Vec<u8>>,
}

impl Page {
    /// Writes it; it is on the disk when this returns.
    pub fn write(&self) -> Result<(), Problem> {
        let written = match &self.text {
            Some(text) => state_file::replace(&self.path, text, Readers::Nobody),
            None => state_file::remove(&self.path).map(drop),
        };
        written.map_err(|error| {
            Problem::new(Reason::StateUnwritable, format!("{}: {error}", self.path.display()))
        })
    }
}

/// The ledger. Fingerprints only, no credentials.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    outputs: BTreeMap<String, Record>,
}

impl Ledger {
    /// Reads the ledger of a state directory. A page that can't be understood is set aside and said.
    pub fn load(state_directory: &Path) -> (Self, Option<Problem>) {
        let folder = state_directory.join("outputs");
        let mut ledger = Self { folder, outputs: BTreeMap::new() };
        let unreadable = |path: &Path, error: &io::Error| {
            Problem::new(Reason::StateUnreadable, format!("{}: {error}", path.display()))
        };
        let pages = match fs::read_dir(&ledger.folder) {
            Ok(pages) => pages,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (ledger, None),
            Err(error) => {
                let problem = unreadable(&ledger.folder, &error);
                return (ledger, Some(problem));
            }
        };
        let mut problem = None;
        for page in pages {
            let path = match page {
                Ok(page) => page.path(),
                Err(error) => {
                    problem = Some(unreadable(&ledger.folder, &error));
                    continue;
                }
            };
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match fs::read(&path) {
                Ok(text) => match serde_json::from_slice::<Written>(&text) {
                    Ok(page) if page.version == VERSION => {
                        ledger.outputs.insert(page.output, page.record);
                    }
                    _ => {
                        let aside = path.with_extension("json.bad");
                        let _ = fs::rename(&path, &aside);
                        let detail =
                            format!("{}: set aside as {}", path.display(), aside.display());
                        problem = Some(Problem::new(Reason::StateCorrupt, detail));
                    }
                },
                Err(error) => problem = Some(unreadable(&path, &error)),
            }
        }
        (ledger, problem)
    }

    /// What may be taken out of an output: everything of ours for hosts that are no longer
    /// published there, and what has expired. A credential that still works is never in it.
    pub fn withdrawable(&self, spec: &OutputSpec, hosts: &[String], now: Timestamp) -> Ownership {
        let Some(record) = self.outputs.get(&spec.name).filter(|record| record.is_of(spec)) else {
            return Ownership::new();
        };
        let mut all = Ownership::new();
        for (host, marks) in &record.hosts {
            let gone = !hosts.contains(host);
            let marks = marks.iter().filter(|mark| gone || mark.expires <= now);
            let fingerprints: Vec<String> = marks.map(|mark| mark.fingerprint.clone()).collect();
            if !fingerprints.is_empty() {
                all.insert(host.clone(), fingerprints);
            }
        }
        all
    }

    /// Every output in which something of ours may stand.
    pub fn records(&self) -> Vec<(String, Record)> {
        self.strays(&[])
    }

    /// The registry hosts of an output whose newest credential is still alive.
    pub fn alive(&self, name: &str, now: Timestamp) -> Vec<String> {
        let hosts = self.outputs.get(name).map(|record| &record.hosts).into_iter().flatten();
        let alive = hosts.filter(|(_, marks)| marks.last().is_some_and(|mark| mark.expires > now));
        alive.map(|(host, _)| host.clone()).collect()
    }

    /// What is recognised as ours of these entries' earlier content.
    pub fn known(&self, spec: &OutputSpec, entries: &Entries) -> Ownership {
        let Some(record) = self.outputs.get(&spec.name).filter(|record| record.is_of(spec)) else {
            return Ownership::new();
        };
        let known = record.hosts.iter().filter(|(host, _)| entries.contains_key(*host));
        known
            .map(|(host, marks)| {
                (host.clone(), marks.iter().map(|mark| mark.fingerprint.clone()).collect())
            })
            .collect()
    }

    /// Outputs in which something of ours may stand that no settings speak of any more.
    pub fn strays(&self, configured: &[OutputSpec]) -> Vec<(String, Record)> {
        let known = |record: &Record| configured.iter().any(|spec| record.is_of(spec));
        let strays = self.outputs.iter().filter(|(_, record)| !known(record));
        strays.map(|(name, record)| (name.clone(), record.clone())).collect()
    }

    /// Notes that these entries are about to be published. The page, if there is one, is to be
    /// written before they are, so that a kill in between leaves no entry that nobody knows of.
    pub fn intend(&mut self, spec: &OutputSpec, entries: &Entries) -> Option<Page> {
        let record = self.outputs.entry(spec.name.clone()).or_insert_with(|| Record::of(spec));
        if !record.is_of(spec) {
            *record = Record::of(spec);
        }
        let mut changed = false;
        for (host, token) in entries {
            let known = record.hosts.entry(host.clone()).or_default();
            let mark = Mark { fingerprint: token.secret.fingerprint(), expires: token.expires };
            if known.last() != Some(&mark) {
                known.retain(|other| other.fingerprint != mark.fingerprint);
                known.push(mark);
                let excess = known.len().saturating_sub(REMEMBERED);
                known.drain(..excess);
                changed = true;
            }
        }
        changed.then(|| self.page(&spec.name))
    }

    /// Notes that nothing of ours is left for hosts other than these.
    pub fn settle(&mut self, name: &str, left: &[String]) -> Result<(), Problem> {
        let Some(record) = self.outputs.get_mut(name) else {
            return Ok(());
        };
        let before = record.hosts.len();
        record.hosts.retain(|host, _| left.contains(host));
        let changed = record.hosts.len() != before;
        if record.hosts.is_empty() {
            self.outputs.remove(name);
        }
        if changed { self.page(name).write() } else { Ok(()) }
    }

    fn page(&self, name: &str) -> Page {
        // Names are free text.
        let path = self.folder.join(format!("{}.json", fingerprint(name)));
        let text = self.outputs.get(name).and_then(|record| {
            let (output, record) = (name.to_owned(), record.clone());
            // There is nothing in it that JSON can't hold.
            serde_json::to_vec(&Written { version: VERSION, output, record }).ok()
        });
        Page { path, text }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::model::token::{AuthorizationToken, Token};

    fn spec(path: &str) -> OutputSpec {
        OutputSpec::new("out", OutputKind::DockerConfig, path)
    }

    fn entries(password: &str) -> Entries {
        let secret = AuthorizationToken::of("AWS", &SecretString::from(password));
        let token = Token { secret, minted: Timestamp::UNIX_EPOCH, expires: Timestamp::MAX };
        Entries::from([("h".to_owned(), token)])
    }

    #[test]
    fn what_was_published_is_known_after_a_restart_and_without_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::load(folder.path());
        for password in ["a", "b", "c", "d", "e"] {
            ledger.intend(&spec("/x"), &entries(password)).unwrap().write().unwrap();
        }
        let (again, problem) = Ledger::load(folder.path());
        assert_eq!(problem, None);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(again.withdrawable(&spec("/x"), &[], now)["h"].len(), REMEMBERED);
        assert_eq!(again.withdrawable(&spec("/x"), &["h".into()], now), Ownership::new());
        assert_eq!(again.withdrawable(&spec("/x"), &["h".into()], Timestamp::MAX).len(), 1);
        assert_eq!(again.withdrawable(&spec("/y"), &[], now), Ownership::new());
        assert_eq!(again.strays(&[spec("/y")]).len(), 1);
        assert!(again.strays(&[spec("/x")]).is_empty());
        let text = fs::read_to_string(pages(&folder).pop().unwrap()).unwrap();
        assert!(!text.contains("QVdT"), "{text}");
    }

    fn pages(folder: &tempfile::TempDir) -> Vec<PathBuf> {
        let pages = fs::read_dir(folder.path().join("outputs")).unwrap();
        pages.map(|page| page.unwrap().path()).collect()
    }

    #[test]
    fn a_page_that_is_not_understood_is_set_aside_and_the_others_count() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::load(folder.path());
        for name in ["torn", "docker-config /root/.docker/config.json"] {
            let spec = OutputSpec::new(name, OutputKind::DockerConfig, "/x");
            ledger.intend(&spec, &entries("a")).unwrap().write().unwrap();
        }
        let torn = folder.path().join("outputs").join(format!("{}.json", fingerprint("torn")));
        fs::write(&torn, "{").unwrap();
        let (ledger, problem) = Ledger::load(folder.path());
        assert_eq!(problem.unwrap().reason, Reason::StateCorrupt);
        assert_eq!(ledger.records().len(), 1);
        assert!(torn.with_extension("json.bad").exists() && !torn.exists());
    }

    #[test]
    fn a_page_goes_with_the_last_of_its_entries_and_one_output_writes_no_other_page() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::load(folder.path());
        let other = OutputSpec::new("other", OutputKind::DockerConfig, "/y");
        ledger.intend(&spec("/x"), &entries("a")).unwrap().write().unwrap();
        assert_eq!(pages(&folder).len(), 1);
        ledger.intend(&other, &entries("a")).unwrap().write().unwrap();
        assert!(ledger.intend(&other, &entries("a")).is_none());
        ledger.settle("out", &[]).unwrap();
        assert_eq!(pages(&folder).len(), 1);
        assert_eq!(Ledger::load(folder.path()).0.records()[0].0, "other");
    }
}
