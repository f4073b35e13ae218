//! A note of what a pull is about to bring, kept until that is removed again: a probe that is killed
//! in the middle leaves it to the next to clean up.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use super::EnginePlan;
use crate::model::token::fingerprint;

/// The note for one image of one engine; it may not be there.
pub(super) struct Note(Option<PathBuf>);

impl Note {
    pub(super) fn of(plan: &EnginePlan, name: &str) -> Self {
        let file = format!("engine-{}-{}", plan.engine.word(), fingerprint(name));
        Self(plan.notes.as_ref().map(|folder| folder.join(file)))
    }

    /// Whether a probe has begun a pull and never came to its end.
    pub(super) fn is_there(&self) -> bool {
        self.0.as_ref().is_some_and(|path| path.exists())
    }

    /// Writes it. Where it can't be, nothing else is lost than this.
    pub(super) fn write(&self, name: &str) {
        if let Some(path) = &self.0 {
            let mut options = fs::OpenOptions::new();
            let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
            let _ = opened.and_then(|mut file| file.write_all(name.as_bytes()));
        }
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
