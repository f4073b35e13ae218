//! Where tokens are published for their consumers.

pub mod accounts;
pub mod atomic_file;
pub mod command;
pub mod containerd_hosts;
pub mod containers_auth;
pub mod cred_helpers;
pub mod docker_config;
pub mod ecs_config;
pub mod file;
pub mod job;
pub mod ledger;
pub mod location;
pub mod place;
pub mod program;
pub mod rendered;
pub mod socket;
pub mod withdrawal;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use self::{
    command::Command,
    containerd_hosts::ContainerdHosts,
    containers_auth::ContainersAuth,
    docker_config::Auths,
    ecs_config::EcsConfig,
    file::FileOutput,
    location::Location,
    rendered::Rendered,
    socket::{DeskWatcher, Socket},
};
use crate::model::{
    outcome::Problem,
    output::{OutputKind, OutputSpec},
    token::Token,
};

/// What an output should hold: the token for each registry host name.
pub type Entries = BTreeMap<String, Token>;

/// What is ours in a place: host name to the fingerprints of our tokens. The entry of a host that
/// is not published there any more goes only if its token's fingerprint is listed.
pub type Ownership = BTreeMap<String, Vec<String>>;

/// What one publication did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Whether anything was written at all; equal content is never written again.
    pub written: bool,
    /// Host names whose entry was set or replaced.
    pub set: Vec<String>,
    /// Those of them that had no entry at all.
    pub absent: Vec<String>,
    /// Host names whose entry was removed.
    pub removed: Vec<String>,
    /// What else is worth a line in the log.
    pub notes: Vec<String>,
    /// What should be looked at although it succeeded (readable by others, in place, ...).
    pub warnings: Vec<Problem>,
}

impl Published {
    /// Adds what another file's publication did.
    fn add(&mut self, other: Self) {
        self.written |= other.written;
        self.set.extend(other.set);
        self.absent.extend(other.absent);
        self.removed.extend(other.removed);
        self.notes.extend(other.notes);
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// What a consumer would see for one registry host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The credential that is wanted there.
    Ours {
        /// When it dies.
        expires: Timestamp,
    },
    /// Something else, or nothing, and why.
    NotOurs(Problem),
}

/// A place where tokens are published. All calls may block: they run on a thread of their own.
pub trait Output: Send + Sync {
    /// Makes the place hold `entries`, and takes out what is listed in `withdraw`. Everything else
    /// stays as it is.
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem>;

    /// What the consumer would see for each of these entries, by the consumer's own rules.
    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem>;

    /// The files, as this process can open them, whose change is worth a look.
    fn files(&self, _hosts: &[String]) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// The host that an output is on.
#[derive(Clone)]
pub struct Host<'a> {
    /// Where its root is.
    pub prefix: &'a Path,
    /// The daemon's state directory.
    pub state: &'a Path,
    /// Who stands behind a socket; without one nothing is listened on.
    pub desk: Option<Arc<dyn DeskWatcher>>,
}

/// The output of these settings.
pub fn build(spec: &OutputSpec, host: &Host<'_>) -> Box<dyn Output> {
    // An empty prefix is the root, not the folder that the process happens to be in.
    let prefix = if host.prefix.as_os_str().is_empty() { Path::new("/") } else { host.prefix };
    let location = Location::new(spec, prefix);
    match spec.kind {
        OutputKind::DockerConfig => Box::new(FileOutput::new(location, Auths::Docker)),
        OutputKind::ContainerdHosts => Box::new(ContainerdHosts::new(location)),
        OutputKind::ContainersAuth => Box::new(ContainersAuth::new(location)),
        OutputKind::Dockerconfigjson => {
            Box::new(FileOutput::new(location, Rendered::dockerconfigjson()))
        }
        OutputKind::Template => {
            let template = spec.template.as_deref().map(|path| location.here(path));
            Box::new(FileOutput::new(location, Rendered::template(template.unwrap_or_default())))
        }
        OutputKind::Command => Box::new(Command::new(spec, prefix)),
        OutputKind::Socket => Box::new(Socket::new(spec, prefix, host.state, host.desk.clone())),
        OutputKind::EcsConfig => Box::new(EcsConfig::new(location, spec.restart_command.clone())),
    }
}

#[cfg(test)]
mod tests {
    //! What the tests of every kind of output begin with.

    use secrecy::SecretString;

    use super::*;
    use crate::model::token::AuthorizationToken;

    pub(super) const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    /// An output on the host whose root is at `root`, and no daemon behind it.
    pub(super) fn built(spec: &OutputSpec, root: &Path) -> Box<dyn Output> {
        build(spec, &Host { prefix: root, state: root, desk: None })
    }

    pub(super) fn spec(kind: OutputKind, path: &str) -> OutputSpec {
        OutputSpec::new("out", kind, path)
    }

    pub(super) fn entries(password: &str) -> Entries {
        Entries::from([(HOST.to_owned(), token(password))])
    }

    pub(super) fn token(password: &str) -> Token {
        let secret = AuthorizationToken::of("AWS", &SecretString::from(password));
        Token { secret, minted: Timestamp::UNIX_EPOCH, expires: Timestamp::MAX }
    }

    pub(super) fn withdrawal(password: &str) -> Ownership {
        Ownership::from([(HOST.to_owned(), vec![token(password).secret.fingerprint()])])
    }
}
