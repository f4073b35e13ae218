//! Test pulls and rehearsed pushes, and what their failures mean. `pull.rs` and `push.rs` do and note
//! what they see; `diagnosis.rs` and `push/verdict.rs` are pure and say what it means; a capsule
//! carries the one to the other, also by file.

pub mod attempt;
pub mod capsule;
pub mod denial;
pub mod diagnosis;
pub mod engine;
pub mod pull;
pub mod push;
pub mod report;
pub mod statement;
pub mod timeline;

use serde::{Deserialize, Serialize};

/// How far down a test pull goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Index, this platform's manifest and the configuration, digests verified.
    Manifest,
    /// Also a byte of the largest layer, from where the registry sends its client.
    FirstByte,
    /// Every layer, streamed and verified; nothing is written.
    Full,
}

impl Depth {
    /// Every depth, the shallowest first.
    pub const ALL: [Self; 3] = [Self::Manifest, Self::FirstByte, Self::Full];

    /// The word in the configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::FirstByte => "first-byte",
            Self::Full => "full",
        }
    }

    /// The depth of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.word() == word)
    }
}
