//! Configuration: files to fragments to validated settings.
//!
//! `keys.rs` is the one description of every table and key; the reader, the JSON Schema and the
//! reference all come out of it. Nothing stops at the first mistake.

pub mod describe;
pub mod diff;
pub mod dropin;
pub mod fragment;
pub mod keys;
pub mod settings;
pub mod watch;

use std::{fmt, path::PathBuf};

/// Where something stands in a configuration file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line; 0 when the mistake is about the file itself.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.file.display())
        } else {
            write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
        }
    }
}

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Reads, merges and validates: the settings, or every mistake at once.
pub fn load(sources: &dropin::Sources) -> Result<settings::Loaded, Vec<Mistake>> {
    let (loaded, mistakes) = load_anyway(sources);
    if mistakes.is_empty() { Ok(loaded) } else { Err(mistakes) }
}

/// The same, for those who only look for the daemon: what is right of the settings, with all
/// mistakes, sorted by place.
pub fn load_anyway(sources: &dropin::Sources) -> (settings::Loaded, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let files = sources.files(&mut mistakes);
    let mut fragments = Vec::new();
    for file in &files {
        if let Some(text) = dropin::read(file, &mut mistakes) {
            fragments.push(fragment::parse(file, &text, &mut mistakes));
        }
    }
    let loaded = settings::build(fragments, files, &mut mistakes);
    mistakes.sort();
    mistakes.dedup();
    (loaded, mistakes)
}
