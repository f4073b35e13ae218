//! Log files in, a report out.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    examine::Examiner,
    input::{self, Progress},
    report::Report,
    summary::Summary,
    walk::Walk,
};
use crate::model::{outcome::Problem, reason::Reason};

/// So many files that could not be read are named.
const NAMED: usize = 1000;

/// How far a scan is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Files done.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: Progress,
    /// Records of all files.
    pub records: u64,
}

/// Reads files and folders; `-` is standard input. Nothing stops at a file that can't be read.
pub fn scan(
    paths: &[PathBuf],
    mut examiner: Examiner,
    stdin: &mut dyn Read,
    step: &mut dyn FnMut(Step),
) -> Report {
    let mut summary = Summary::default();
    let mut not_read: Vec<(String, Problem)> = Vec::new();
    let (mut trouble, mut done) = (0_u64, Step::default());
    for found in Walk::new(paths) {
        let (path, opened) = match found {
            Ok(path) if path == Path::new("-") => (path, Ok(None)),
            Ok(path) => {
                let opened = File::open(&path).map(Some);
                (path, opened)
            }
            Err((path, error)) => (path, Err(error)),
        };
        let before = done;
        let mut along = |progress: Progress, records: u64| {
            done.bytes.taken = before.bytes.taken + progress.taken;
            done.bytes.given = before.bytes.given + progress.given;
            done.records = records;
            step(done);
        };
        let result = match opened {
            Ok(Some(file)) => one(file, &mut examiner, &mut summary, &mut along),
            Ok(None) => one(&mut *stdin, &mut examiner, &mut summary, &mut along),
            Err(error) => Err(unopened(&error)),
        };
        done.files += 1;
        if let Err(problem) = result {
            trouble += 1;
            if not_read.len() < NAMED {
                not_read.push((path.display().to_string(), problem));
            }
        }
    }
    Report { done, counts: examiner.counts, summary, not_read, trouble }
}

fn one(
    from: impl Read,
    examiner: &mut Examiner,
    summary: &mut Summary,
    along: &mut dyn FnMut(Progress, u64),
) -> Result<(), Problem> {
    let examiner = std::cell::RefCell::new(examiner);
    let result = input::read(
        from,
        &mut |piece| examiner.borrow_mut().take(piece, summary),
        &mut |progress| along(progress, examiner.borrow().counts.records),
    );
    if let Ok(progress) = &result {
        along(*progress, examiner.borrow().counts.records);
    }
    result.map(|_| ())
}

fn unopened(error: &io::Error) -> Problem {
    Problem::new(Reason::AuditUnreadable, error.to_string())
}
