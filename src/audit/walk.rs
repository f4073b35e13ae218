//! Log files among what is named: files as they are, folders with all that is in them, a folder at
//! a time, so that a million files cost no memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files, in the order of their names, which in a trail's bucket is the order of time.
#[derive(Debug)]
pub struct Walk {
    /// What is to come, the next one last.
    open: Vec<PathBuf>,
    /// How many of them were named, not found.
    named: usize,
}

impl Walk {
    /// Over these files and folders.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self { open: paths.iter().rev().cloned().collect(), named: paths.len() }
    }
}

impl Iterator for Walk {
    type Item = Result<PathBuf, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let path = self.open.pop()?;
            let named = self.open.len() < self.named;
            if named {
                self.named = self.open.len();
            }
            // Links are followed where they are named, and to files; never to folders in folders.
            let about = if named { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
            match about {
                Ok(about) if about.is_dir() => match inside(&path) {
                    Ok(found) => self.open.extend(found.into_iter().rev()),
                    Err(error) => return Some(Err((path, error))),
                },
                // A named one that is not there is for the opener to tell; `-` is not there either.
                Ok(_) | Err(_) if named => return Some(Ok(path)),
                Ok(_) if is_log(&path) && path.is_file() => return Some(Ok(path)),
                Ok(_) => {}
                Err(error) => return Some(Err((path, error))),
            }
        }
    }
}

fn inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Whether a file of a folder is a log, by its name; digests of the same bucket are none.
pub fn is_log(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let whole = path.to_string_lossy();
    !name.starts_with('.')
        && !whole.contains("/CloudTrail-Digest/")
        && !name.contains("_CloudTrail-Digest_")
        && [".json", ".json.gz", ".jsonl", ".jsonl.gz"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_logs_in_order_without_digests_and_loops() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("AWSLogs");
        for file in [
            "b/2.json.gz",
            "b/1.json.gz",
            "a/x.json",
            "b/readme.txt",
            "CloudTrail-Digest/d.json.gz",
            "b/.part.json",
        ] {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        std::os::unix::fs::symlink(&folder, folder.join("b/loop")).unwrap();
        let named = root.path().join("named.txt");
        fs::write(&named, "").unwrap();
        let absent = root.path().join("absent.json");
        let paths = [named.clone(), folder.clone(), absent.clone()];
        let found: Vec<PathBuf> = Walk::new(&paths).map(Result::unwrap).collect();
        let inside = ["a/x.json", "b/1.json.gz", "b/2.json.gz"].map(|file| folder.join(file));
        assert_eq!(found, [&[named][..], &inside, &[absent]].concat());
    }
}
