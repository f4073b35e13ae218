//! Where tokens are published for their consumers.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{outcome::Problem, token::Token};

/// What an output should hold: the token for each registry host name.
pub type Entries = BTreeMap<String, Token>;

/// What one publication did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Whether anything was written at all; equal content is never written again.
    pub written: bool,
    /// Host names whose entry was set or replaced.
    pub set: Vec<String>,
    /// Host names whose entry was removed.
    pub removed: Vec<String>,
    /// What should be looked at although the write succeeded (readable by others, in place, ...).
    pub warnings: Vec<Problem>,
}

/// What a consumer would see for one registry host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The credential that we published last.
    Ours {
        /// When it dies.
        expires: Timestamp,
    },
    /// Something else, or nothing, and why.
    NotOurs(Problem),
}

/// A place where tokens are published. All calls may block: they run on a thread of their own.
pub trait Output: Send + Sync {
    /// Makes the place hold `entries`, and removes what `ours` says was published here before and
    /// is no longer wanted. Everything that is not ours stays as it is.
    fn publish(&self, entries: &Entries, ours: &Ownership) -> Result<Published, Problem>;

    /// What the consumer would see for each host of `entries`, by the consumer's own rules.
    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem>;
}

/// What was published in a place before: host name to the fingerprints of our tokens there.
/// An entry is ours if its token's fingerprint is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ownership(pub BTreeMap<String, Vec<String>>);
