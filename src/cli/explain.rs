//! `ecr-warden explain`: which credential each consumer on this host would use, and whether it
//! works; or what a test pull's capsule means.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{client, probe, runtime};
use crate::{
    config::{self, dropin::Sources},
    explain::{self, Image, look::Tree, report::Report},
};

/// The flags of `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// The image, with its registry: HOST/REPOSITORY[:TAG].
    #[arg(required_unless_present = "capsule", conflicts_with = "capsule")]
    pub image: Option<String>,
    /// What `probe --trace` wrote, here or on another host: say what it means. - is standard input.
    #[arg(long, value_name = "FILE")]
    pub capsule: Option<PathBuf>,
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
    let Some(asked) = &args.image else {
        return probe::explain(
            args.capsule.as_deref().unwrap_or(Path::new("-")),
            args.json,
            out,
            err,
        );
    };
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
    let opened = Image::parse(asked)
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
        asked: asked.clone(),
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
