//! A file that others write too, changed without losing anybody's change and without a moment in
//! which it is torn or missing.
//!
//! The new content goes into a temporary file beside the old one and the two are exchanged in one
//! step (renameat2(2), RENAME_EXCHANGE). Then what was exchanged away is looked at: if it is not
//! what the new content was made from, somebody wrote in the last microseconds: it is exchanged
//! back and begun anew, and what was written even between those two is merged.

use std::{
    ffi::{OsStr, OsString},
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, RenameFlags, Stat, XattrFlags},
    io::Errno,
    process::{Gid, Uid},
};
use zeroize::Zeroizing;

use super::place::{self, Owner, Place};
use crate::model::{outcome::Problem, reason::Reason};

/// So often others may write between before the fight is called one.
const ROUNDS: u32 = 200;

/// No file of credentials is larger.
const LARGEST: i64 = 16 << 20;

/// Temporary files of a process that was killed are removed after so many seconds.
const ABANDONED: i64 = 60;

const LABEL: &str = "security.selinux";

/// A file's text, which may hold secrets.
pub type Text = Zeroizing<Vec<u8>>;

/// Content of a file; `None` where there is no file.
pub type Content = Option<Text>;

/// What becomes of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// It stays as it is.
    #[default]
    Keep,
    /// It gets this content.
    Write(Text),
    /// It goes.
    Remove,
}

/// How a file's content is changed.
pub trait Edit {
    /// What is made from the current content.
    fn apply(&self, current: Option<&[u8]>) -> Result<Next, Problem>;

    /// `theirs` with the changes that lead from `base` to `ours`.
    fn merge(&self, base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Text, Problem>;
}

/// What came of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Whether anything was written.
    pub written: bool,
    /// What should be known although it succeeded.
    pub warnings: Vec<Problem>,
}

/// Changes the file at `place`. A new file belongs to `owner` and has `mode`; an existing one
/// keeps its owner, its mode and its SELinux label.
pub fn update(place: &Place, owner: Owner, mode: u32, edit: &dyn Edit) -> Result<Updated, Problem> {
    let file = File { place, owner, mode };
    file.remove_abandoned();
    let mut updated = Updated::default();
    let (mut expected, stat) = file.read(&place.name)?;
    if let Some(stat) = stat
        && stat.st_mode & 0o077 != 0
        && stat.st_mode & 0o077 & !mode != 0
    {
        let detail = format!("{}: its mode is {:04o}", place.path.display(), stat.st_mode & 0o7777);
        updated.warnings.push(Problem::new(Reason::OutputReadableByOthers, detail));
    }
    let mut put = edit.apply(expected.as_ref().map(|text| text.as_slice()))?;
    for round in 0..ROUNDS {
        let before = expected.as_ref().map(|text| text.as_slice());
        let swapped = match &put {
            Next::Keep => return Ok(updated),
            Next::Remove => file.remove(before)?,
            Next::Write(text) => file.swap(before, text, &mut updated.warnings)?,
        };
        match swapped {
            Swapped::Done => {
                updated.written = true;
                return Ok(updated);
            }
            Swapped::Again => {
                if round > 1 {
                    // Two careful writers that meet step aside for each other.
                    let most = Duration::from_millis(u64::from(round.min(20)));
                    std::thread::sleep(most.mul_f64(fastrand::f64()));
                }
                expected = file.read(&place.name)?.0;
                put = edit.apply(expected.as_ref().map(|text| text.as_slice()))?;
            }
            Swapped::Displaced { base, now, theirs } => {
                updated.written = true;
                let merged = edit.merge(&base, &now, &theirs).and_then(|merged| {
                    Ok(match edit.apply(Some(merged.as_slice()))? {
                        Next::Keep => Next::Write(merged),
                        next => next,
                    })
                });
                match merged {
                    Ok(next) => (expected, put) = (Some(now), next),
                    Err(problem) => {
                        // What they wrote can't be read: it goes back to where it was.
                        let _ = file.swap(Some(&now), &theirs, &mut updated.warnings);
                        return Err(problem);
                    }
                }
            }
        }
    }
    Err(Problem::new(Reason::OutputContended, place.path.display().to_string()))
}

/// The current content, by the same careful way.
pub fn read(place: &Place) -> Result<Content, Problem> {
    let file = File { place, owner: Owner { uid: 0, gid: 0 }, mode: 0o600 };
    Ok(file.read(&place.name)?.0)
}

enum Swapped {
    /// The new content is in place of the one that was expected.
    Done,
    /// The file changed, came or went meanwhile; nothing was done.
    Again,
    /// `theirs`, made from `base`, was displaced by `now`, and is to be merged into it.
    Displaced { base: Text, now: Text, theirs: Text },
}

struct File<'a> {
    place: &'a Place,
    owner: Owner,
    mode: u32,
}

impl File<'_> {
    fn read(&self, name: &OsStr) -> Result<(Content, Option<Stat>), Problem> {
        // Not blocking: a named pipe must not hold the daemon.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor = match fs::openat(&self.place.folder, name, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) => return Ok((None, None)),
            Err(error) => return Err(self.problem(Reason::OutputUnreadable, error)),
        };
        let stat = fs::fstat(&descriptor)
            .map_err(|error| self.problem(Reason::OutputUnreadable, error))?;
        if stat.st_size > LARGEST {
            let detail = format!("{}: {} bytes", self.place.path.display(), stat.st_size);
            return Err(Problem::new(Reason::OutputMalformed, detail));
        }
        let size = usize::try_from(stat.st_size).unwrap_or(0);
        let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
        std::fs::File::from(descriptor).read_to_end(&mut text).map_err(|error| {
            Problem::new(
                Reason::OutputUnreadable,
                format!("{}: {error}", self.place.path.display()),
            )
        })?;
        Ok((Some(text), Some(stat)))
    }

    /// Takes the file away if it is as expected: out of sight first, so that what somebody wrote in
    /// the last microseconds can be put back.
    fn remove(&self, expected: Option<&[u8]>) -> Result<Swapped, Problem> {
        let failed = |error| self.problem(Reason::OutputUnwritable, error);
        if expected.is_none() {
            return Ok(Swapped::Done);
        }
        if !self.holds(expected)? {
            return Ok(Swapped::Again);
        }
        let (folder, name) = (&self.place.folder, &self.place.name);
        let aside = self.temporary_name();
        match fs::renameat(folder, name, folder, &aside) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Swapped::Done),
            Err(error) => return Err(failed(error)),
        }
        let content = self.read(&aside)?.0;
        if content.as_ref().map(|text| text.as_slice()) == expected {
            fs::unlinkat(folder, &aside, AtFlags::empty()).map_err(failed)?;
            fs::fsync(folder).map_err(failed)?;
            return Ok(Swapped::Done);
        }
        // If there is a newer one already, that one counts.
        if fs::renameat_with(folder, &aside, folder, name, RenameFlags::NOREPLACE).is_err() {
            let _ = fs::unlinkat(folder, &aside, AtFlags::empty());
        }
        Ok(Swapped::Again)
    }

    fn temporary_name(&self) -> OsString {
        let mut name = self.prefix();
        name.push(format!("{:016x}", fastrand::u64(..)));
        name
    }

    /// Puts `new` in the place of `expected`, and of nothing else.
    fn swap(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        warnings: &mut Vec<Problem>,
    ) -> Result<Swapped, Problem> {
        let temporary = self.write_temporary(new)?;
        let folder = &self.place.folder;
        let name = &self.place.name;
        if !self.holds(expected)? {
            let _ = fs::unlinkat(folder, &temporary, AtFlags::empty());
            return Ok(Swapped::Again);
        }
        let flags = if expected.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        let swapped = match fs::renameat_with(folder, &temporary, folder, name, flags) {
            Ok(()) if expected.is_none() => Ok(Swapped::Done),
            Ok(()) => self.look_at_displaced(&temporary, expected, new),
            Err(Errno::EXIST | Errno::NOENT) => Ok(Swapped::Again),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                self.replace(&temporary, expected, warnings)
            }
            Err(Errno::BUSY | Errno::XDEV) => self.write_in_place(expected, new, warnings),
            Err(error) => Err(self.problem(Reason::OutputUnwritable, error)),
        };
        // The exchange left the old credential in it.
        let _ = fs::unlinkat(folder, &temporary, AtFlags::empty());
        if !matches!(swapped, Ok(Swapped::Again)) {
            fs::fsync(folder).map_err(|error| self.problem(Reason::OutputUnwritable, error))?;
        }
        swapped
    }

    /// After an exchange: was it what the new content was made from? If not, it is exchanged back
    /// at once, so that what others wrote is out of sight for microseconds only.
    fn look_at_displaced(
        &self,
        temporary: &OsStr,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Swapped, Problem> {
        let text = |content: Content| content.unwrap_or_default();
        let displaced = text(self.read(temporary)?.0);
        if Some(displaced.as_slice()) == expected {
            return Ok(Swapped::Done);
        }
        let new = Zeroizing::new(new.to_vec());
        let (folder, name) = (&self.place.folder, &self.place.name);
        match fs::renameat_with(folder, temporary, folder, name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // They removed the file after they wrote it.
            Err(Errno::NOENT) => return Ok(Swapped::Again),
            Err(error) => return Err(self.problem(Reason::OutputUnwritable, error)),
        }
        let back = text(self.read(temporary)?.0);
        Ok(if back == new {
            Swapped::Again
        } else {
            Swapped::Displaced { base: new, now: displaced, theirs: back }
        })
    }

    fn holds(&self, expected: Option<&[u8]>) -> Result<bool, Problem> {
        let (now, _) = self.read(&self.place.name)?;
        Ok(now.as_ref().map(|text| text.as_slice()) == expected)
    }

    fn write_temporary(&self, text: &[u8]) -> Result<OsString, Problem> {
        let name = self.temporary_name();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |error| self.problem(Reason::OutputUnwritable, error);
        let descriptor = fs::openat(&self.place.folder, &name, flags, Mode::from_raw_mode(0o600))
            .map_err(failed)?;
        let written = self.fill(descriptor, text);
        if written.is_err() {
            let _ = fs::unlinkat(&self.place.folder, &name, AtFlags::empty());
        }
        written.map(|()| name)
    }

    fn fill(&self, descriptor: OwnedFd, text: &[u8]) -> Result<(), Problem> {
        let failed = |error| self.problem(Reason::OutputUnwritable, error);
        let old = fs::openat(
            &self.place.folder,
            &self.place.name,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .ok();
        let old_stat = old.as_ref().and_then(|old| fs::fstat(old).ok());
        let (uid, gid, mode) = old_stat
            .map_or((self.owner.uid, self.owner.gid, self.mode), |stat| {
                (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)
            });
        let mut file = std::fs::File::from(descriptor);
        file.write_all(text).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            self.problem(Reason::OutputUnwritable, errno)
        })?;
        let mine = fs::fstat(file.as_fd()).map_err(failed)?;
        if (mine.st_uid, mine.st_gid) != (uid, gid) {
            fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(failed)?;
        }
        fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
        if let Some(old) = old {
            let mut label = vec![0; 1024];
            if let Ok(length) = fs::fgetxattr(&old, LABEL, label.as_mut_slice()) {
                // Where SELinux forbids it, the folder's default label is what it wants.
                let _ = fs::fsetxattr(&file, LABEL, &label[..length], XattrFlags::empty());
            }
        }
        fs::fsync(&file).map_err(failed)
    }

    /// Where the filesystem can't exchange: compare, then rename.
    fn replace(
        &self,
        temporary: &OsStr,
        expected: Option<&[u8]>,
        warnings: &mut Vec<Problem>,
    ) -> Result<Swapped, Problem> {
        if !self.holds(expected)? {
            return Ok(Swapped::Again);
        }
        let folder = &self.place.folder;
        match fs::renameat(folder, temporary, folder, &self.place.name) {
            Ok(()) => {
                self.warn(Reason::OutputNoExchange, warnings);
                Ok(Swapped::Done)
            }
            Err(error) => Err(self.problem(Reason::OutputUnwritable, error)),
        }
    }

    /// A file that is itself a mount point can't be replaced, only written. It is padded with
    /// white space to its old length and written with one call, then cut, so that a reader sees
    /// the old content or the new one as far as the kernel's page granularity goes.
    fn write_in_place(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        warnings: &mut Vec<Problem>,
    ) -> Result<Swapped, Problem> {
        let failed = |error| self.problem(Reason::OutputUnwritable, error);
        if !self.holds(expected)? {
            return Ok(Swapped::Again);
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = fs::openat(&self.place.folder, &self.place.name, flags, Mode::empty())
            .map_err(failed)?;
        let mut padded = Zeroizing::new(new.to_vec());
        let length = expected.map_or(0, <[u8]>::len).max(new.len());
        padded.resize(length, b'\n');
        let mut written = 0;
        while written < padded.len() {
            let offset = u64::try_from(written).unwrap_or(u64::MAX);
            written +=
                rustix::io::pwrite(&descriptor, &padded[written..], offset).map_err(failed)?;
        }
        fs::ftruncate(&descriptor, u64::try_from(new.len()).unwrap_or(u64::MAX)).map_err(failed)?;
        fs::fsync(&descriptor).map_err(failed)?;
        self.warn(Reason::OutputInPlace, warnings);
        Ok(Swapped::Done)
    }

    fn warn(&self, reason: Reason, warnings: &mut Vec<Problem>) {
        let problem = Problem::new(reason, self.place.path.display().to_string());
        if !warnings.contains(&problem) {
            warnings.push(problem);
        }
    }

    /// Removes what a killed process left behind.
    fn remove_abandoned(&self) {
        let prefix = self.prefix();
        let Ok(entries) = fs::Dir::read_from(&self.place.folder) else {
            return;
        };
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        for entry in entries.flatten() {
            let name = entry.file_name().to_bytes();
            if !name.starts_with(prefix.as_encoded_bytes()) {
                continue;
            }
            let stat = fs::statat(&self.place.folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| now - stat.st_mtime > ABANDONED) {
                let _ = fs::unlinkat(&self.place.folder, entry.file_name(), AtFlags::empty());
            }
        }
    }

    fn prefix(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.place.name);
        name.push(".ecr-warden-");
        name
    }

    fn problem(&self, otherwise: Reason, error: Errno) -> Problem {
        let detail = format!("{}: {error}", self.place.path.display());
        Problem::new(place::writing(error, otherwise), detail)
    }
}

#[cfg(test)]
mod tests;
