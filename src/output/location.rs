//! Where an output's file is on this host, and whose it is.

use std::path::{Path, PathBuf};

use super::{
    accounts,
    place::{self, Owner, Place},
};
use crate::model::{outcome::Problem, output::OutputSpec};

/// The path, owner and mode of an output, on the host whose root is at a prefix.
#[derive(Clone, Debug)]
pub struct Location {
    path: PathBuf,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<u32>,
    prefix: PathBuf,
}

impl Location {
    /// Nothing is looked at yet.
    pub fn new(spec: &OutputSpec, prefix: &Path) -> Self {
        let prefix = if prefix.as_os_str().is_empty() { Path::new("/") } else { prefix };
        Self {
            path: spec.path.clone(),
            owner: spec.owner.clone(),
            group: spec.group.clone(),
            mode: spec.mode,
            prefix: prefix.to_owned(),
        }
    }

    /// Opens the way to the file, or to `below` in it where it is a folder; `None` if there is
    /// none and none is wanted.
    pub fn open(
        &self,
        below: Option<&Path>,
        create: bool,
    ) -> Result<Option<(Place, Owner)>, Problem> {
        let (path, owner) = self.resolve()?;
        let path = below.map_or(path.clone(), |below| path.join(below));
        Ok(place::open(&self.prefix, &path, owner, create)?.map(|place| (place, owner)))
    }

    /// The path as the host sees it, with the owner's home in place of `~`, and the owner.
    pub fn resolve(&self) -> Result<(PathBuf, Owner), Problem> {
        let me = rustix::process::geteuid().as_raw();
        let user = match &self.owner {
            Some(name) => Some(accounts::user(&self.prefix, name)?),
            None => None,
        };
        let mut owner = match &user {
            Some(user) => Owner { uid: user.uid, gid: user.gid },
            None => Owner { uid: me, gid: rustix::process::getegid().as_raw() },
        };
        if let Some(group) = &self.group {
            owner.gid = accounts::group(&self.prefix, group)?;
        }
        let path = match self.path.strip_prefix("~") {
            Ok(rest) => match &user {
                Some(user) => user.home.join(rest),
                None if me == 0 => Path::new("/root").join(rest),
                None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(rest),
            },
            Err(_) => self.path.clone(),
        };
        Ok((path, owner))
    }

    /// The file, as this process can open it; none if its owner is not known.
    pub fn files(&self) -> Vec<PathBuf> {
        self.resolve().map(|(path, _)| vec![self.here(&path)]).unwrap_or_default()
    }

    /// The same path as this process can open it.
    pub fn here(&self, path: &Path) -> PathBuf {
        self.prefix.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The mode of a new file.
    pub fn mode(&self) -> u32 {
        self.mode.unwrap_or(0o600)
    }
}
