use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::*;

/// Lines of a text file as a set: adding is the edit, union of additions the merge.
struct Lines(String);

fn lines(text: &[u8]) -> BTreeSet<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

fn text(lines: &BTreeSet<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(lines.iter().fold(String::new(), |all, line| all + line + "\n").into_bytes())
}

impl Edit for Lines {
    fn apply(&self, current: Option<&[u8]>) -> Result<Next, Problem> {
        let mut now = lines(current.unwrap_or_default());
        Ok(if now.insert(self.0.clone()) { Next::Write(text(&now)) } else { Next::Keep })
    }

    fn merge(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
        Ok(text(&theirs.union(&(&ours - &base)).cloned().collect()))
    }
}

fn place(path: &Path) -> Place {
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    place::open(Path::new("/"), path, owner, true).unwrap().unwrap()
}

fn add(path: &Path, line: &str) -> Updated {
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    update(&place(path), owner, 0o600, &Lines(line.to_owned())).unwrap()
}

#[test]
fn no_line_is_lost_by_us_among_writers_who_replace_the_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    // Another careful writer: it changes the file through the same exchange, so that whatever is
    // lost is lost by one of the two.
    let other = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut written = 0;
            while !stop.load(Ordering::SeqCst) {
                add(&path, &format!("theirs-{written}"));
                written += 1;
            }
            written
        })
    };
    for n in 0..300 {
        add(&path, &format!("ours-{n}"));
    }
    stop.store(true, Ordering::SeqCst);
    let theirs = other.join().unwrap();
    let found = lines(&fs::read(&path).unwrap());
    for n in 0..theirs {
        assert!(found.contains(&format!("theirs-{n}")), "theirs-{n} of {theirs}");
    }
    for n in 0..300 {
        assert!(found.contains(&format!("ours-{n}")), "ours-{n}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_writer_that_never_pauses_is_named_and_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "theirs\n").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let other = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (temporary, mut written) = (path.with_extension("new"), 0);
            while !stop.load(Ordering::SeqCst) {
                fs::write(&temporary, format!("theirs\nround-{written}\n")).unwrap();
                fs::rename(&temporary, &path).unwrap();
                written += 1;
            }
            written
        })
    };
    while !fs::read_to_string(&path).unwrap().contains("round") {
        std::thread::yield_now();
    }
    let owner = Owner { uid: 0, gid: 0 };
    let result = update(&place(&path), owner, 0o600, &Lines("ours".to_owned()));
    stop.store(true, Ordering::SeqCst);
    let last = other.join().unwrap() - 1;
    // Between two of their writes there may have been room for ours.
    assert!(result.is_ok() || result.unwrap_err().reason == Reason::OutputContended);
    assert!(lines(&fs::read(&path).unwrap()).contains(&format!("round-{last}")));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no temporary file is left");
    assert!(add(&path, "ours").written || lines(&fs::read(&path).unwrap()).contains("ours"));
}

#[test]
fn a_reader_never_sees_a_torn_or_missing_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    add(&path, &"x".repeat(5000));
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (path, stop) = (path.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let text = fs::read_to_string(&path).expect("it is always there");
                assert!(text.ends_with('\n') && text.contains(&"x".repeat(5000)));
            }
        })
    };
    for n in 0..300 {
        add(&path, &format!("line-{n}"));
    }
    stop.store(true, Ordering::SeqCst);
    reader.join().unwrap();
}

#[test]
fn what_a_killed_process_left_is_removed_once_it_is_old() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    let (old, new, foreign) = (
        root.path().join(".file.ecr-warden-0000000000000001"),
        root.path().join(".file.ecr-warden-0000000000000002"),
        root.path().join(".file.swp"),
    );
    for path in [&old, &new, &foreign] {
        fs::write(path, "secret").unwrap();
    }
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
    add(&path, "a");
    assert!(!old.exists() && new.exists() && foreign.exists());
}

#[test]
fn a_pipe_or_a_folder_in_the_files_place_is_refused_and_never_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let fifo = root.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RWXU).unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    for path in [fifo, root.path().join("folder")] {
        let owner = Owner { uid: 0, gid: 0 };
        let problem = place::open(Path::new("/"), &path, owner, true).unwrap_err();
        assert_eq!(problem.reason, Reason::OutputMalformed);
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_a_reason_and_the_file_is_untouched() {
    if rustix::process::geteuid().is_root() {
        // Root ignores modes: /proc refuses root as well.
        let problem = place::open(
            Path::new("/"),
            Path::new("/proc/nowhere/file"),
            Owner { uid: 0, gid: 0 },
            true,
        );
        assert!(problem.is_err());
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    add(&path, "a");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let owner = Owner { uid: 0, gid: 0 };
    let problem = update(&place(&path), owner, 0o600, &Lines("b".into())).unwrap_err();
    assert_eq!(problem.reason, Reason::OutputUnwritable);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\n");
}
