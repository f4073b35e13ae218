//! What the configuration says of an output.

use std::path::PathBuf;

/// The kinds of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// Docker's `config.json`: `auths` entries.
    DockerConfig,
    /// containerd's `hosts.toml`, in a folder for each registry host.
    ContainerdHosts,
    /// The containers tools' `auth.json` (podman, skopeo, buildah).
    ContainersAuth,
}

impl OutputKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::DockerConfig, Self::ContainerdHosts, Self::ContainersAuth];

    /// The word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DockerConfig => "docker-config",
            Self::ContainerdHosts => "containerd-hosts",
            Self::ContainersAuth => "containers-auth",
        }
    }

    /// The kind that is called so.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// Where its consumer looks by default, if there is one place.
    pub const fn default_path(self) -> Option<&'static str> {
        match self {
            Self::DockerConfig => Some("~/.docker/config.json"),
            Self::ContainerdHosts => Some("/etc/containerd/certs.d"),
            Self::ContainersAuth => Some("~/.config/containers/auth.json"),
        }
    }
}

/// One `[[output]]` table, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// The name: a metric's label.
    pub name: String,
    /// What is written.
    pub kind: OutputKind,
    /// The file; absolute once the owner's home is known (`~/` stands for it).
    pub path: PathBuf,
    /// The user whom a new file belongs to, and in whose home the path may lie.
    pub owner: Option<String>,
    /// The group of a new file.
    pub group: Option<String>,
    /// The mode of a new file; 0600 by default.
    pub mode: Option<u32>,
    /// The names of the registries published here, in the configuration's order.
    pub registries: Vec<String>,
}
