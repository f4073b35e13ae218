//! `ecr-warden setup`: what other programs need to work with this one, printed, never installed.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::load;
use crate::output::accounts;

/// What is set up.
#[derive(Debug, clap::Subcommand)]
pub enum SetupCommand {
    /// A drop-in for the service: the folders of the configured outputs, which it may write to.
    Systemd,
}

/// Prints it. 2: the configuration is not valid.
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
        SetupCommand::Systemd => {
            let settings = &loaded.settings;
            let mut folders = BTreeSet::new();
            let mut missing = Vec::new();
            for spec in &settings.outputs {
                let prefix = Path::new("/");
                let home = match &spec.owner {
                    Some(owner) => accounts::user(prefix, owner).map(|user| user.home),
                    None => Ok(PathBuf::from("/root")),
                };
                let path = match (spec.path.strip_prefix("~"), home) {
                    (Ok(rest), Ok(home)) => home.join(rest),
                    (Ok(_), Err(problem)) => {
                        writeln!(out, "# {}: {problem}", spec.name)?;
                        continue;
                    }
                    (Err(_), _) => spec.path.clone(),
                };
                let Some(folder) = path.parent() else {
                    continue;
                };
                if !folder.exists() {
                    let owner = spec.owner.as_deref().unwrap_or("root");
                    missing.push(format!("install -d -m 0700 -o {owner} {}", folder.display()));
                }
                // A link elsewhere is written to where it leads.
                if let Some(real) =
                    path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned))
                {
                    folders.insert(real);
                }
                folders.insert(folder.to_owned());
            }
            writeln!(out, "# /etc/systemd/system/ecr-warden.service.d/50-outputs.conf")?;
            writeln!(
                out,
                "# from the configured outputs; print it again when they change, then: systemctl daemon-reload"
            )?;
            for command in missing {
                writeln!(out, "# first: {command}")?;
            }
            writeln!(out, "[Service]")?;
            for folder in folders {
                writeln!(
                    out,
                    "ReadWritePaths=-{}",
                    folder.display().to_string().replace('%', "%%").replace(' ', "\\x20")
                )?;
            }
            Ok(0)
        }
    }
}
