//! Files of the daemon's own: replaced in one step, and private from the moment that they exist.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::Path,
};

use zeroize::Zeroizing;

/// Who besides the daemon's user may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody: 0600.
    Nobody,
    /// The members of this group: 0640.
    Group(u32),
}

/// Replaces a file by one with this content, on the disk when this returns. Missing folders are
/// made, 0700.
pub fn replace(path: &Path, text: &[u8], readers: Readers) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    remove(&temporary)?;
    let mut new =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let filled = (|| {
        if let Readers::Group(group) = readers {
            fchown(&new, None, Some(group))?;
            new.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o640))?;
        }
        new.write_all(text)?;
        new.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if filled.is_err() {
        // Half a file with a secret in it is nothing to leave behind.
        let _ = remove(&temporary);
    }
    filled?;
    fs::File::open(folder)?.sync_all()
}

/// Whether a file holds this content already, for these readers.
pub fn holds(path: &Path, text: &[u8], readers: Readers) -> bool {
    let right = fs::metadata(path).is_ok_and(|about| {
        let mode = about.mode() & 0o7777;
        match readers {
            Readers::Nobody => mode == 0o600,
            Readers::Group(group) => mode == 0o640 && about.gid() == group,
        }
    });
    right && fs::read(path).is_ok_and(|current| Zeroizing::new(current).as_slice() == text)
}

/// Removes a file; one that is not there is fine. Whether it was there.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_read_by_whom_it_is_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b.json");
        replace(&path, b"one", Readers::Nobody).unwrap();
        replace(&path, b"two", Readers::Nobody).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(root.path().join("a")).unwrap().mode() & 0o7777, 0o700);
        let group = fs::metadata(&path).unwrap().gid();
        replace(&path, b"three", Readers::Group(group)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(root.path().join("a")).unwrap().count(), 1);
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    }
}
