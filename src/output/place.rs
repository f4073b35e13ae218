//! The way to a file, walked by hand: each folder is opened by its parent's descriptor, each link
//! is read and judged, so that nobody can lead the daemon, as root, somewhere else.
//!
//! Trusted are root, the daemon's own user and the output's owner. A folder that others may write
//! to, and a link or folder that others own, is refused. A link that the owner could have planted
//! must lead to a folder that is the owner's, so that a user never has root write for them.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
    process::{Gid, Uid},
};

use crate::model::{outcome::Problem, reason::Reason};

/// Links on one way, at most.
const MOST_LINKS: usize = 40;

/// An opened folder and the name of a file in it.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub folder: OwnedFd,
    /// The file's name there.
    pub name: OsString,
    /// The whole path, for messages.
    pub path: PathBuf,
}

/// Who owns what is created, and who besides root is trusted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

struct Walk {
    owner: Owner,
    me: u32,
    path: PathBuf,
    stack: Vec<OwnedFd>,
    /// A link that the owner could have planted was followed.
    led_by_owner: bool,
}

/// Opens the folder of `path` below `prefix`, and creates what is missing of it if asked to. The
/// last component may be a link to a file in another folder, which is then the place.
pub fn open(
    prefix: &Path,
    path: &Path,
    owner: Owner,
    create: bool,
) -> Result<Option<Place>, Problem> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = fs::open(prefix, flags, Mode::empty()).map_err(|error| {
        Problem::new(Reason::OutputUnreadable, format!("{}: {error}", prefix.display()))
    })?;
    let mut walk = Walk {
        owner,
        me: rustix::process::geteuid().as_raw(),
        path: path.to_owned(),
        stack: vec![root],
        led_by_owner: false,
    };
    walk.go(path, create)
}

impl Walk {
    fn go(&mut self, path: &Path, create: bool) -> Result<Option<Place>, Problem> {
        let mut rest = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let last = rest.is_empty();
            let found = match fs::statat(self.top(), &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT) => None,
                Err(error) => return Err(self.failed(&name, error)),
            };
            self.judge_folder(&name)?;
            match found.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(self.untrusted("there are too many links"));
                    }
                    self.judge_entry(&name, found.as_ref())?;
                    if found.is_some_and(|stat| !self.is_root(stat.st_uid)) {
                        self.led_by_owner = true;
                    }
                    let target = fs::readlinkat(self.top(), &name, Vec::new())
                        .map_err(|error| self.failed(&name, error))?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        self.stack.truncate(1);
                    }
                    rest.extend(components(&target));
                }
                _ if last => return self.arrive(name, found.as_ref()).map(Some),
                Some(FileType::Directory) => {
                    self.judge_entry(&name, found.as_ref())?;
                    self.enter(&name)?;
                }
                Some(_) => return Err(self.failed(&name, Errno::NOTDIR)),
                None if !create => return Ok(None),
                None => {
                    self.make(&name)?;
                    self.enter(&name)?;
                }
            }
        }
        Err(self.failed(OsStr::new(""), Errno::ISDIR))
    }

    /// The end of the way: the file may be there or not.
    fn arrive(&self, name: OsString, found: Option<&Stat>) -> Result<Place, Problem> {
        if let Some(stat) = found {
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(Problem::new(
                    Reason::OutputMalformed,
                    format!("{}: it is not a regular file", self.path.display()),
                ));
            }
            if self.guarded() && !self.trusts(stat.st_uid) {
                return Err(self.untrusted("the file belongs to another user"));
            }
            if self.guarded()
                && self.is_root(stat.st_uid)
                && stat.st_nlink > 1
                && !self.is_root(self.owner.uid)
            {
                return Err(self.untrusted("the file is a hard link to one of root's"));
            }
        }
        if self.guarded() && self.led_by_owner && !self.is_root(self.owner.uid) {
            let stat = fs::fstat(self.top()).map_err(|error| self.failed(&name, error))?;
            let owners = stat.st_uid == self.owner.uid
                && found.is_none_or(|file| file.st_uid == self.owner.uid);
            if !owners {
                return Err(
                    self.untrusted("a link of the owner's leads to what is not the owner's")
                );
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = fs::openat(self.top(), ".", flags, Mode::empty())
            .map_err(|error| self.failed(&name, error))?;
        Ok(Place { folder, name, path: self.path.clone() })
    }

    fn enter(&mut self, name: &OsStr) -> Result<(), Problem> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = fs::openat(self.top(), name, flags, Mode::empty())
            .map_err(|error| self.failed(name, error))?;
        self.stack.push(folder);
        Ok(())
    }

    fn make(&self, name: &OsStr) -> Result<(), Problem> {
        match fs::mkdirat(self.top(), name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(error) => return Err(self.failed(name, error)),
        }
        if self.me == 0 {
            let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
            fs::chownat(self.top(), name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.failed(name, error))?;
        }
        Ok(())
    }

    /// The folder that `name` stands in: nobody untrusted may have put it there.
    fn judge_folder(&self, name: &OsStr) -> Result<(), Problem> {
        if !self.guarded() {
            return Ok(());
        }
        let stat = fs::fstat(self.top()).map_err(|error| self.failed(name, error))?;
        let sticky = stat.st_mode & 0o1000 != 0;
        if !self.trusts(stat.st_uid) {
            return Err(self
                .untrusted(&format!("the folder of {} belongs to another user", name.display())));
        }
        let by_group = stat.st_mode & 0o020 != 0 && ![0, self.owner.gid].contains(&stat.st_gid);
        if (stat.st_mode & 0o002 != 0 || by_group) && !sticky {
            return Err(
                self.untrusted(&format!("others may write to the folder of {}", name.display()))
            );
        }
        Ok(())
    }

    fn judge_entry(&self, name: &OsStr, stat: Option<&Stat>) -> Result<(), Problem> {
        if self.guarded() && stat.is_some_and(|stat| !self.trusts(stat.st_uid)) {
            return Err(self.untrusted(&format!("{} belongs to another user", name.display())));
        }
        Ok(())
    }

    /// Only root can be led astray; for others the kernel's own checks are the limit.
    fn guarded(&self) -> bool {
        self.me == 0
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.me || uid == self.owner.uid
    }

    #[allow(clippy::unused_self)]
    fn is_root(&self, uid: u32) -> bool {
        uid == 0
    }

    fn top(&self) -> &OwnedFd {
        // The root is never popped.
        &self.stack[self.stack.len() - 1]
    }

    fn untrusted(&self, why: &str) -> Problem {
        Problem::new(Reason::OutputUntrustedPath, format!("{}: {why}", self.path.display()))
    }

    fn failed(&self, name: &OsStr, error: Errno) -> Problem {
        let path = self.path.display();
        let detail = format!("{path}: {}: {error}", name.display());
        Problem::new(writing(error, Reason::OutputUnreadable), detail)
    }
}

/// The reason for a failed write: what is out of space, what the sandbox forbids, or `otherwise`.
pub fn writing(error: Errno, otherwise: Reason) -> Reason {
    match error {
        Errno::NOSPC | Errno::DQUOT => Reason::OutputDiskFull,
        // systemd's ProtectSystem and ProtectHome make the rest of the tree read-only.
        Errno::ROFS if std::env::var_os("INVOCATION_ID").is_some() => Reason::OutputSandboxed,
        Errno::ROFS => Reason::OutputUnwritable,
        _ => otherwise,
    }
}

/// The components, the first one last.
fn components(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(OsStr::from_bytes(name.as_bytes()).to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect();
    names.reverse();
    names
}
