//! The credentials socket: whoever may, asks for one when it is needed (`helper::wire`).
//!
//! Who asks is known from the kernel (SO_PEERCRED): root, the daemon's own user, and the configured
//! users and groups. For the time when the daemon does not run, the same credentials are kept in
//! its state directory.

mod desk;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::desk::{Access, Desk};
pub use self::desk::{Asked, DeskWatcher};
use super::{Entries, Output, Ownership, Published, Seen, accounts, file::all_missing};
use crate::{
    helper::{
        kept::{self, Kept},
        wire::{Credential, Line, Reply, Request},
    },
    model::{outcome::Problem, output::OutputSpec, reason::Reason, token::Token},
    state_file::{self, Readers},
};

/// The socket of one output.
pub struct Socket {
    spec: OutputSpec,
    prefix: PathBuf,
    kept: PathBuf,
    desk: Option<Arc<Desk>>,
    /// Where the listener's task is spawned.
    runtime: Option<Handle>,
    bound: Mutex<Option<Bound>>,
}

/// An open listener.
struct Bound {
    /// Device and inode of the socket's file.
    file: (u64, u64),
    stop: CancellationToken,
}

impl Socket {
    /// Without a watcher nothing is listened on: the kept credentials alone are changed.
    pub fn new(
        spec: &OutputSpec,
        prefix: &Path,
        state: &Path,
        watcher: Option<Arc<dyn DeskWatcher>>,
    ) -> Self {
        Self {
            spec: spec.clone(),
            prefix: prefix.to_owned(),
            kept: kept::path(state),
            desk: watcher.map(|watcher| Arc::new(Desk::new(&spec.name, watcher))),
            runtime: Handle::try_current().ok(),
            bound: Mutex::default(),
        }
    }

    /// Opens the listener if it is not open, or if its file has gone.
    fn listen(&self, desk: &Arc<Desk>) -> Result<bool, Problem> {
        let path = &self.spec.path;
        let failed = |error: io::Error| {
            Problem::new(Reason::ListenFailed, format!("{}: {error}", path.display()))
        };
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let there = fs::symlink_metadata(path).ok().map(|about| (about.dev(), about.ino()));
        if bound.as_ref().is_some_and(|bound| Some(bound.file) == there) {
            return Ok(false);
        }
        let Some(runtime) = &self.runtime else {
            return Err(failed(io::Error::other("there is no runtime to serve it")));
        };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
        }
        if there.is_some() {
            if UnixStream::connect(path).is_ok() {
                return Err(failed(io::Error::other("another daemon listens on it")));
            }
            state_file::remove(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Who may ask is decided when they ask, so that whoever may not is told why.
        let open = !self.spec.users.is_empty() || !self.spec.groups.is_empty();
        let mode = fs::Permissions::from_mode(if open { 0o666 } else { 0o600 });
        fs::set_permissions(path, mode).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let about = fs::symlink_metadata(path).map_err(failed)?;
        let stop = CancellationToken::new();
        let guard = runtime.enter();
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        drop(guard);
        runtime.spawn(desk::serve(listener, Arc::clone(desk), stop.clone()));
        if let Some(old) = bound.replace(Bound { file: (about.dev(), about.ino()), stop }) {
            old.stop.cancel();
        }
        Ok(true)
    }

    /// Who may ask, by number, and who of those named does not exist: that shuts nobody else out.
    fn access(&self) -> (Access, Vec<Problem>) {
        let (mut access, mut unknown) = (Access::default(), Vec::new());
        access.uids.insert(0);
        access.uids.insert(rustix::process::geteuid().as_raw());
        for name in &self.spec.users {
            match accounts::user(&self.prefix, name) {
                Ok(user) => drop(access.uids.insert(user.uid)),
                Err(problem) => unknown.push(problem),
            }
        }
        for name in &self.spec.groups {
            match accounts::group(&self.prefix, name) {
                Ok(group) => drop(access.gids.insert(group)),
                Err(problem) => unknown.push(problem),
            }
            access.uids.extend(accounts::members(&self.prefix, name));
        }
        (access, unknown)
    }

    /// Keeps the credentials, or removes the file that held the last of them. Whether it was
    /// written.
    fn keep(&self, entries: &Entries) -> Result<bool, Problem> {
        let failed = |error: io::Error| {
            Problem::new(Reason::StateUnwritable, format!("{}: {error}", self.kept.display()))
        };
        if entries.is_empty() {
            return state_file::remove(&self.kept).map_err(failed);
        }
        let hosts = entries.iter().map(|(host, token)| (host.clone(), credential(token)));
        let kept = Kept::new(&self.prefix, hosts.collect());
        let text = kept.render().map_err(failed)?;
        // A group that does not exist was told of by `access`.
        let group = self.spec.groups.first();
        let readers = group
            .and_then(|group| accounts::group(&self.prefix, group).ok())
            .map_or(Readers::Nobody, Readers::Group);
        if let (Readers::Group(_), Some(folder)) = (readers, self.kept.parent()) {
            // To be walked through, not to be listed; everything else in it is 0600.
            open_folder(folder).map_err(failed)?;
        }
        if state_file::holds(&self.kept, &text, readers) {
            return Ok(false);
        }
        state_file::replace(&self.kept, &text, readers).map_err(failed)?;
        Ok(true)
    }

    fn ask(&self, entries: &Entries) -> io::Result<BTreeMap<String, Credential>> {
        let mut found = BTreeMap::new();
        let mut line = Line::open(&self.spec.path)?;
        for host in entries.keys() {
            if let Reply::Credential(credential) = line.ask(&Request::Get(host.clone()))? {
                found.insert(host.clone(), credential);
            }
        }
        Ok(found)
    }
}

/// Lets others walk through a folder. systemd takes that back at each start of the service.
fn open_folder(folder: &Path) -> io::Result<()> {
    let mode = match fs::metadata(folder) {
        Ok(about) => about.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            0o700
        }
        Err(error) => return Err(error),
    };
    if mode & 0o001 == 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode((mode | 0o001) & 0o7777))?;
    }
    Ok(())
}

fn credential(token: &Token) -> Credential {
    Credential {
        username: token.secret.user(),
        secret: token.secret.password(),
        expires: token.expires,
    }
}

impl Output for Socket {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        let mut published = Published::default();
        if let Some(desk) = &self.desk {
            let (access, unknown) = self.access();
            published.warnings.extend(unknown);
            let before = desk.replace(access, entries);
            if self.listen(desk)? {
                published.notes.push(format!("listening on {}", self.spec.path.display()));
                published.written = true;
            }
            published.set =
                entries.keys().filter(|host| !before.holds(host, entries)).cloned().collect();
            published.absent =
                published.set.iter().filter(|host| !before.knows(host)).cloned().collect();
            published.removed =
                before.hosts().filter(|host| !entries.contains_key(*host)).cloned().collect();
        }
        // What is kept goes only with what was there before it: a socket that has had no token
        // since its start says nothing about what is kept.
        if !entries.is_empty() || !withdraw.is_empty() {
            let written = self.keep(entries)?;
            if self.desk.is_none() && written {
                published.set = entries.keys().cloned().collect();
                published.removed = withdraw.keys().cloned().collect();
            }
            published.written |= written;
        }
        published.written |= !published.set.is_empty() || !published.removed.is_empty();
        Ok(published)
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        let found = if self.desk.is_some() {
            self.ask(entries)
        } else {
            Kept::read(&self.kept).map(|kept| kept.hosts)
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Ok(all_missing(entries, &error.to_string())),
        };
        let see = |(host, token): (&String, &Token)| {
            let same = found.get(host).is_some_and(|credential| {
                credential.secret.expose_secret() == token.secret.password().expose_secret()
            });
            let seen = if same {
                Seen::Ours { expires: token.expires }
            } else {
                let detail = format!("{} gives none for {host}", self.spec.path.display());
                Seen::NotOurs(Problem::new(Reason::OutputMissing, detail))
            };
            (host.clone(), seen)
        };
        Ok(entries.iter().map(see).collect())
    }

    fn files(&self, _hosts: &[String]) -> Vec<PathBuf> {
        self.desk.iter().map(|_| self.spec.path.clone()).collect()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let bound = self.bound.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bound) = bound {
            bound.stop.cancel();
            let about = fs::symlink_metadata(&self.spec.path);
            if about.is_ok_and(|about| (about.dev(), about.ino()) == bound.file) {
                let _ = fs::remove_file(&self.spec.path);
            }
        }
    }
}

#[cfg(test)]
mod tests;
