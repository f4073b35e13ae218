//! Test pulls through the engines themselves: Docker and podman by their sockets, containerd by
//! `ctr`. An engine has a way of its own (proxy, authorities, resolver, credentials), so an image
//! that ecr-warden can pull may still be out of its reach.
//!
//! [`look`] does: the engine is asked for the manifest, on request it pulls by digest, what it has
//! is compared with what the registry has, and what the probe brought is removed again: by
//! reference, without force, never what was there before or is in use. [`Trial`] is what was seen;
//! `fault.rs`, `validate.rs`, `views.rs` and `report.rs` are pure and say what it means.
//!
//! Whose credential goes along is the caller's business: [`Offered`].

mod api;
mod clean;
mod containerd;
mod ctr;
mod docker;
pub mod fault;
mod hosts_folder;
mod note;
mod progress;
pub mod report;
pub mod running;
mod space;
pub mod validate;
pub mod views;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{space::Space, validate::Wanted};
use super::{Depth, capsule::Capsule};
pub use crate::model::probe::Engine;
use crate::model::{
    image::{ImageRef, Platform},
    outcome::Problem,
    token::AuthorizationToken,
};

/// The longest words that are kept, in characters.
const LONGEST: usize = 1000;

/// What to ask of which engine.
#[derive(Clone, Debug)]
pub struct EnginePlan {
    /// Which.
    pub engine: Engine,
    /// Its socket, as this process can reach it.
    pub socket: PathBuf,
    /// The host's root as this process sees it: the engine names its folders from there.
    pub prefix: PathBuf,
    /// The image.
    pub image: ImageRef,
    /// [`Depth::Full`] has the engine pull; anything less asks it for the manifest alone.
    pub depth: Depth,
    /// For which platform.
    pub platform: Platform,
    /// What the registry has, as our own client saw it: what the engine has is compared with that.
    pub wanted: Option<Wanted>,
    /// How long the pull may take. Cleaning up has its own time.
    pub timeout: Duration,
    /// Bytes that must be free beyond three times the image's size.
    pub least_free: u64,
    /// containerd's folder of hosts, as this process can reach it.
    pub hosts_folder: Option<PathBuf>,
    /// A folder of the host's where a file with a credential may be for as long as containerd reads
    /// it.
    pub scratch: PathBuf,
    /// A folder that outlives this process, for a note of what a pull is about to bring.
    pub notes: Option<PathBuf>,
}

/// The credential that a client of the engine on this host would send with the request.
#[derive(Clone, Debug)]
pub struct Offered {
    /// Where it comes from: a file and the place in it.
    pub from: String,
    /// The credential; none where there is none, as then the client sends none.
    pub token: Option<AuthorizationToken>,
    /// Why there is none.
    pub lacking: Option<Problem>,
    /// It stands in containerd's folder of hosts, where containerd finds it by itself.
    pub stands_in_hosts: bool,
}

/// All that was seen of an engine. There is no secret in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The engine's word.
    pub engine: String,
    /// Its own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The proxy that the engine says it goes through; containerd does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// The engine's process could not be looked into, so that it was asked without its proxy and
    /// authorities: a failure on the way is then none of the engine's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blind: bool,
    /// Where the credential came from.
    pub credential: String,
    /// Why there was no credential: the code of a reason and what was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_credential: Option<Words>,
    /// The engine itself could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Words>,
    /// Whether a pull was asked for.
    pub to_pull: bool,
    /// The digest of what the reference names, as the engine sees it; or its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Result<String, Words>>,
    /// What became of the pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// In what the pulled image differs from what the registry has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// What was done about what the pull brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaned: Option<Cleaned>,
    /// Seconds for each part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_took: Option<f64>,
    /// Seconds for each part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_took: Option<f64>,
}

/// A failure: a reason that was known where it was seen, or the engine's words, which
/// [`fault::reason_of`] understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The code of a reason, where it is known without the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was said or seen.
    pub words: String,
}

impl Words {
    /// What an engine said, without the queries of URLs: storage signs them.
    pub fn said(words: impl AsRef<str>) -> Self {
        let words = words.as_ref().split_whitespace().map(|word| match word.split_once('?') {
            Some((before, query)) if before.contains("://") => {
                let end = query.find(['"', '\'', ')', '>']).unwrap_or(query.len());
                format!("{before}?...{}", query.get(end..).unwrap_or_default())
            }
            _ => word.to_owned(),
        });
        let words = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect();
        Self { code: None, words }
    }
}

impl From<Problem> for Words {
    fn from(problem: Problem) -> Self {
        Self { code: Some(problem.reason.code().to_owned()), words: problem.detail }
    }
}

/// What became of a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// It was there before: nothing was asked, since that would have proved nothing.
    WasThere,
    /// There was not enough space: nothing was asked.
    NoSpace(String),
    /// It came.
    Done {
        /// Layers that were fetched.
        fetched: usize,
        /// Layers that the engine had already, of other images.
        shared: usize,
    },
    /// It did not.
    Failed(Words),
}

/// What was done about what a pull brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleaned {
    /// There was nothing to remove.
    Nothing,
    /// It was removed, and is gone.
    Removed,
    /// Somebody uses it by now, so it was kept.
    Kept(String),
    /// It could not be removed.
    Left(Words),
}

impl Seen {
    /// How far down the engine came, by what was really fetched: layers that it had already prove
    /// nothing about the storage.
    pub fn reached(&self) -> Option<Depth> {
        match &self.pull {
            Some(Pull::Done { fetched: 1.., shared: 0 }) => Some(Depth::Full),
            Some(Pull::Done { fetched: 1.., .. }) => Some(Depth::FirstByte),
            Some(Pull::Done { .. }) => Some(Depth::Manifest),
            _ => matches!(self.manifest, Some(Ok(_))).then_some(Depth::Manifest),
        }
    }
}

/// An engine's trial beside the view of our own client: what is kept, and what `--trace` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The engine.
    pub engine: Seen,
    /// Our own client, asked for the manifest at the same time.
    pub seen: Capsule,
}

impl Trial {
    /// Reads what `probe --engine --trace` wrote; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        (read.seen.version == super::capsule::VERSION).then_some(read)
    }
}

/// Asks the engine, and leaves it as it was. It does so to its end, also if nobody waits for it any
/// more: what was pulled is removed.
pub async fn look(plan: &EnginePlan, offered: &Offered) -> Seen {
    let (plan, offered) = (plan.clone(), offered.clone());
    let engine = plan.engine.word().to_owned();
    let looked = tokio::spawn(async move {
        let mut seen = Seen {
            engine: plan.engine.word().to_owned(),
            credential: offered.from.clone(),
            no_credential: offered.lacking.clone().map(Words::from),
            to_pull: plan.depth == Depth::Full,
            ..Seen::default()
        };
        match plan.engine {
            Engine::Docker | Engine::Podman => docker::look(&plan, &offered, &mut seen).await,
            Engine::Containerd => containerd::look(&plan, &offered, &mut seen).await,
        }
        seen
    });
    looked.await.unwrap_or_else(|error| Seen {
        engine,
        unreachable: Some(Words::said(error.to_string())),
        ..Seen::default()
    })
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_signed_url_in_an_engines_words_is_kept_without_its_signature() {
        let said = Words::said(
            "error pulling image: Get \"https://bucket.s3.amazonaws.com/x?X-Amz-Signature=secret&y=z\": dial tcp: i/o timeout, is it up? yes",
        );
        assert_eq!(
            said.words,
            "error pulling image: Get \"https://bucket.s3.amazonaws.com/x?...\": dial tcp: i/o timeout, is it up? yes"
        );
    }
}
