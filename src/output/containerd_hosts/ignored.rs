//! Whether this host's containerd would look into the folder at all: `containerd config dump`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use crate::{
    consumer::containerd::{Cri, Plugin},
    model::outcome::Problem,
};

/// What the last look came to, until containerd's own files change.
#[derive(Default)]
pub(super) struct Known {
    of: Option<Vec<Option<SystemTime>>>,
    problem: Option<Problem>,
}

impl Known {
    /// Asks containerd for its configuration if something about it has changed.
    pub(super) fn look(&mut self, root: &Path, folder: &Path) -> Option<Problem> {
        // Another root's containerd can't be run from here.
        if root != Path::new("/") {
            return None;
        }
        let program = ["/usr/bin/containerd", "/usr/local/bin/containerd", "/bin/containerd"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())?;
        let files = [
            &program,
            Path::new("/etc/containerd/config.toml"),
            Path::new("/etc/containerd/conf.d"),
        ]
        .map(|path| path.metadata().and_then(|about| about.modified()).ok());
        if self.of.as_deref() != Some(&files) {
            self.problem = dump(&program).and_then(|text| problem(&text, folder));
            self.of = Some(files.to_vec());
        }
        self.problem.clone()
    }
}

fn dump(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .args(["config", "dump"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

/// What in containerd's configuration makes its CRI plugin (the kubelet's way) ignore `folder`.
pub(super) fn problem(dump: &str, folder: &Path) -> Option<Problem> {
    let cri = Cri::of(dump).filter(|cri| cri.plugin == Plugin::Listed)?;
    cri.ignores(folder).or_else(|| cri.static_credential())
}
