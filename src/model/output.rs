//! What the configuration says of an output.

use std::{path::PathBuf, time::Duration};

/// The kinds of outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputKind {
    /// Docker's `config.json`: `auths` entries.
    DockerConfig,
    /// containerd's `hosts.toml`, in a folder for each registry host.
    ContainerdHosts,
    /// The containers tools' `auth.json` (podman, skopeo, buildah).
    ContainersAuth,
    /// A file that is the value of `.dockerconfigjson` in a Kubernetes secret.
    Dockerconfigjson,
    /// A file rendered from a template.
    Template,
    /// A program that gets the credentials on its standard input.
    Command,
    /// A unix socket that the credential helper asks.
    Socket,
    /// `ECS_ENGINE_AUTH_DATA` in the ECS agent's `ecs.config`.
    EcsConfig,
}

impl OutputKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::DockerConfig,
        Self::ContainerdHosts,
        Self::ContainersAuth,
        Self::Dockerconfigjson,
        Self::Template,
        Self::Command,
        Self::Socket,
        Self::EcsConfig,
    ];

    /// The word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::DockerConfig => "docker-config",
            Self::ContainerdHosts => "containerd-hosts",
            Self::ContainersAuth => "containers-auth",
            Self::Dockerconfigjson => "dockerconfigjson",
            Self::Template => "template",
            Self::Command => "command",
            Self::Socket => "socket",
            Self::EcsConfig => "ecs-config",
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
            Self::Socket => Some("/run/ecr-warden/credentials.sock"),
            Self::EcsConfig => Some("/etc/ecs/ecs.config"),
            Self::Dockerconfigjson | Self::Template | Self::Command => None,
        }
    }

    /// Keys of `[[output]]` that only some kinds have.
    pub const fn special_keys(self) -> &'static [&'static str] {
        match self {
            Self::Template => &["template"],
            Self::Command => &["command", "timeout"],
            Self::Socket => &["users", "groups"],
            Self::EcsConfig => &["restart_command"],
            _ => &[],
        }
    }

    /// Of those, the one that it can't do without.
    pub const fn required_key(self) -> Option<&'static str> {
        match self {
            Self::Template => Some("template"),
            Self::Command => Some("command"),
            _ => None,
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
    /// The file; absolute once the owner's home is known (`~/` stands for it). Of a command, its
    /// program.
    pub path: PathBuf,
    /// The user whom a new file belongs to, and in whose home the path may lie; whom a command
    /// runs as.
    pub owner: Option<String>,
    /// The group of a new file.
    pub group: Option<String>,
    /// The mode of a new file; 0600 by default.
    pub mode: Option<u32>,
    /// The names of the registries published here, in the configuration's order.
    pub registries: Vec<String>,
    /// The template's file.
    pub template: Option<PathBuf>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Who besides root may ask the socket.
    pub users: Vec<String>,
    /// Groups whose members may.
    pub groups: Vec<String>,
    /// How long the program may take.
    pub timeout: Duration,
    /// What restarts the ECS agent, and its arguments.
    pub restart_command: Vec<String>,
}

impl OutputSpec {
    /// An output with nothing but a name, a kind and a path.
    pub fn new(name: impl Into<String>, kind: OutputKind, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            kind,
            path: path.into(),
            owner: None,
            group: None,
            mode: None,
            registries: Vec::new(),
            template: None,
            command: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            timeout: Duration::from_secs(10),
            restart_command: Vec::new(),
        }
    }
}
