//! Where tokens are published for their consumers.

pub mod accounts;
pub mod atomic_file;
pub mod docker_config;
pub mod job;
pub mod ledger;
pub mod place;

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use crate::model::{
    outcome::Problem,
    output::{OutputKind, OutputSpec},
    token::Token,
};

/// What an output should hold: the token for each registry host name.
pub type Entries = BTreeMap<String, Token>;

/// What may be taken out of a place: host name to the fingerprints of our tokens. An entry goes
/// only if its token's fingerprint is listed.
pub type Ownership = BTreeMap<String, Vec<String>>;

/// What one publication did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Whether anything was written at all; equal content is never written again.
    pub written: bool,
    /// Host names whose entry was set or replaced.
    pub set: Vec<String>,
    /// Host names whose entry was removed.
    pub removed: Vec<String>,
    /// What should be looked at although it succeeded (readable by others, in place, ...).
    pub warnings: Vec<Problem>,
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
}

/// The output of these settings, on the host whose root is at `prefix`.
pub fn build(spec: &OutputSpec, prefix: &Path) -> Box<dyn Output> {
    match spec.kind {
        OutputKind::DockerConfig => Box::new(docker_config::DockerConfig::new(spec, prefix)),
    }
}
