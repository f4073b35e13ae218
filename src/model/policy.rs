//! What the configuration says of the primary account's policies.

use std::{path::PathBuf, time::Duration};

/// How a live policy must stand to its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It grants just that.
    Exact,
    /// It grants that, and may grant more.
    AtLeast,
    /// It grants nothing beyond that.
    AtMost,
}

impl Mode {
    /// The mode of a word in the configuration.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "exact" => Some(Self::Exact),
            "at-least" => Some(Self::AtLeast),
            "at-most" => Some(Self::AtMost),
            _ => None,
        }
    }
}

/// Where the grants of a baseline are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// In a policy file.
    File(PathBuf),
    /// As who may pull and who may push: ARNs or account numbers.
    Lists {
        /// Who may pull.
        pull: Vec<String>,
        /// Who may push.
        push: Vec<String>,
    },
}

/// `[[policy.baseline]]`: what must hold, and may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineSpec {
    /// The registry's name.
    pub registry: String,
    /// Repositories, with `*` and `?`; empty: it is the registry's own policy that is meant.
    pub repositories: Vec<String>,
    /// What is granted.
    pub grants: Grants,
    /// How the live policy must stand to it.
    pub mode: Mode,
}

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Every repository is looked at so often.
    pub interval: Duration,
    /// An identity in the primary account, for what no other account may read.
    pub audit_identity: Option<String>,
    /// Repositories that this host uses beyond those of baselines: `REGISTRY/REPOSITORY`.
    pub repositories: Vec<String>,
    /// The baselines; of several that fit a repository the first one counts.
    pub baselines: Vec<BaselineSpec>,
}

impl PolicySpec {
    /// Whether there is anything to look at.
    pub fn is_off(&self) -> bool {
        self.repositories.is_empty() && self.baselines.is_empty()
    }
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(6 * 3600),
            audit_identity: None,
            repositories: Vec::new(),
            baselines: Vec::new(),
        }
    }
}
