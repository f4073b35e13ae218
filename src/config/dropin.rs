//! Which files make up the configuration, in which order.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Mistake, Place};

/// The folders, by systemd's rules: a file of the same name in a later one replaces the earlier.
const FOLDERS: [&str; 4] = [
    "/usr/lib/ecr-warden/config.d",
    "/usr/local/lib/ecr-warden/config.d",
    "/run/ecr-warden/config.d",
    "/etc/ecr-warden/config.d",
];

/// Read last.
const MAIN: &str = "/etc/ecr-warden/config.toml";

/// No configuration is larger; a file that is was given by mistake.
const LARGEST: u64 = 4 << 20;

/// Where the configuration is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    given: Vec<PathBuf>,
    root: PathBuf,
}

impl Sources {
    /// The paths of `--config` (files or folders), or the default places when there are none.
    pub fn new(given: Vec<PathBuf>) -> Self {
        Self { given, root: PathBuf::from("/") }
    }

    /// The default places below another root.
    pub fn below(root: &Path) -> Self {
        Self { given: Vec::new(), root: root.to_owned() }
    }

    /// The files in the order in which they are merged.
    pub fn files(&self, mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
        if self.given.is_empty() {
            let folders = FOLDERS.map(|folder| self.below_root(folder));
            let mut files = in_folders(&folders, mistakes);
            let main = self.below_root(MAIN);
            if main.exists() {
                files.push(main);
            }
            return files;
        }
        let mut files = Vec::new();
        for path in &self.given {
            if path.is_dir() {
                files.extend(in_folders(std::slice::from_ref(path), mistakes));
            } else {
                files.push(path.clone());
            }
        }
        files
    }

    /// Every path whose change may change the configuration.
    pub fn watched(&self) -> Vec<PathBuf> {
        if self.given.is_empty() {
            let mut paths: Vec<PathBuf> =
                FOLDERS.iter().map(|folder| self.below_root(folder)).collect();
            paths.push(self.below_root(MAIN));
            paths
        } else {
            self.given.clone()
        }
    }

    fn below_root(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// The `*.toml` of these folders in name order, same names replaced, masked ones left out.
fn in_folders(folders: &[PathBuf], mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let mut named = BTreeMap::new();
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                mistakes.push(unreadable(folder, &error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let hidden = name.to_string_lossy().starts_with('.');
            if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
                named.insert(name, path);
            }
        }
    }
    let masked = |path: &PathBuf| {
        fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"))
    };
    named.into_values().filter(|path| !masked(path)).collect()
}

/// A file's text; what can't be read is a mistake.
pub fn read(file: &Path, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let too_large =
        |size: u64| io::Error::other(format!("{size} bytes are too many for a configuration file"));
    let text = fs::metadata(file).and_then(|metadata| {
        if metadata.len() > LARGEST {
            Err(too_large(metadata.len()))
        } else {
            fs::read_to_string(file)
        }
    });
    match text {
        Ok(text) => Some(text),
        Err(error) => {
            mistakes.push(unreadable(file, &error));
            None
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Mistake {
    let place = Place { file: path.to_owned(), line: 0, column: 0 };
    Mistake { place, message: format!("can't be read: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let files = Sources::below(root).files(&mut Vec::new());
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        files.iter().map(relative).collect()
    }

    #[test]
    fn later_folders_replace_and_mask_by_name_and_all_are_read_in_name_order() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        put("usr/lib/ecr-warden/config.d/10-a.toml");
        put("usr/lib/ecr-warden/config.d/20-b.toml");
        put("usr/lib/ecr-warden/config.d/README");
        put("run/ecr-warden/config.d/30-c.toml");
        put("etc/ecr-warden/config.d/10-a.toml");
        put("etc/ecr-warden/config.d/.20-b.toml.swp");
        put("etc/ecr-warden/config.toml");
        std::os::unix::fs::symlink(
            "/dev/null",
            root.path().join("etc/ecr-warden/config.d/20-b.toml"),
        )
        .unwrap();
        assert_eq!(
            names(root.path()),
            [
                "etc/ecr-warden/config.d/10-a.toml",
                "run/ecr-warden/config.d/30-c.toml",
                "etc/ecr-warden/config.toml",
            ]
        );
    }

    #[test]
    fn a_named_file_that_is_not_there_is_a_mistake() {
        let mut mistakes = Vec::new();
        let sources = Sources::new(vec![PathBuf::from("/nowhere/x.toml")]);
        for file in sources.files(&mut mistakes) {
            read(&file, &mut mistakes);
        }
        assert!(
            mistakes[0].to_string().starts_with("/nowhere/x.toml: can't be read: No such file")
        );
    }
}
