//! Events and findings grouped for people: who, what, how often, first and last. Bounded memory. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use jiff::Timestamp;

use super::{
    action::Operation,
    examine::Witness,
    record::{Answer, Record},
    rules::{Finding, Rule, Severity},
    seen::mark,
};

/// So many groups of each kind are told apart.
const GROUPS: usize = 10_000;

/// So many hosts are told apart, over all groups.
const HOSTS: usize = 100_000;

/// So many unreadable things are shown.
const SHOWN: usize = 5;

/// How often, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// How often it was denied.
    pub denied: u64,
    /// How often it failed otherwise.
    pub failed: u64,
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

impl Times {
    fn at(time: Timestamp) -> Self {
        Self { count: 0, denied: 0, failed: 0, first: time, last: time }
    }

    fn add(&mut self, record: &Record) {
        self.count += 1;
        self.denied += u64::from(matches!(record.answer, Answer::Denied(_)));
        self.failed += u64::from(matches!(record.answer, Answer::Failed(_)));
        self.first = self.first.min(record.time);
        self.last = self.last.max(record.time);
    }
}

/// What a line of the summary is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Use {
    /// Who, without the session.
    pub who: String,
    /// What for.
    pub operation: Operation,
    /// The repository, role or key; empty for none.
    pub subject: String,
    /// The registry's account and region.
    pub registry: (String, String),
}

/// What a group of findings is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct About {
    /// The rule.
    pub rule: Rule,
    /// Who.
    pub who: String,
    /// The API call.
    pub name: String,
    /// The repository, role or key.
    pub subject: String,
    /// The layer of a denial, in words; empty for other rules.
    pub layer: String,
}

/// A group of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The worst of them.
    pub severity: Severity,
    /// How often, and when.
    pub times: Times,
    /// What was seen the last time.
    pub detail: String,
    /// The last session's name and eventID: where to begin to look.
    pub example: (String, String),
    /// AWS's own words of the last one.
    pub words: String,
}

/// A line's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How often, and when.
    pub times: Times,
    /// The sessions, as marks.
    hosts: BTreeSet<u64>,
}

impl Line {
    /// How many role sessions there were by name.
    pub fn sessions(&self) -> usize {
        self.hosts.len()
    }
}

/// The summary.
#[derive(Default)]
pub struct Summary {
    /// The uses.
    pub uses: HashMap<Use, Line>,
    /// The findings.
    pub findings: HashMap<About, Group>,
    /// Events and findings that no group was left for.
    pub beyond: (u64, u64),
    /// Beginnings of what could not be read, with why.
    pub unread: Vec<(String, String)>,
    /// The accounts and regions whose trails these are.
    pub trails: BTreeMap<(String, String), u64>,
    /// The earliest and the latest event.
    pub span: Option<(Timestamp, Timestamp)>,
    hosts: usize,
}

impl Witness for Summary {
    fn event(&mut self, record: &Record, _: &[u8], findings: &[Finding], again: bool) {
        for finding in findings {
            self.find(record, finding);
        }
        if again {
            return;
        }
        let (first, last) = self.span.unwrap_or((record.time, record.time));
        self.span = Some((first.min(record.time), last.max(record.time)));
        let trail = (record.account.clone(), record.region.clone());
        if self.trails.len() < 1000 || self.trails.contains_key(&trail) {
            *self.trails.entry(trail).or_default() += 1;
        }
        let what = Use {
            who: record.actor.short(),
            operation: record.operation,
            subject: record.subject().to_owned(),
            registry: (record.registry.clone(), record.region.clone()),
        };
        let Some(line) = room(&mut self.uses, what, || Line {
            times: Times::at(record.time),
            hosts: BTreeSet::new(),
        }) else {
            self.beyond.0 += 1;
            return;
        };
        line.times.add(record);
        if !record.actor.session.is_empty()
            && self.hosts < HOSTS
            && line.hosts.insert(mark(&[&record.actor.session]))
        {
            self.hosts += 1;
        }
    }

    fn unread(&mut self, beginning: &[u8], why: &str) {
        if self.unread.len() < SHOWN {
            let shown = &beginning[..beginning.len().min(80)];
            self.unread.push((String::from_utf8_lossy(shown).into_owned(), why.to_owned()));
        }
    }
}

impl Summary {
    fn find(&mut self, record: &Record, finding: &Finding) {
        let about = About {
            rule: finding.rule,
            who: record.actor.short(),
            name: record.name.clone(),
            subject: record.subject().to_owned(),
            layer: if finding.rule == Rule::Denied {
                finding.detail.clone()
            } else {
                String::new()
            },
        };
        let Some(group) = room(&mut self.findings, about, || Group {
            severity: finding.severity,
            times: Times::at(record.time),
            detail: String::new(),
            example: (String::new(), String::new()),
            words: String::new(),
        }) else {
            self.beyond.1 += 1;
            return;
        };
        group.times.add(record);
        group.severity = group.severity.max(finding.severity);
        group.example = (record.actor.session.clone(), record.id.clone());
        group.detail.clone_from(&finding.detail);
        group.words.clone_from(&record.message);
    }
}

/// The value of this key, made if there is room for it.
fn room<K: Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    key: K,
    make: impl FnOnce() -> V,
) -> Option<&mut V> {
    if map.len() >= GROUPS && !map.contains_key(&key) {
        return None;
    }
    Some(map.entry(key).or_insert_with(make))
}
