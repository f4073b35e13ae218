//! An output that is one file, whatever its format.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    Entries, Output, Ownership, Published, Seen,
    atomic_file::{self, Edit, Next},
    location::Location,
    place::{Owner, Place},
};
use crate::model::{outcome::Problem, reason::Reason};

/// What a file is to hold afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// These tokens, by registry host.
    pub entries: &'a Entries,
    /// None of these.
    pub withdraw: &'a Ownership,
    /// The file's path, for messages.
    pub path: &'a Path,
}

/// A file's new content and what is different in it.
#[derive(Debug, Default)]
pub struct Edited {
    /// What happens to the file.
    pub next: Next,
    /// Host names whose entry is new or replaced.
    pub set: Vec<String>,
    /// Those of them that had no entry at all.
    pub absent: Vec<String>,
    /// Host names whose entry is gone.
    pub removed: Vec<String>,
}

/// What can be read from, written into and taken out of a text.
pub trait Format: Send + Sync {
    /// The new text. What is not ours stays.
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem>;

    /// `theirs` with the changes that lead from `base` to `ours`.
    fn merge(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
        path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, Problem>;

    /// What the consumer would take from this text for each entry.
    fn see(
        &self,
        current: Option<&[u8]>,
        entries: &Entries,
        path: &Path,
    ) -> Result<BTreeMap<String, Seen>, Problem>;
}

/// A file in a format.
pub struct FileOutput<F> {
    location: Location,
    format: F,
}

impl<F: Format> FileOutput<F> {
    /// Nothing is looked at yet.
    pub fn new(location: Location, format: F) -> Self {
        Self { location, format }
    }
}

impl<F: Format> Output for FileOutput<F> {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        publish(&self.location, None, &self.format, entries, withdraw)
    }

    fn files(&self, _hosts: &[String]) -> Vec<PathBuf> {
        self.location.files()
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        read_back(&self.location, None, &self.format, entries)
    }
}

/// Changes the file at a location, or `below` it.
pub fn publish(
    location: &Location,
    below: Option<&Path>,
    format: &dyn Format,
    entries: &Entries,
    withdraw: &Ownership,
) -> Result<Published, Problem> {
    let Some((place, owner)) = location.open(below, !entries.is_empty())? else {
        return Ok(Published::default());
    };
    publish_at(&place, owner, location.mode(), format, entries, withdraw)
}

/// Changes the file at a place.
pub(super) fn publish_at(
    place: &Place,
    owner: Owner,
    mode: u32,
    format: &dyn Format,
    entries: &Entries,
    withdraw: &Ownership,
) -> Result<Published, Problem> {
    let change = Change { entries, withdraw, path: &place.path };
    let edit = Editing { format, change, done: RefCell::default() };
    let updated = atomic_file::update(place, owner, mode, &edit)?;
    let Edited { set, absent, removed, .. } = edit.done.into_inner();
    let warnings = updated.warnings;
    Ok(Published { written: updated.written, set, absent, removed, warnings, notes: Vec::new() })
}

/// Reads the file at a location, or `below` it, as its consumer would.
pub fn read_back(
    location: &Location,
    below: Option<&Path>,
    format: &dyn Format,
    entries: &Entries,
) -> Result<BTreeMap<String, Seen>, Problem> {
    let Some((place, _)) = location.open(below, false)? else {
        return Ok(all_missing(entries, "there is no such file"));
    };
    let text = atomic_file::read(&place)?;
    format.see(text.as_ref().map(|text| text.as_slice()), entries, &place.path)
}

/// None of these entries is to be seen.
pub fn all_missing(entries: &Entries, why: &str) -> BTreeMap<String, Seen> {
    let missing = || Seen::NotOurs(Problem::new(Reason::OutputMissing, why));
    entries.keys().map(|host| (host.clone(), missing())).collect()
}

struct Editing<'a> {
    format: &'a dyn Format,
    change: Change<'a>,
    /// Of the last application.
    done: RefCell<Edited>,
}

impl Edit for Editing<'_> {
    fn apply(&self, current: Option<&[u8]>) -> Result<Next, Problem> {
        let mut edited = self.format.edit(current, &self.change)?;
        let next = std::mem::take(&mut edited.next);
        self.done.replace(edited);
        Ok(next)
    }

    fn merge(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        self.format.merge(base, ours, theirs, self.change.path)
    }
}
