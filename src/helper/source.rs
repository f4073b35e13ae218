//! Where the helper's answers come from: the daemon, else what it kept.

use std::{collections::BTreeMap, io, path::PathBuf};

use jiff::Timestamp;

use super::{
    SOCKET, STATE,
    kept::{self, Kept},
    wire::{Credential, Line, Reply, Request},
};
use crate::model::registry::{RegistryHost, is_pattern};

/// What there is for a registry host.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A credential that has not expired.
    Credential(Credential),
    /// Nothing of ours: somebody else may know.
    NotOurs,
    /// It should be there and is not: why and what to do, in one line.
    Lacking(String),
}

/// The daemon's socket and its state directory.
#[derive(Clone, Debug)]
pub struct Source {
    /// The socket.
    pub socket: PathBuf,
    /// The state directory.
    pub state: PathBuf,
}

impl Source {
    /// As ECR_WARDEN_SOCKET and ECR_WARDEN_STATE say, else the default places.
    pub fn of_environment() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            socket: set("ECR_WARDEN_SOCKET").map_or_else(|| SOCKET.into(), PathBuf::from),
            state: set("ECR_WARDEN_STATE").map_or_else(|| STATE.into(), PathBuf::from),
        }
    }

    fn ask(&self, request: &Request) -> io::Result<Reply> {
        Line::open(&self.socket)?.ask(request)
    }

    /// The credential for a registry host.
    pub fn get(&self, host: &str) -> Answer {
        let down = match self.ask(&Request::Get(host.to_owned())) {
            Ok(Reply::Credential(credential)) => return Answer::Credential(credential),
            Ok(Reply::NotOurs) => return Answer::NotOurs,
            Ok(Reply::Lacking(why)) => return Answer::Lacking(format!("ecr-warden: {why}")),
            Ok(Reply::Hosts(_)) => io::Error::other("the daemon answered something else"),
            Err(error) => error,
        };
        let down = format!("ecr-warden does not answer at {}: {down}", self.socket.display());
        let path = kept::path(&self.state);
        match Kept::read(&path) {
            Ok(mut kept) => match kept.take(host) {
                Some(credential) if credential.expires > Timestamp::now() => {
                    Answer::Credential(credential)
                }
                Some(credential) => Answer::Lacking(format!(
                    "{down}, and the credential that it kept for {host} expired at {:.0}; start it: \
                     systemctl start ecr-warden",
                    credential.expires
                )),
                None => Answer::NotOurs,
            },
            // Whether the registry is ours can't be known: a host name of ECR's likely is.
            Err(error) if RegistryHost::parse(host).is_some() => Answer::Lacking(format!(
                "{down}, and what it kept can't be read at {}: {error}; start it: systemctl start \
                 ecr-warden, or add this user to users of the output with kind = \"socket\"",
                path.display()
            )),
            Err(_) => Answer::NotOurs,
        }
    }

    /// Whether anybody is there to be asked.
    pub fn answers(&self) -> bool {
        Line::open(&self.socket).is_ok()
    }

    /// The registry hosts for which there is a credential, and the user names.
    pub fn list(&self) -> BTreeMap<String, String> {
        if let Ok(Reply::Hosts(hosts)) = self.ask(&Request::List) {
            return hosts;
        }
        let now = Timestamp::now();
        let kept = Kept::read(&kept::path(&self.state)).unwrap_or_default();
        let valid = kept
            .hosts
            .into_iter()
            .filter(|(host, credential)| credential.expires > now && !is_pattern(host));
        valid.map(|(host, credential)| (host, credential.username)).collect()
    }
}
