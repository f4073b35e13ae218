//! `ecr-warden setup`: what other programs need to work with this one.

mod docker;
mod kubelet;
mod systemd;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::load;
use crate::{
    config::settings::Settings,
    model::output::{OutputKind, OutputSpec},
};

/// What is set up.
#[derive(Debug, clap::Subcommand)]
pub enum SetupCommand {
    /// Have Docker ask the credential helper: credHelpers entries in a user's config.json.
    Docker(docker::DockerArgs),
    /// Print the CredentialProviderConfig with which a kubelet asks the credential helper.
    Kubelet,
    /// Print a drop-in for the service: the folders of the configured outputs, which it may write to.
    Systemd,
}

/// Does it. 1: it would not work, and nothing was changed; 2: the configuration is not valid.
pub fn run(
    command: &SetupCommand,
    config: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some((_, loaded)) = load(config, err)? else {
        return Ok(2);
    };
    match command {
        SetupCommand::Docker(args) => docker::run(args, &loaded.settings, out, err),
        SetupCommand::Kubelet => kubelet::run(&loaded.settings, out, err),
        SetupCommand::Systemd => systemd::run(&loaded.settings, out),
    }
}

/// The output that the helper asks, or word of its absence.
fn socket<'a>(settings: &'a Settings, err: &mut dyn Write) -> io::Result<Option<&'a OutputSpec>> {
    let socket = settings.outputs.iter().find(|spec| spec.kind == OutputKind::Socket);
    if socket.is_none() {
        writeln!(
            err,
            "ecr-warden: no output of kind = \"socket\" is configured, so the helper has nobody to ask"
        )?;
        writeln!(err, "  -> add to the configuration:  [[output]]  kind = \"socket\"")?;
    }
    Ok(socket)
}
