//! `ecr-warden token REGISTRY`: the password, for `docker login --username AWS --password-stdin`.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{load, runtime};
use crate::{
    config::settings::{Loaded, Registry},
    daemon,
    helper::source::{Answer, Source},
    model::{output::OutputKind, registry::RegistryHost},
    observe::log,
};

/// The flags of `token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// A configured registry's name or host; without a configuration, a host name of ECR's.
    pub registry: String,
    /// Print it although standard output is a terminal.
    #[arg(long)]
    pub show: bool,
}

/// 0: it was printed; 1: there is none, and why; 2: it could not be asked.
pub fn run(
    args: &TokenArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if !args.show && io::stdout().is_terminal() {
        writeln!(err, "ecr-warden: a password is not printed on a terminal")?;
        writeln!(
            err,
            "  -> ecr-warden token {} | docker login --username AWS --password-stdin HOST, or say --show",
            args.registry
        )?;
        return Ok(2);
    }
    let Some((_, mut loaded)) = load(paths, err)? else {
        return Ok(2);
    };
    let Some((registry, host)) = find(&loaded, &args.registry) else {
        let known = loaded.settings.registries.iter().map(|registry| registry.name.as_str());
        let known: Vec<&str> = known.collect();
        let there_are = if known.is_empty() { "none is".to_owned() } else { known.join(", ") };
        writeln!(
            err,
            "ecr-warden: {:?} is no configured registry ({there_are} configured), and no host name of ECR's",
            args.registry
        )?;
        return Ok(2);
    };
    let password = match from_daemon(&loaded, &host) {
        Some(Ok(password)) => password,
        Some(Err(why)) => {
            writeln!(err, "{why}")?;
            return Ok(1);
        }
        None => {
            log::init(&loaded.settings.daemon.log_format, "error");
            loaded.settings.registries = vec![registry];
            let runtime = runtime()?;
            let minted =
                runtime.block_on(daemon::token(&loaded, &host)).map_err(io::Error::other)?;
            runtime.shutdown_background();
            match minted {
                Ok(token) => token.secret.password(),
                Err(problem) => {
                    writeln!(err, "ecr-warden: {problem}\n  -> {}", problem.reason.remedy())?;
                    return Ok(1);
                }
            }
        }
    };
    writeln!(out, "{}", password.expose_secret())?;
    Ok(0)
}

/// The registry that is meant, and the host name that it is asked for.
pub(super) fn find(loaded: &Loaded, asked: &str) -> Option<(Registry, String)> {
    let host = crate::helper::host_of(asked);
    let registries = &loaded.settings.registries;
    let configured = registries.iter().find_map(|registry| {
        let named = registry.name == asked;
        let host = if named {
            registry.hosts.first()
        } else {
            registry.hosts.iter().find(|one| **one == host)
        };
        host.map(|host| (registry.clone(), host.clone()))
    });
    configured.or_else(|| {
        let id = RegistryHost::parse(&host)?.registry;
        let registry = Registry {
            name: host.clone(),
            id,
            identity: "default".to_owned(),
            hosts: vec![host.clone()],
            patterns: Vec::new(),
        };
        Some((registry, host))
    })
}

/// What the running daemon gives out; none if it has no socket for that, or knows nothing of it.
fn from_daemon(loaded: &Loaded, host: &str) -> Option<Result<SecretString, String>> {
    let socket = loaded.settings.outputs.iter().find(|spec| spec.kind == OutputKind::Socket)?;
    let source = Source {
        socket: socket.path.clone(),
        state: loaded.settings.daemon.state_directory.clone(),
    };
    // What was kept while it is down may have been revoked since: that is tried first, or minted.
    if !source.answers() {
        return None;
    }
    match source.get(host) {
        Answer::Credential(credential) => Some(Ok(credential.secret)),
        Answer::Lacking(why) => Some(Err(why)),
        Answer::NotOurs => None,
    }
}
