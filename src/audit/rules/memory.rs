//! What the rules remember over a restart. Pure.

use serde::{Deserialize, Serialize};

use super::Rules;

/// What the rules remember over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Marks of first times.
    firsts: Vec<u64>,
    /// Marks of first denials.
    #[serde(default)]
    denials: Vec<u64>,
    /// Marks of tags with their digest and who pushed it.
    tags: Vec<(u64, String, String)>,
    /// Keys that ECR was given grants on.
    keys: Vec<String>,
}

impl Rules {
    /// The same, with what an earlier run remembered.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        for first in memory.firsts {
            self.firsts.put(first, ());
        }
        for denial in memory.denials {
            self.denials.put(denial, ());
        }
        for key in memory.keys {
            self.keys.put(key, ());
        }
        for (tag, digest, who) in memory.tags {
            self.tags.put(tag, (digest, who));
        }
        self
    }

    /// What is remembered, for the checkpoint.
    pub fn memory(&self) -> Memory {
        let tags = self.tags.iter().map(|(tag, (digest, who))| (*tag, digest.clone(), who.clone()));
        Memory {
            firsts: self.firsts.iter().map(|(first, ())| *first).collect(),
            denials: self.denials.iter().map(|(denial, ())| *denial).collect(),
            tags: tags.collect(),
            keys: self.keys.iter().map(|(key, ())| key.clone()).collect(),
        }
    }
}
