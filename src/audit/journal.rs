//! The journal: JSON lines to a rotated file, standard output or the log. What could not be written
//! is a problem that stops the audit where it stands; nothing is dropped.

pub mod line;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tracing::{info, warn};

use super::{
    record::Record,
    rules::Finding,
    seen::{Recent, mark},
};
use crate::model::{
    audit::{AuditSpec, JournalTo},
    outcome::Problem,
    reason::Reason,
};

/// So much of an earlier journal is read in order to know what it has.
const TAIL: u64 = 16 << 20;

/// So many lines are known.
const KNOWN: usize = 200_000;

/// What a line is about.
pub enum Entry<'a> {
    /// An event that a rule speaks of.
    Finding(&'a Record, &'a Finding),
    /// An event, with its record.
    Event(&'a Record, &'a [u8]),
    /// Something in a log that can't be read.
    Unread {
        /// The log.
        log: &'a str,
        /// Its beginning.
        beginning: &'a [u8],
        /// Why.
        why: &'a str,
    },
    /// A log that can't be read to its end, or a time that nobody looked at.
    Trouble {
        /// The log, or the source.
        log: &'a str,
        /// What is the matter.
        problem: &'a Problem,
    },
}

impl Entry<'_> {
    /// What makes two lines the same.
    fn mark(&self) -> Option<u64> {
        match self {
            Self::Finding(record, finding) => Some(mark(&[&record.id, finding.rule.name()])),
            Self::Event(record, _) => Some(mark(&[&record.id, "event"])),
            Self::Unread { .. } | Self::Trouble { .. } => None,
        }
    }
}

/// An open journal.
pub struct Journal {
    to: To,
    ecs: bool,
    /// Whether events are written that nobody finds anything in.
    pub events: bool,
    pending: Vec<u8>,
    known: Recent<u64, ()>,
    failed: Option<Problem>,
}

enum To {
    File(Rotated),
    Stdout,
    Log,
}

struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
    keep: u32,
}

impl Journal {
    /// Opens it; of a file, what was written before is known again.
    pub fn open(spec: &AuditSpec, state: &Path) -> Result<Self, Problem> {
        let mut known = Recent::new(KNOWN);
        let to = match spec.journal {
            JournalTo::Stdout => To::Stdout,
            JournalTo::Log => To::Log,
            JournalTo::File => {
                let path = spec.journal_file.clone();
                let path = path.unwrap_or_else(|| state.join("audit/journal.jsonl"));
                To::File(
                    Rotated::open(&path, spec.journal_bytes, spec.journal_keep, &mut known)
                        .map_err(|error| unwritable(&path, &error))?,
                )
            }
        };
        let (ecs, events) = (spec.journal_ecs, spec.journal_events);
        Ok(Self { to, ecs, events, pending: Vec::new(), known, failed: None })
    }

    /// Adds a line, unless the journal has it already. Whether it was added.
    pub fn add(&mut self, entry: &Entry<'_>) -> bool {
        let mark = entry.mark();
        if mark.is_some_and(|mark| self.known.put(mark, ()).is_some()) {
            return false;
        }
        let value = if self.ecs { line::ecs(entry) } else { line::own(entry) };
        if matches!(self.to, To::Log) {
            log(entry, &value.to_string());
            return true;
        }
        self.pending.extend_from_slice(value.to_string().as_bytes());
        self.pending.push(b'\n');
        if self.pending.len() > 1 << 20 && self.failed.is_none() {
            self.failed = self.write().err();
        }
        true
    }

    /// What was added is on the disk when this returns. After a problem the journal is to be opened
    /// again: it does not know any more what it has.
    pub fn flush(&mut self) -> Result<(), Problem> {
        if let Some(problem) = self.failed.take() {
            return Err(problem);
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write()?;
        if let To::File(rotated) = &mut self.to {
            rotated.settle().map_err(|error| unwritable(&rotated.path, &error))?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Problem> {
        let written = match &mut self.to {
            To::File(rotated) => {
                rotated.size += self.pending.len() as u64;
                rotated
                    .file
                    .write_all(&self.pending)
                    .map_err(|error| unwritable(&rotated.path, &error))
            }
            To::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.pending)
                    .and_then(|()| out.flush())
                    .map_err(|error| unwritable(Path::new("standard output"), &error))
            }
            To::Log => Ok(()),
        };
        self.pending.clear();
        written
    }
}

impl Rotated {
    fn open(path: &Path, most: u64, keep: u32, known: &mut Recent<u64, ()>) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if keep > 0 {
            let _ = learn(&nth(path, 1), known);
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let whole = learn(path, known)?;
        // What a crash left of a line is no line: its event comes again.
        file.set_len(whole)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, size, most, keep })
    }

    /// Onto the disk; then a new file, when this one is large enough.
    fn settle(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.size < self.most {
            return Ok(());
        }
        for number in (1..self.keep).rev() {
            let _ = fs::rename(nth(&self.path, number), nth(&self.path, number + 1));
        }
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        } else {
            fs::rename(&self.path, nth(&self.path, 1))?;
        }
        self.file =
            OpenOptions::new().append(true).create_new(true).mode(0o600).open(&self.path)?;
        self.size = 0;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

fn nth(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

/// Reads what a journal has; the length up to the end of its last whole line.
fn learn(path: &Path, known: &mut Recent<u64, ()>) -> io::Result<u64> {
    #[derive(Deserialize)]
    struct Line {
        kind: String,
        #[serde(default)]
        rule: Option<String>,
        #[serde(default)]
        event_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Ecs {
        ecr_warden: Line,
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file.take(TAIL));
    let (mut line, mut whole, mut at) = (Vec::new(), start, start);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(whole);
        }
        at += read as u64;
        if line.last() != Some(&b'\n') {
            continue;
        }
        whole = at;
        let parsed = serde_json::from_slice::<Line>(&line)
            .or_else(|_| serde_json::from_slice::<Ecs>(&line).map(|ecs| ecs.ecr_warden));
        if let Ok(Line { kind, rule, event_id: Some(id) }) = parsed {
            let what = if kind == "event" { Some("event".to_owned()) } else { rule };
            if let Some(what) = what {
                known.put(mark(&[&id, &what]), ());
            }
        }
    }
}

fn log(entry: &Entry<'_>, line: &str) {
    match entry {
        Entry::Finding(record, finding) => {
            let reason = finding.rule.reason();
            warn!(
                reason = reason.code(),
                severity = finding.severity.word(),
                remedy = reason.remedy(),
                event_id = record.id.as_str(),
                "audit: {}: {}",
                record.actor.short(),
                finding.detail
            );
        }
        Entry::Event(..) => info!("audit: {line}"),
        Entry::Unread { .. } | Entry::Trouble { .. } => warn!("audit: {line}"),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Reason::AuditJournalUnwritable, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
