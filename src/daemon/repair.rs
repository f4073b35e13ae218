//! Wakes an output's job when its files change, so that an entry that somebody removed is put back
//! at once and not at the next check.
//!
//! Folders are watched, not files: whoever writes them replaces them. Where inotify is not to be
//! had, or a folder does not exist yet, the check remains.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{output::Output, schedule::wake::Wake};

/// A program that writes a file in pieces is done by then.
const QUIET: Duration = Duration::from_millis(15);

/// Names of outputs whose files changed.
const ROOM: usize = 64;

/// One output whose files are to be watched.
struct Wanted {
    output: Arc<dyn Output>,
    wake: Wake,
    hosts: Vec<String>,
    /// All of its folders are watched.
    complete: bool,
}

/// The watch over all outputs.
pub(super) struct Repair {
    watcher: Option<RecommendedWatcher>,
    outputs: BTreeMap<String, Wanted>,
    folders: BTreeSet<PathBuf>,
    /// Whose file it is.
    files: Arc<Mutex<BTreeMap<PathBuf, String>>>,
    wakes: Arc<Mutex<BTreeMap<String, Wake>>>,
}

impl Repair {
    /// Watches nothing yet.
    pub(super) fn new(stop: CancellationToken) -> Self {
        let files: Arc<Mutex<BTreeMap<PathBuf, String>>> = Arc::default();
        let wakes: Arc<Mutex<BTreeMap<String, Wake>>> = Arc::default();
        let (sender, receiver) = mpsc::channel(ROOM);
        let known = Arc::clone(&files);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for name in touched(event, &known) {
                // A full channel means that a wake is due anyway.
                let _ = sender.try_send(name);
            }
        });
        tokio::spawn(forward(receiver, Arc::clone(&wakes), stop));
        Self {
            watcher: watcher.inspect_err(|error| debug!("outputs are not watched: {error}")).ok(),
            outputs: BTreeMap::new(),
            folders: BTreeSet::new(),
            files,
            wakes,
        }
    }

    /// Watches an output's files from now on, or other ones than before.
    pub(super) fn watch(
        &mut self,
        name: &str,
        output: Arc<dyn Output>,
        wake: Wake,
        hosts: Vec<String>,
    ) {
        self.wakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), wake.clone());
        self.outputs.insert(name.to_owned(), Wanted { output, wake, hosts, complete: false });
    }

    /// Other registry hosts than before.
    pub(super) fn hosts(&mut self, name: &str, hosts: Vec<String>) {
        if let Some(wanted) = self.outputs.get_mut(name) {
            (wanted.hosts, wanted.complete) = (hosts, false);
        }
    }

    /// Watches an output no longer.
    pub(super) fn forget(&mut self, name: &str) {
        self.outputs.remove(name);
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, of| of != name);
    }

    /// Watches what could not be watched before: the folders may exist now.
    pub(super) fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for (name, wanted) in self.outputs.iter_mut().filter(|(_, wanted)| !wanted.complete) {
            wanted.complete = true;
            let mut before_now = false;
            for file in wanted.output.files(&wanted.hosts) {
                let real = file.canonicalize().ok();
                for path in [Some(file), real].into_iter().flatten() {
                    let Some(folder) = path.parent().map(Path::to_owned) else {
                        continue;
                    };
                    self.files
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(path, name.clone());
                    if self.folders.contains(&folder) {
                        continue;
                    }
                    if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                        self.folders.insert(folder);
                        before_now = true;
                    } else {
                        wanted.complete = false;
                    }
                }
            }
            if before_now {
                // What changed before the watch was set is seen by a look now.
                wanted.wake.wake();
            }
        }
    }
}

fn touched(
    event: notify::Result<Event>,
    files: &Mutex<BTreeMap<PathBuf, String>>,
) -> BTreeSet<String> {
    let Ok(event) = event else {
        return BTreeSet::new();
    };
    if matches!(event.kind, EventKind::Access(_)) {
        return BTreeSet::new();
    }
    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
    event.paths.iter().filter_map(|path| files.get(path).cloned()).collect()
}

async fn forward(
    mut changed: mpsc::Receiver<String>,
    wakes: Arc<Mutex<BTreeMap<String, Wake>>>,
    stop: CancellationToken,
) {
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => return,
            name = changed.recv() => name,
        };
        let Some(first) = first else { return };
        tokio::time::sleep(QUIET).await;
        let mut names = BTreeSet::from([first]);
        while let Ok(name) = changed.try_recv() {
            names.insert(name);
        }
        let wakes = wakes.lock().unwrap_or_else(PoisonError::into_inner);
        for wake in names.iter().filter_map(|name| wakes.get(name)) {
            wake.wake();
        }
    }
}
