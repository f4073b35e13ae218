//! The phases of a request and the hops of a pull, timed apart.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// What a request goes through, in this order. Each is awaited on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// From the name to addresses.
    Resolve,
    /// The TCP connection, through the proxy if there is one.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the request to the head of the answer.
    Processing,
    /// The body.
    Transfer,
    /// The digest.
    Verify,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 6] =
        [Self::Resolve, Self::Connect, Self::Tls, Self::Processing, Self::Transfer, Self::Verify];

    /// The word in metrics and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Processing => "processing",
            Self::Transfer => "transfer",
            Self::Verify => "verify",
        }
    }
}

/// Which of a pull's two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// The registry's own origin: the only one that is shown a credential.
    Registry,
    /// Wherever the registry sends its client for bytes: S3, with ECR.
    Storage,
}

impl Hop {
    /// The word in metrics and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Storage => "storage",
        }
    }
}

/// How long each phase took; a phase that did not happen (a connection used again) is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings(BTreeMap<Phase, f64>);

impl Timings {
    /// Adds to a phase.
    pub fn add(&mut self, phase: Phase, took: Duration) {
        *self.0.entry(phase).or_default() += took.as_secs_f64();
    }

    /// Seconds in a phase, if it happened.
    pub fn seconds(&self, phase: Phase) -> Option<f64> {
        self.0.get(&phase).copied()
    }

    /// All phases that happened, with their seconds.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, f64)> + '_ {
        self.0.iter().map(|(phase, seconds)| (*phase, *seconds))
    }
}
