//! Where the audit stands: replaced in one step, after the journal is on the disk. What is read
//! again after a crash carries the same eventID, and the journal's file knows it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::Memory;
use crate::{
    model::{outcome::Problem, reason::Reason},
    state_file::{self, Readers},
};

/// The format's version.
const VERSION: u32 = 1;

/// Where the audit stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    version: u32,
    /// Since when it learns.
    pub began: Timestamp,
    /// Which source it is about: another one begins anew.
    pub source: String,
    /// Where that source stands, in its own terms.
    pub place: Value,
    /// What the rules remember.
    pub memory: Memory,
}

/// The file.
#[derive(Clone, Debug)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// The one of a state directory.
    pub fn new(state: &Path) -> Self {
        Self(state.join("audit/checkpoint.json"))
    }

    /// What was kept for this source, or the beginning; a file that can't be understood is set
    /// aside.
    pub fn load(
        &self,
        source: &str,
        now: Timestamp,
    ) -> Result<(Checkpoint, Option<Problem>), Problem> {
        let fresh = |memory, began| Checkpoint {
            version: VERSION,
            began,
            source: source.to_owned(),
            place: Value::Null,
            memory,
        };
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((fresh(Memory::default(), now), None));
            }
            Err(error) => {
                let detail = format!("{}: {error}", self.0.display());
                return Err(Problem::new(Reason::StateUnreadable, detail));
            }
        };
        match serde_json::from_slice::<Checkpoint>(&text) {
            Ok(kept) if kept.version == VERSION && kept.source == source => Ok((kept, None)),
            Ok(kept) if kept.version == VERSION => Ok((fresh(kept.memory, kept.began), None)),
            other => {
                let why =
                    other.err().map_or_else(|| "of another version".into(), |e| e.to_string());
                let aside = self.0.with_extension("corrupt");
                let _ = fs::rename(&self.0, &aside);
                let detail = format!("{}: {why}; now {}", self.0.display(), aside.display());
                let problem = Problem::new(Reason::StateCorrupt, detail);
                Ok((fresh(Memory::default(), now), Some(problem)))
            }
        }
    }

    /// Keeps it.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), Problem> {
        let text = serde_json::to_vec(checkpoint).unwrap_or_default();
        state_file::replace(&self.0, &text, Readers::Nobody).map_err(|error| {
            Problem::new(Reason::StateUnwritable, format!("{}: {error}", self.0.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_for_its_source_and_what_is_broken_is_set_aside() {
        let state = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(state.path());
        let (early, late) =
            (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let (mut kept, _) = file.load("a", early).unwrap();
        kept.place = serde_json::json!({ "x": 1 });
        file.save(&kept).unwrap();
        assert_eq!(file.load("a", late).unwrap(), (kept, None));
        let other = file.load("b", late).unwrap().0;
        assert_eq!((other.place, other.began), (Value::Null, early));
        fs::write(&file.0, "{").unwrap();
        let (fresh, problem) = file.load("a", late).unwrap();
        assert_eq!((fresh.began, problem.unwrap().reason), (late, Reason::StateCorrupt));
        assert!(state.path().join("audit/checkpoint.corrupt").exists());
    }
}
