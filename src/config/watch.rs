//! Notices that configuration files changed: by inotify on their folders, since editors and
//! Kubernetes replace files and links instead of writing into them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::dropin::Sources;

/// So long nothing may happen before a change counts as complete.
const QUIET: Duration = Duration::from_millis(300);

/// Constant changes are looked at after so long all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// The net below inotify: filesystems that report nothing, links whose target's folder is unknown.
const SLOW_LOOK: Duration = Duration::from_secs(300);

/// Watches the files of a configuration.
pub struct Watch {
    sources: Sources,
    seen: [u8; 32],
    events: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// An event was taken and not yet looked at: outlives a call that is cancelled meanwhile.
    due: bool,
}

impl Watch {
    /// Starts to watch. Where inotify is not to be had, only the slow look remains.
    pub fn new(sources: Sources) -> Self {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reading = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
            if !reading {
                // A full channel means that a look is due already.
                let _ = sender.try_send(());
            }
        });
        let mut watch = Self {
            seen: fingerprint(&sources),
            sources,
            events,
            watcher: watcher.ok(),
            watched: BTreeSet::new(),
            due: false,
        };
        watch.follow();
        watch
    }

    /// Resolves when the content of the files is another than at the last call. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            if !self.due {
                tokio::select! {
                    event = self.events.recv() => {
                        if event.is_none() {
                            sleep(SLOW_LOOK).await;
                        }
                    }
                    () = sleep(SLOW_LOOK) => {}
                }
                self.due = true;
            }
            self.quiet().await;
            self.due = false;
            self.follow();
            let now = fingerprint(&self.sources);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// Waits until the burst of events is over.
    async fn quiet(&mut self) {
        let patience = Instant::now() + PATIENCE;
        loop {
            let until = (Instant::now() + QUIET).min(patience);
            if timeout_at(until, self.events.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Watches every folder that matters now: those of the files, of what links lead to, and the
    /// nearest existing parents of what does not exist yet.
    fn follow(&mut self) {
        let mut folders = BTreeSet::new();
        for path in self.sources.watched() {
            add_folders(&path, &mut folders);
        }
        for file in self.sources.files(&mut Vec::new()) {
            add_folders(&file, &mut folders);
        }
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.watched.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        // Watched anew each time: a folder that was replaced has the same name and another inode.
        self.watched = folders
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

/// The folder of a path and of each link on the way to its target.
fn add_folders(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    // The folder of a bare file name is the current one, which has no name of its own in it.
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..16 {
        if path.is_dir() {
            folders.insert(path.clone());
        }
        let existing = path.ancestors().skip(1).find(|parent| parent.is_dir());
        if let Some(parent) = existing {
            folders.insert(parent.to_owned());
        }
        // A link in the middle (Kubernetes' ..data) is watched through its own folder.
        let through = path.parent().and_then(|parent| std::fs::read_link(parent).ok());
        if let (Some(_), Some(grandparent)) = (through, path.parent().and_then(Path::parent)) {
            folders.insert(grandparent.to_owned());
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return,
        }
    }
}

/// A fingerprint of every file's name and content.
fn fingerprint(sources: &Sources) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in sources.files(&mut Vec::new()) {
        digest.update(file.as_os_str().as_encoded_bytes());
        match std::fs::read(&file) {
            Ok(text) => {
                digest.update([1]);
                digest.update(Sha256::digest(&text));
            }
            Err(_) => digest.update([0]),
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn changed(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.is_ok()
    }

    #[test]
    fn a_bare_file_name_is_watched_in_the_folder_that_it_is_in() {
        let mut folders = BTreeSet::new();
        add_folders(Path::new("no-such-file.toml"), &mut folders);
        assert_eq!(folders, BTreeSet::from([std::env::current_dir().unwrap()]));
    }

    #[tokio::test]
    async fn a_write_a_rename_and_a_new_file_in_the_folder_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("10-a.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(Sources::new(vec![folder.path().to_owned()]));
        fs::write(&file, "b").unwrap();
        assert!(changed(&mut watch).await, "written in place");
        let new = folder.path().join("new");
        fs::write(&new, "c").unwrap();
        fs::rename(&new, &file).unwrap();
        assert!(changed(&mut watch).await, "replaced by rename");
        fs::write(folder.path().join("20-b.toml"), "d").unwrap();
        assert!(changed(&mut watch).await, "added");
        fs::remove_file(&file).unwrap();
        assert!(changed(&mut watch).await, "removed");
    }

    #[tokio::test]
    async fn a_swap_of_the_data_link_as_kubernetes_does_it_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (version, text) in [("..v1", "a"), ("..v2", "b"), ("..v3", "c")] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("config.toml"), text).unwrap();
        }
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        };
        link("..v1", "..data");
        link("..data/config.toml", "config.toml");
        let mut watch = Watch::new(Sources::new(vec![root.join("config.toml")]));
        for version in ["..v2", "..v3"] {
            link(version, "..data_tmp");
            fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
            assert!(changed(&mut watch).await, "{version}");
        }
    }

    #[tokio::test]
    async fn a_change_is_seen_though_the_waiting_for_it_was_given_up_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("10-a.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(Sources::new(vec![folder.path().to_owned()]));
        fs::write(&file, "b").unwrap();
        // Longer than an event takes, shorter than the quiet after it.
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, watch.changed()).await.is_err());
        assert!(changed(&mut watch).await);
    }

    #[tokio::test]
    async fn a_file_that_did_not_exist_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("later/config.toml");
        let mut watch = Watch::new(Sources::new(vec![file.clone()]));
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, "a").unwrap();
        assert!(changed(&mut watch).await);
    }
}
