//! `ecr-warden explain`: which credential each consumer on this host would use, and whether it works.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use jiff::Timestamp;

use super::runtime;
use crate::{
    config::{self, dropin::Sources, settings::Settings},
    explain::{self, Image, look::Tree, report::Report},
    oci::client::Client,
};

/// The flags of `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The image, with its registry: HOST/REPOSITORY[:TAG].
    pub image: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: every consumer found has a working credential; 1: one has none, or a dead one; 2: it could
/// not be asked; 3: one is undecided, or there is no consumer.
pub fn run(
    args: &ExplainArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    // A mistake in the configuration must not hide the host: it is needed only for where the
    // host's root is and which authorities are trusted.
    let (loaded, mistakes) = config::load_anyway(&Sources::new(paths));
    if !mistakes.is_empty() {
        writeln!(
            err,
            "ecr-warden: the configuration has mistakes, of which explain may know too little; `ecr-warden check` lists them"
        )?;
    }
    let settings = loaded.settings;
    let opened = Image::parse(&args.image)
        .and_then(|image| Ok((image, Tree::open(&settings.daemon.host_prefix)?)));
    let (image, tree) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            writeln!(err, "ecr-warden: {why}")?;
            return Ok(2);
        }
    };
    let ways = explain::ways(&tree, &image);
    let client = client(&settings, &image.host);
    let now = Timestamp::now();
    let tried = runtime()?.block_on(explain::tried(&ways, &image, &client, now));
    let report = Report {
        asked: args.image.clone(),
        host: tree.name(),
        now,
        rows: ways.into_iter().zip(tried).collect(),
        ecs: explain::examine(&tree),
        image,
    };
    if args.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        write!(out, "{}", report.table())?;
    }
    Ok(report.exit())
}

/// A client that trusts what the registry's identity trusts.
fn client(settings: &Settings, host: &str) -> Client {
    let registry =
        settings.registries.iter().find(|registry| registry.hosts.iter().any(|one| one == host));
    let identity = registry.map_or("default", |registry| registry.identity.as_str());
    let identity = settings.identities.get(identity);
    Client::new(
        identity.and_then(|identity| identity.ca_file.as_deref()),
        identity.and_then(|identity| identity.proxy.as_ref()),
    )
}
