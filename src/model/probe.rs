//! Test pulls as the configuration names them. Pure.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    image::{ImageRef, Platform},
    schedule::Schedule,
};

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

    /// The words, the shallowest first.
    pub const WORDS: &'static [&'static str] = &["manifest", "first-byte", "full"];

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

    /// How long a test pull may take, where nobody says.
    pub const fn patience(self) -> Duration {
        match self {
            Self::Manifest | Self::FirstByte => Duration::from_secs(30),
            Self::Full => Duration::from_secs(600),
        }
    }

    /// How many requests it makes of the registry and its storage, at the least and at the most, for
    /// an image of so many layers.
    pub const fn requests(self, layers: u64) -> (u64, u64) {
        match self {
            Self::Manifest => (3, 4),
            Self::FirstByte => (5, 6),
            Self::Full => (3 + 2 * layers, 4 + 2 * layers),
        }
    }
}

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// dockerd.
    Docker,
    /// containerd.
    Containerd,
    /// podman's service.
    Podman,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Containerd, Self::Podman];

    /// The words.
    pub const WORDS: &'static [&'static str] = &["docker", "containerd", "podman"];

    /// The word in the configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
        }
    }

    /// The engine of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.word() == word)
    }

    /// Where it listens unless told otherwise.
    pub const fn socket(self) -> &'static str {
        match self {
            Self::Docker => "/run/docker.sock",
            Self::Containerd => "/run/containerd/containerd.sock",
            Self::Podman => "/run/podman/podman.sock",
        }
    }
}

/// How far a rehearsal of a push goes: each rung includes those before it. Before all of them the repository is
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

    /// The words, the lowest first.
    pub const WORDS: &'static [&'static str] = &["start", "part", "complete", "manifest", "image"];

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

/// `[[probe]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// Its name: a metric's label, a line in `status`.
    pub name: String,
    /// What is pulled.
    pub image: ImageRef,
    /// How far down.
    pub depth: Depth,
    /// Which engine pulls in place of our own client.
    pub engine: Option<Engine>,
    /// The engine's socket, where it is not the usual one.
    pub socket: Option<PathBuf>,
    /// It is a push that is rehearsed, and so far.
    pub push: Option<Rung>,
    /// For which platform; this host's when it is left open.
    pub platform: Option<Platform>,
    /// When.
    pub schedule: Schedule,
    /// How long it may take.
    pub timeout: Duration,
    /// So many runs in a row must fail before it counts.
    pub failures_to_alarm: u32,
    /// Whose token is used; the registry's identity when it is left open.
    pub identity: Option<String>,
    /// The image is there for probes alone: nobody minds when its last pull was.
    pub canary: bool,
}

impl ProbeSpec {
    /// How many requests it makes at most, engines' own aside.
    pub fn requests(&self, layers: u64) -> u64 {
        // A look at what is there, then each step; a tiny image takes two uploads, its pull and its
        // deletion besides.
        let pushing = self.push.map(|rung| if rung == Rung::Image { 24 } else { 11 });
        pushing.unwrap_or(self.depth.requests(layers).1)
    }

    /// Whose platform is meant.
    pub fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// `[probing]`: what all test pulls of a host share.
#[derive(Clone, Debug, PartialEq)]
pub struct Probing {
    /// So many run at the same time.
    pub at_once: u32,
    /// So many results of each are kept.
    pub keep: u32,
    /// Bytes in 24 hours.
    pub bytes_per_day: u64,
    /// Requests in 24 hours.
    pub requests_per_day: u64,
    /// US dollars for a GB, for the estimate of `check`.
    pub price_per_gb: f64,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            at_once: 10,
            keep: 10,
            bytes_per_day: 20_000_000_000,
            requests_per_day: 50_000,
            price_per_gb: 0.045,
        }
    }
}

/// Reads an amount such as `500kB`, `20MB` or `1.5GB`: decimal units, as bandwidth is billed.
pub fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 5] =
        [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("B", 1.0)];
    let (unit, size) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text[..text.len() - unit.len()].trim_end();
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let bytes = number.parse::<f64>().ok().filter(|_| plain)? * size;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (bytes <= 1e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_they_are_billed() {
        for (text, bytes) in [
            ("500kB", Some(500_000)),
            ("20 MB", Some(20_000_000)),
            ("1.5GB", Some(1_500_000_000)),
            ("0B", Some(0)),
            ("20", None),
            ("-1GB", None),
            ("1e3GB", None),
            ("GB", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn every_engine_and_rung_has_its_word() {
        for (engine, word) in Engine::ALL.into_iter().zip(Engine::WORDS) {
            assert_eq!((engine.word(), Engine::of(word)), (*word, Some(engine)));
        }
        for (rung, word) in Rung::ALL.into_iter().zip(Rung::WORDS) {
            assert_eq!((rung.word(), Rung::of(word)), (*word, Some(rung)));
        }
    }

    #[test]
    fn every_depth_has_its_word() {
        for (depth, word) in Depth::ALL.into_iter().zip(Depth::WORDS) {
            assert_eq!((depth.word(), Depth::of(word)), (*word, Some(depth)));
        }
    }
}
