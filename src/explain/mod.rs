//! For each consumer on this host: which credential it would use for an image, from where, until
//! when, and whether it works right now.
//!
//! `look.rs` reads the host, one file a consumer resolves by the rules of `consumer/`, `trial.rs`
//! tries what was found, `report.rs` says it.

mod containerd;
mod containers;
mod docker;
mod ecs;
mod helper;
mod image;
mod kubelet;
pub mod look;
pub mod report;
mod trial;

use std::path::{Path, PathBuf};

use self::look::{Person, Tree};
pub use self::{
    ecs::{Examination, examine},
    image::Image,
    trial::tried,
};
use crate::{
    consumer::Pick,
    model::{outcome::Problem, reason::Reason, token::AuthorizationToken},
};

/// A problem with what to do about it in this case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The problem.
    pub problem: Problem,
    /// The remedy, where there is a better one than the catalogue's.
    pub fix: Option<String>,
}

impl Trouble {
    /// With the catalogue's remedy.
    pub fn new(problem: Problem) -> Self {
        Self { problem, fix: None }
    }

    /// With this remedy.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// What to do, in one line.
    pub fn remedy(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.problem.reason.remedy())
    }
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// A user and a password.
    Token(AuthorizationToken),
    /// None, or none that can be used.
    Bad(Trouble),
    /// It can't be told from here.
    Unknown(Trouble),
}

/// A place that a consumer takes a credential from.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The file and the place in it, or the program.
    pub from: String,
    /// What is there.
    pub credential: Credential,
    /// What a refusal means where the consumer stops at it.
    pub refused: Option<Trouble>,
}

impl Step {
    fn new(from: impl Into<String>, credential: Credential) -> Self {
        Self { from: from.into(), credential, refused: None }
    }

    fn bad(from: impl Into<String>, trouble: Trouble) -> Self {
        Self::new(from, Credential::Bad(trouble))
    }
}

/// How a consumer comes by its credential: its places in the order in which it goes through them,
/// until one works.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The consumers that go this way, such as docker and compose.
    pub consumers: Vec<&'static str>,
    /// Whose it is, where each user has its own.
    pub user: Option<String>,
    /// The places.
    pub steps: Vec<Step>,
    /// It takes credentials from nowhere: how they are given to it.
    pub by_hand: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// The ways of every consumer that is on this host. May block.
pub fn ways(tree: &Tree, image: &Image) -> Vec<Way> {
    let (root, others) = Person::all(tree);
    let mut ways = Vec::new();
    for person in std::iter::once(&root).chain(&others) {
        ways.extend(docker::way(tree, person, image));
        ways.extend(containers::way(tree, person, image));
        ways.extend(containerd::nerdctl(tree, person, image));
    }
    let kubelet = kubelet::way(tree, &root, image);
    ways.extend(containerd::cri(tree, image, kubelet.as_ref()));
    ways.extend(kubelet);
    ways.extend(containerd::ctr(tree, image));
    ways.extend(ecs::way(tree, image));
    ways
}

/// The way of one engine's usual client: docker's, podman's, or containerd's kubelet or ctr. It is
/// root's, else that of whoever asks. May block.
pub fn client(tree: &Tree, image: &Image, engine: &str) -> Option<Way> {
    let (root, others) = Person::all(tree);
    let person = if root.reachable() { Some(&root) } else { others.iter().find(|one| one.is_me) }?;
    match engine {
        "docker" => docker::way(tree, person, image),
        "podman" => containers::way(tree, person, image),
        _ => {
            let kubelet = kubelet::way(tree, &root, image);
            containerd::cri(tree, image, kubelet.as_ref())
        }
    }
}

/// The folder that containerd looks into for a registry's hosts.toml; where it is told of none, the
/// one that ctr is given by custom. May block.
pub fn hosts_folder(tree: &Tree) -> Option<PathBuf> {
    let named = containerd::settings(tree).1.and_then(|cri| cri.folders.into_iter().next());
    let folder = named.map_or_else(|| PathBuf::from(containerd::CERTS), PathBuf::from);
    tree.is_folder(&folder).then_some(folder)
}

/// A pick of a file with what comes of it: a helper is asked.
fn follow(tree: &Tree, person: &Person, file: &Path, pick: Pick) -> Step {
    let from = |at: &str| format!("{}: {at}", file.display());
    match pick {
        Pick::Basic { at, token } => Step::new(from(&at), Credential::Token(token)),
        Pick::Helper { at, suffix, key } => {
            Step::new(from(&at), helper::ask(tree, person, &suffix, &key))
        }
        Pick::Other { at } => {
            let detail = format!("{}: it is no user and password", from(&at));
            let trouble = Trouble::new(Problem::new(Reason::CredentialUntried, detail));
            Step::new(from(&at), Credential::Unknown(trouble.fix(
                "ECR takes a user and a password only: remove the entry (docker logout REGISTRY) and let it be written again",
            )))
        }
    }
}

/// A failure to read: the user's own where it is the user who could not, else not known.
fn unread(person: &Person, problem: Problem) -> Credential {
    let trouble = Trouble::new(problem);
    if person.reachable() { Credential::Bad(trouble) } else { Credential::Unknown(trouble) }
}

/// A user's files that did not answer in time.
fn stuck(person: &Person) -> Credential {
    let detail = format!("the home folder of {}", person.name);
    Credential::Unknown(Trouble::new(Problem::new(Reason::OutputStuck, detail)))
}
