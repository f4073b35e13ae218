//! The credential that an engine's client on this host would send: found by `explain`'s rules, for
//! `probe`'s engines.

use std::path::PathBuf;

use crate::{
    consumer::containerd::FILE,
    explain::{self, Credential, Image, Way, look::Tree},
    model::{outcome::Problem, reason::Reason},
    probe::engine::{Engine, Offered},
};

/// Finds it. May block: files are read and helpers run.
pub fn offered(tree: &Tree, image: &Image, engine: Engine) -> Offered {
    explain::client(tree, image, engine.word()).map_or_else(
        || {
            let detail = format!("no client of {} was found on this host", engine.word());
            lacking("nowhere", Problem::new(Reason::CredentialAbsent, detail))
        },
        |way| of_way(&way),
    )
}

/// containerd's folder of hosts, as this process can name it. May block.
pub fn hosts_folder(tree: &Tree) -> Option<PathBuf> {
    explain::hosts_folder(tree).map(|folder| tree.here(&folder))
}

/// The first place that has one: whether the registry takes it is what the probe finds out.
fn of_way(way: &Way) -> Offered {
    for step in &way.steps {
        if let Credential::Token(token) = &step.credential {
            let (from, token) = (step.from.clone(), Some(token.clone()));
            let stands_in_hosts = from.contains(FILE);
            return Offered { from, token, lacking: None, stands_in_hosts };
        }
    }
    for step in &way.steps {
        if let Credential::Bad(trouble) | Credential::Unknown(trouble) = &step.credential {
            return lacking(&step.from, trouble.problem.clone());
        }
    }
    let detail = way.by_hand.clone().unwrap_or_default();
    lacking("nowhere", Problem::new(Reason::CredentialAbsent, detail))
}

fn lacking(from: &str, problem: Problem) -> Offered {
    let (from, lacking) = (from.to_owned(), Some(problem));
    Offered { from, token: None, lacking, stands_in_hosts: false }
}
