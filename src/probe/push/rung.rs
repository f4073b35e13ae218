//! How far a rehearsal of a push goes.

use serde::{Deserialize, Serialize};

/// The rungs of the ladder: each includes those before it. Before all of them the repository is
/// asked for an image and whether it has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// An upload is started and given up.
    Start,
    /// Bytes are sent to it.
    Part,
    /// It is completed with bytes that the repository has already, so nothing is added.
    Complete,
    /// A manifest is pushed that must fail, since it names a blob that does not exist.
    Manifest,
    /// A tiny image of our own is pushed, pulled and deleted. Only on request.
    Image,
}

impl Rung {
    /// Every rung, the lowest first.
    pub const ALL: [Self; 5] =
        [Self::Start, Self::Part, Self::Complete, Self::Manifest, Self::Image];

    /// The word in the configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Part => "part",
            Self::Complete => "complete",
            Self::Manifest => "manifest",
            Self::Image => "image",
        }
    }

    /// The rung of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.word() == word)
    }
}
