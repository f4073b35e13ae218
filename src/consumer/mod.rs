//! How each consumer finds its credential, by its own rules: pure, from the text of its files.
//!
//! The outputs read back by these rules what they published, and `explain` resolves by them what
//! is on a host. Each file names the source that its rules were read in.

pub mod containerd;
pub mod containers;
pub mod docker;
pub mod ecs;
pub mod kubelet;

use crate::model::token::AuthorizationToken;

/// What a consumer's file says about a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// A user name and a password stand in the file.
    Basic {
        /// Where in the file.
        at: String,
        /// Both of them.
        token: AuthorizationToken,
    },
    /// A credential helper is asked.
    Helper {
        /// Where in the file.
        at: String,
        /// What follows `docker-credential-` in the program's name.
        suffix: String,
        /// What it is asked for.
        key: String,
    },
    /// A token of another kind than user and password.
    Other {
        /// Where in the file, and which kind.
        at: String,
    },
}

/// The host name, with its port, of a URL or of a host with a path.
pub fn host_of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}
