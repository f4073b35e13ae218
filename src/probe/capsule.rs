//! All that a test pull saw, as one value: what `diagnosis` reads, what is kept in memory, and what
//! `probe --trace FILE` writes for somebody else to look at. There is no secret in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Depth;
use crate::{model::image::Platform, oci::trace::Exchange};

/// The version of this shape.
pub const VERSION: u32 = 1;

/// A test pull as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capsule {
    /// The version of this shape: 1.
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The image, as asked for.
    pub image: String,
    /// How far down the pull was to go.
    pub depth: Depth,
    /// How far down it came, if anywhere.
    pub reached: Option<Depth>,
    /// Whose image was looked for in an index.
    pub platform: Platform,
    /// When it began, by this host's clock.
    pub started: Timestamp,
    /// How long it took, in seconds.
    pub took: f64,
    /// The registry's account and region, where they are known.
    pub registry: Option<RegistryFacts>,
    /// Who pulled, where it is known: the ARN that STS gives.
    pub principal: Option<String>,
    /// The credential that went with it, without the credential.
    pub token: Option<TokenFacts>,
    /// Why there was no credential, if there was none.
    pub no_token: Option<NoToken>,
    /// Where it ended.
    pub stop: Stop,
    /// Bytes of bodies that came.
    pub bytes: u64,
    /// What the layers showed, when all of them were streamed.
    pub layers: Option<Layers>,
    /// Every request, in the order in which they ended.
    pub exchanges: Vec<Exchange>,
}

/// A registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryFacts {
    /// The primary account.
    pub account: String,
    /// Its region.
    pub region: String,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// When it arrived here.
    pub minted: Timestamp,
    /// In which region.
    pub region: String,
}

/// Why there was no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoToken {
    /// The code of a reason.
    pub code: String,
    /// What was seen.
    pub detail: String,
}

/// What ended a test pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It came as deep as it was to.
    Complete,
    /// The exchange at this place of the list.
    Exchange(usize),
    /// There is no image for the platform.
    Platform {
        /// The platforms that there are.
        offered: Vec<Platform>,
        /// Whether the reference names one image rather than an index.
        single: bool,
    },
    /// The bytes are not those that were asked for.
    Digest {
        /// Of what.
        what: String,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        got: String,
    },
    /// More or fewer bytes than there should be, and yet the body ended well.
    Length {
        /// Of what.
        what: String,
        /// How many there should be.
        expected: u64,
        /// How many there were.
        got: u64,
    },
    /// A kind of manifest or layer that engines don't pull.
    Unsupported(String),
    /// Something that is no manifest answered.
    Unreadable(String),
    /// The layers are more than may be transferred, so it ended with the first byte.
    Allowance {
        /// How large they are together.
        bytes: u64,
    },
    /// Its time was up, in seconds; the exchanges say with what it was busy.
    Deadline(u64),
}

/// What streaming the layers showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// How many different ones.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds from the first request to the last byte.
    pub seconds: f64,
    /// How many streams at once.
    pub streams: usize,
    /// Bytes a second of one stream, measured while there was no other; absent when there was too
    /// little to measure by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<f64>,
}

impl Layers {
    /// Bytes a second of all streams together.
    pub fn together(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        let bytes = self.bytes as f64;
        (self.seconds > 0.0).then(|| bytes / self.seconds)
    }
}

/// Why a text is no capsule.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// Not JSON of this shape.
    #[error("it is no capsule of a probe: {0}")]
    Shape(#[from] serde_json::Error),
    /// A newer program's.
    #[error("it is of version {0}; this program reads version {VERSION}")]
    Version(u32),
}

impl Capsule {
    /// Reads what `probe --trace` wrote.
    pub fn parse(text: &str) -> Result<Self, CapsuleError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(CapsuleError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }
}
