//! `ecr-warden setup docker`: `credHelpers` entries, and their removal.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    config::settings::Settings,
    helper::source::{Answer, Source},
    model::{output::OutputSpec, registry::is_pattern},
    output::cred_helpers::{self, Changed, File, Remembered},
};

const PROGRAM: &str = "docker-credential-ecr-warden";

/// The flags of `setup docker`.
#[derive(Debug, clap::Args)]
pub struct DockerArgs {
    /// Whose config.json, instead of one's own; may be given again.
    #[arg(long, value_name = "NAME")]
    pub user: Vec<String>,
    /// Take the entries out again: of these users, else everywhere where they were put.
    #[arg(long)]
    pub undo: bool,
    /// Write the entries although the helper has no credential to give now: while an image is made.
    #[arg(long)]
    pub anyway: bool,
}

/// 0: done; 1: nothing was changed, or not everything.
pub(super) fn run(
    args: &DockerArgs,
    settings: &Settings,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let mut remembered = Remembered::load(&settings.daemon.state_directory);
    if args.undo {
        return undo(args, settings, &mut remembered, out, err);
    }
    let Some(socket) = super::socket(settings, err)? else {
        return Ok(1);
    };
    let (patterns, hosts): (Vec<String>, Vec<String>) =
        settings.hosts_of(socket).into_iter().partition(|host| is_pattern(host));
    for pattern in patterns {
        writeln!(out, "left out {pattern}: Docker knows no wildcards in credHelpers")?;
    }
    if !args.anyway
        && let Some(why) = not_ready(settings, socket, &hosts)
    {
        writeln!(err, "ecr-warden: nothing was changed, because Docker's pulls would fail: {why}")?;
        writeln!(err, "  -> mend that first, or say --anyway")?;
        return Ok(1);
    }
    let mut code = 0;
    for file in files(args) {
        match cred_helpers::publish(&file.location(&settings.daemon.host_prefix), &hosts) {
            Ok(changed) => {
                remembered.add(&file);
                tell(&file, &changed, hosts.len(), out)?;
            }
            Err(problem) => {
                code = 1;
                writeln!(err, "ecr-warden: {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
    }
    if let Err(error) = remembered.save() {
        writeln!(
            err,
            "ecr-warden: it could not be noted where the entries are ({error}): `withdraw --all` will not take them out, `setup docker --undo` will"
        )?;
    }
    Ok(code)
}

fn undo(
    args: &DockerArgs,
    settings: &Settings,
    remembered: &mut Remembered,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let mut everywhere = files(args);
    if args.user.is_empty() {
        everywhere.extend(
            remembered
                .files()
                .into_iter()
                .filter(|file| !everywhere.contains(file))
                .collect::<Vec<_>>(),
        );
    }
    let mut code = 0;
    for file in everywhere {
        match cred_helpers::publish(&file.location(&settings.daemon.host_prefix), &[]) {
            Ok(changed) => {
                remembered.forget(&file);
                tell(&file, &changed, 0, out)?;
            }
            Err(problem) => {
                code = 1;
                writeln!(err, "ecr-warden: {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
    }
    let _ = remembered.save();
    Ok(code)
}

fn files(args: &DockerArgs) -> Vec<File> {
    let home = |user: Option<&String>| File {
        user: user.cloned(),
        path: PathBuf::from("~/.docker/config.json"),
    };
    if !args.user.is_empty() {
        return args.user.iter().map(|user| home(Some(user))).collect();
    }
    // What Docker itself would read; another user's environment is not known.
    let own = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
    vec![own.map_or_else(
        || home(None),
        |folder| File { user: None, path: Path::new(&folder).join("config.json") },
    )]
}

/// Why the helper could not answer Docker now.
fn not_ready(settings: &Settings, socket: &OutputSpec, hosts: &[String]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file()) {
        return Some(format!("{PROGRAM} is in no folder of PATH"));
    }
    let source =
        Source { socket: socket.path.clone(), state: settings.daemon.state_directory.clone() };
    hosts.iter().find_map(|host| match source.get(host) {
        Answer::Credential(_) => None,
        Answer::Lacking(why) => Some(why),
        Answer::NotOurs => Some(format!("the running daemon does not know {host} yet")),
    })
}

fn tell(file: &File, changed: &Changed, wanted: usize, out: &mut dyn Write) -> io::Result<()> {
    let whose = file.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    let path = file.path.display();
    for (host, helper) in &changed.instead_of {
        writeln!(out, "{path}{whose} had {helper} for {host}; --undo does not bring it back")?;
    }
    if !changed.set.is_empty() {
        writeln!(out, "{path}{whose}: Docker asks ecr-warden for {}", changed.set.join(", "))?;
    } else if wanted > 0 && changed.removed.is_empty() {
        writeln!(out, "{path}{whose}: Docker asks ecr-warden already")?;
    }
    if !changed.removed.is_empty() {
        let removed = changed.removed.join(", ");
        writeln!(out, "{path}{whose}: Docker no longer asks ecr-warden for {removed}")?;
    }
    if changed.file_gone {
        writeln!(out, "{path}{whose}: nothing else was in it, so it is gone")?;
    }
    Ok(())
}
