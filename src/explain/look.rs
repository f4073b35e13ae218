//! Looks at the host: files below its root, as the user whose consumer would read them.

use std::{
    ffi::OsString,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    fs::{self, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    process::{Gid, Uid, geteuid},
};
use zeroize::Zeroizing;

use crate::{
    model::{outcome::Problem, reason::Reason},
    output::accounts::{self, User},
};

/// What is longer is no consumer's file.
const LONGEST: u64 = 4 << 20;

/// A home folder on a network that does not answer by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where programs are looked for; a user's own folders come first.
const FOLDERS: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/snap/bin",
    "/opt/bin",
];

/// The host's files.
#[derive(Clone, Debug)]
pub struct Tree {
    prefix: PathBuf,
    root: Arc<OwnedFd>,
}

impl Tree {
    /// The host whose root is at a prefix.
    pub fn open(prefix: &Path) -> Result<Self, String> {
        let prefix = if prefix.as_os_str().is_empty() { Path::new("/") } else { prefix };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(prefix, flags, Mode::empty())
            .map_err(|error| format!("the host's root {}: {error}", prefix.display()))?;
        Ok(Self { prefix: prefix.to_owned(), root: Arc::new(root) })
    }

    /// Where the host's root is.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The host's name.
    pub fn name(&self) -> String {
        let named = self.text("/etc/hostname");
        if !self.is_here() && !named.trim().is_empty() {
            return named.trim().to_owned();
        }
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// Whether it is this very host's.
    pub fn is_here(&self) -> bool {
        self.prefix == Path::new("/")
    }

    /// The path as this process can name it.
    pub fn here(&self, path: &Path) -> PathBuf {
        self.prefix.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens what the host has at a path: links lead where they lead on the host.
    fn at(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match fs::openat2(&*self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Err(Errno::NOSYS) => fs::open(self.here(path), flags, Mode::empty()),
            opened => opened,
        }
    }

    /// A file's text; none where there is no file.
    pub fn read(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Problem> {
        let failed = |why: &dyn std::fmt::Display| {
            Problem::new(Reason::OutputUnreadable, format!("{}: {why}", path.display()))
        };
        // Not to hang on a pipe that somebody put there.
        let file = match self.at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let about = fs::fstat(&file).map_err(|error| failed(&error))?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(failed(&"it is not a regular file"));
        }
        let length = u64::try_from(about.st_size).unwrap_or_default().min(LONGEST);
        let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
        let read = std::fs::File::from(file).take(LONGEST).read_to_end(&mut text);
        read.map_err(|error| failed(&error))?;
        Ok(Some(text))
    }

    /// The same as text, with nothing where it can't be read: for files without secrets.
    pub fn text(&self, path: &str) -> String {
        let read = self.read(Path::new(path)).ok().flatten();
        read.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// Whether there is anything at a path.
    pub fn exists(&self, path: &Path) -> bool {
        self.at(path, OFlags::PATH).is_ok()
    }

    /// Whether there is a folder at a path.
    pub fn is_folder(&self, path: &Path) -> bool {
        self.at(path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
    }

    /// When a file was last written.
    pub fn written(&self, path: &Path) -> Option<Timestamp> {
        let about = fs::fstat(self.at(path, OFlags::PATH).ok()?).ok()?;
        Timestamp::from_second(about.st_mtime).ok()
    }

    /// The names in a folder, sorted.
    pub fn names(&self, path: &Path) -> Vec<String> {
        let folder = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let entries = folder.ok().and_then(|folder| fs::Dir::new(folder).ok());
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()))
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        names
    }

    /// A program in these folders, as the host names it.
    pub fn program_in(&self, folders: &[PathBuf], name: &str) -> Option<PathBuf> {
        folders.iter().map(|folder| folder.join(name)).find(|path| {
            let about = self.at(path, OFlags::PATH).and_then(fs::fstat);
            about.is_ok_and(|about| {
                FileType::from_raw_mode(about.st_mode) == FileType::RegularFile
                    && about.st_mode & 0o111 != 0
            })
        })
    }

    /// A program in the host's usual folders.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.program_in(&FOLDERS.map(PathBuf::from), name)
    }
}

/// A user of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Ids and home.
    pub user: User,
    /// The groups besides the primary one.
    pub groups: Vec<u32>,
    /// It is whoever asks, in whose surroundings this runs.
    pub is_me: bool,
}

impl Person {
    /// The user called root, and everybody else of the host.
    pub fn all(tree: &Tree) -> (Self, Vec<Self>) {
        let me = geteuid().as_raw();
        let person = |name: String, user: User| Self {
            groups: accounts::groups_of(tree.prefix(), &name),
            is_me: tree.is_here() && user.uid == me,
            name,
            user,
        };
        let (roots, others): (Vec<_>, Vec<_>) =
            accounts::users(tree.prefix()).into_iter().partition(|(name, _)| name == "root");
        let root = roots
            .into_iter()
            .next()
            .map_or_else(|| User { uid: 0, gid: 0, home: "/root".into() }, |(_, root)| root);
        let mut others: Vec<_> =
            others.into_iter().map(|(name, user)| person(name, user)).collect();
        // Whoever asks may live in a directory service.
        let listed = root.uid == me || others.iter().any(|other| other.user.uid == me);
        if tree.is_here()
            && !listed
            && let Ok(name) = std::env::var("USER")
            && let Ok(user) = accounts::user(tree.prefix(), &name)
            && user.uid == me
        {
            others.push(person(name, user));
        }
        (person("root".to_owned(), root), others)
    }

    /// A variable of the user's surroundings: of this process where it is the user's, else what
    /// /etc/environment gives everybody.
    pub fn variable(&self, tree: &Tree, name: &str) -> Option<OsString> {
        if self.is_me {
            return std::env::var_os(name).filter(|value| !value.is_empty());
        }
        let text = tree.text("/etc/environment");
        let of = |line: &str| {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let value = line.strip_prefix(name)?.strip_prefix('=')?;
            Some(OsString::from(value.trim_matches(['"', '\''])))
        };
        text.lines().rev().find_map(of).filter(|value| !value.is_empty())
    }

    /// The same as a path.
    pub fn folder(&self, tree: &Tree, name: &str) -> Option<PathBuf> {
        self.variable(tree, name).map(PathBuf::from)
    }

    /// Where the user's programs are looked for.
    pub fn path(&self, tree: &Tree) -> Vec<PathBuf> {
        let mut folders = vec![self.user.home.join("bin"), self.user.home.join(".local/bin")];
        if self.is_me
            && let Some(own) = std::env::var_os("PATH")
        {
            folders.splice(0..0, std::env::split_paths(&own));
        }
        if let Some(given) = self.variable(tree, "PATH") {
            folders.extend(std::env::split_paths(&given));
        }
        folders.extend(FOLDERS.map(PathBuf::from));
        folders.retain(|folder| folder.is_absolute());
        folders
    }

    /// Whether this process may act as the user: as root it may, and as itself.
    pub fn reachable(&self) -> bool {
        let me = geteuid().as_raw();
        me == 0 || me == self.user.uid
    }

    /// Does something with the rights of the user, as the user's consumer would: what the user
    /// can't read is not read, and no planted link leads root anywhere. None if it takes too long.
    pub fn act<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (uid, gid) = (self.user.uid, self.user.gid);
        let mut groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        groups.push(Gid::from_raw(gid));
        let (done, result) = mpsc::channel();
        // The rights are the thread's alone, and end with it.
        std::thread::spawn(move || {
            let changed = geteuid().as_raw() != 0 || uid == 0 || {
                rustix::thread::set_thread_groups(&groups)
                    .and_then(|()| {
                        rustix::thread::set_thread_res_gid(None, Some(Gid::from_raw(gid)), None)
                    })
                    .and_then(|()| {
                        rustix::thread::set_thread_res_uid(None, Some(Uid::from_raw(uid)), None)
                    })
                    .is_ok()
            };
            if changed {
                let _ = done.send(work());
            }
        });
        result.recv_timeout(PATIENCE).ok()
    }
}
