//! What the daemon keeps for the time when it does not run: `helper.json` in its state directory.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::wire::Credential;
use crate::{
    host,
    model::{registry, token::fingerprint},
};

const VERSION: u32 = 1;

/// The file's name.
pub const FILE: &str = "helper.json";

/// Credentials by registry host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    version: u32,
    /// This host, without naming it: an image that was baked with it carries nothing of use.
    host: String,
    /// The credentials.
    pub hosts: BTreeMap<String, Credential>,
}

impl Kept {
    /// What is kept on the host whose root is at `prefix`.
    pub fn new(prefix: &Path, hosts: BTreeMap<String, Credential>) -> Self {
        Self { version: VERSION, host: this(prefix), hosts }
    }

    /// Reads it; one of another version or another host is as good as none.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(std::fs::read(path)?);
        let kept: Self = serde_json::from_slice(&text)
            .map_err(|error| io::Error::other(format!("no such JSON at line {}", error.line())))?;
        if kept.version != VERSION {
            return Err(io::Error::other(format!("version {} is unknown", kept.version)));
        }
        if kept.host != this(Path::new("/")) {
            return Err(io::Error::other("it was kept by another host"));
        }
        Ok(kept)
    }

    /// The credential for a registry host, which may be one of a pattern's.
    pub fn take(&mut self, host: &str) -> Option<Credential> {
        let name = registry::find(self.hosts.keys().map(String::as_str), host)?.to_owned();
        self.hosts.remove(&name)
    }

    /// As text.
    pub fn render(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(serde_json::to_vec(self)?))
    }
}

/// Where it is, in this state directory.
pub fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// An empty prefix is this host's own root, not the folder that the process happens to be in.
fn this(prefix: &Path) -> String {
    let prefix = if prefix.as_os_str().is_empty() { Path::new("/") } else { prefix };
    fingerprint(host::identify(prefix).as_str())
}
