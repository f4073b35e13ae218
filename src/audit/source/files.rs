//! A folder of log files, filled by somebody else: `aws s3 sync`, a mount, a shipper.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Body, BoxFuture, Fetched, Parcel, Source};
use crate::{
    audit::{
        seen::{Recent, mark},
        walk::{Walk, is_log},
    },
    model::{outcome::Problem, reason::Reason},
};

/// So many files are known to be done: a year of one account and region. What goes beyond is read
/// again and known by its eventIDs.
const DONE: usize = 100_000;

/// A file that was changed in the last moment may not be whole yet.
const SETTLED: SignedDuration = SignedDuration::from_secs(10);

/// The folder.
pub struct Files {
    folder: PathBuf,
    done: Recent<u64, ()>,
    walk: Option<Walk>,
    covered: Option<Timestamp>,
}

impl Files {
    /// A folder of which nothing is done yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), done: Recent::new(DONE), walk: None, covered: None }
    }

    fn next(&mut self, now: Timestamp) -> Result<Fetched, Problem> {
        let unreadable = |path: &Path, error: &std::io::Error| {
            Problem::new(Reason::AuditUnreadable, format!("{}: {error}", path.display()))
        };
        if self.walk.is_none() {
            fs::read_dir(&self.folder).map_err(|error| unreadable(&self.folder, &error))?;
        }
        let walk = self.walk.get_or_insert_with(|| Walk::new(std::slice::from_ref(&self.folder)));
        for found in walk {
            let path = match found {
                Ok(path) if is_log(&path) => path,
                Ok(_) => continue,
                Err((path, error)) => return Err(unreadable(&path, &error)),
            };
            // Gone since the folder was read: nothing to look at.
            let Ok(about) = fs::metadata(&path) else { continue };
            let receipt = receipt(&path, &about);
            let changed = Timestamp::from_second(about.mtime()).unwrap_or(Timestamp::UNIX_EPOCH);
            let settled = now.duration_since(changed) > SETTLED || changed > now;
            if !settled || self.done.get(&receipt).is_some() {
                continue;
            }
            let name = path.display().to_string();
            let receipt = receipt.to_string();
            return Ok(Fetched::Parcel(Parcel { name, body: Body::File(path), receipt }));
        }
        self.walk = None;
        Ok(Fetched::Nothing { pause: None })
    }
}

/// A file that grows or is replaced is another one.
fn receipt(path: &Path, about: &fs::Metadata) -> u64 {
    let size = about.len().to_string();
    let changed = format!("{}.{}", about.mtime(), about.mtime_nsec());
    mark(&[&path.to_string_lossy(), &size, &changed])
}

impl Source for Files {
    fn name(&self) -> String {
        format!("files:{}", self.folder.display())
    }

    fn fetch(&mut self, now: Timestamp) -> BoxFuture<'_, Result<Fetched, Problem>> {
        let found = self.next(now);
        if found.is_err() {
            self.walk = None;
        }
        Box::pin(async { found })
    }

    fn done<'a>(
        &'a mut self,
        receipt: &'a str,
        latest: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        if let Ok(mark) = receipt.parse() {
            self.done.put(mark, ());
        }
        self.covered = self.covered.max(latest);
        Box::pin(async { Ok(()) })
    }

    /// Nobody says how far the folder reaches, so it is no further than its last event.
    fn covered(&self) -> Option<Timestamp> {
        self.covered
    }

    fn place(&self) -> Value {
        let done: Vec<u64> = self.done.iter().map(|(mark, ())| *mark).collect();
        json!({ "done": done, "covered": self.covered })
    }

    fn go_to(&mut self, place: &Value) {
        for mark in place["done"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            self.done.put(mark, ());
        }
        self.covered = place["covered"].as_str().and_then(|covered| covered.parse().ok());
    }
}
