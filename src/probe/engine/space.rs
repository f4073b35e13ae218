//! The guard before a pull: one that fills the disk would cause the outage that it looks for.

use std::path::Path;

/// What is free where an engine keeps its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: u64,
    /// Inodes; `None` where the filesystem does not count them.
    pub inodes: Option<u64>,
}

/// A pull of a few files takes some; fewer than that is an outage already.
const LEAST_INODES: u64 = 10_000;

impl Space {
    /// Looks.
    pub(super) fn at(folder: &Path) -> Result<Self, String> {
        let seen = rustix::fs::statvfs(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let inodes = (seen.f_files > 0).then_some(seen.f_favail);
        Ok(Self { bytes: seen.f_bavail.saturating_mul(seen.f_frsize), inodes })
    }

    /// Whether an image of so many compressed bytes may be pulled; why not. Unpacked it is about
    /// twice as large, and for a while both are there.
    pub fn allows(self, compressed: Option<u64>, least_free: u64) -> Result<(), String> {
        let needed = compressed.unwrap_or_default().saturating_mul(3).saturating_add(least_free);
        if self.bytes < needed {
            return Err(format!("{} bytes are free, {needed} are needed", self.bytes));
        }
        match self.inodes {
            Some(free) if free < LEAST_INODES => Err(format!("only {free} inodes are free")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_not_begun_where_it_could_fill_the_disk() {
        let space = Space { bytes: 1000, inodes: Some(20_000) };
        assert_eq!(space.allows(Some(100), 700), Ok(()));
        assert!(space.allows(Some(101), 700).is_err());
        assert!(space.allows(None, 1001).is_err());
        assert!(Space { inodes: Some(9), ..space }.allows(None, 0).is_err());
        assert!(space.allows(Some(u64::MAX), u64::MAX).is_err());
    }
}
