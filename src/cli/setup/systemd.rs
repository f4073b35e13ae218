//! `ecr-warden setup systemd`: a drop-in with the folders that the outputs are in.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    config::settings::Settings,
    model::output::{OutputKind, OutputSpec},
    output::accounts,
};

/// Prints it.
pub(super) fn run(settings: &Settings, out: &mut dyn Write) -> io::Result<u8> {
    let mut folders = BTreeSet::new();
    let mut missing = Vec::new();
    for spec in &settings.outputs {
        let Some(folder) = folder(spec, out)? else {
            continue;
        };
        if !folder.exists() {
            let owner = spec.owner.as_deref().unwrap_or("root");
            let mode = if spec.kind == OutputKind::ContainerdHosts { "0755" } else { "0700" };
            missing.push(format!("install -d -m {mode} -o {owner} {}", folder.display()));
        }
        // A link elsewhere is written to where it leads.
        if let Some(real) =
            spec.path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned))
        {
            folders.insert(real);
        }
        folders.insert(folder);
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

/// The folder that this output writes into, if it writes into one.
fn folder(spec: &OutputSpec, out: &mut dyn Write) -> io::Result<Option<PathBuf>> {
    if spec.kind == OutputKind::Command {
        return Ok(None);
    }
    let home = match &spec.owner {
        Some(owner) => accounts::user(Path::new("/"), owner).map(|user| user.home),
        None => Ok(PathBuf::from("/root")),
    };
    let path = match (spec.path.strip_prefix("~"), home) {
        (Ok(rest), Ok(home)) => home.join(rest),
        (Ok(_), Err(problem)) => {
            writeln!(out, "# {}: {problem}", spec.name)?;
            return Ok(None);
        }
        (Err(_), _) => spec.path.clone(),
    };
    // containerd's is a folder itself: one for each registry host comes to lie in it.
    Ok(if spec.kind == OutputKind::ContainerdHosts {
        Some(path)
    } else {
        path.parent().map(Path::to_owned)
    })
}
