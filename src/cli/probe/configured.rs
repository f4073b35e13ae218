//! Every `[[probe]]` of the configuration, now.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::json;

use super::seen::{How, Seen};
use crate::{
    cli::{client, load, runtime},
    daemon,
    model::{outcome::Verdict, probe::ProbeSpec},
    observe::log,
    oci::trace::Record,
    probe::pull::{Allowance, Plan},
};

/// 0: all can be pulled; 1: one can't; 2: there are none, or the configuration is not valid; 3: of
/// one it could not be told.
pub(super) fn run(
    as_json: bool,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some((_, loaded)) = load(paths, err)? else {
        return Ok(2);
    };
    if loaded.settings.probes.is_empty() {
        writeln!(err, "ecr-warden: there is no [[probe]] in the configuration")?;
        writeln!(err, "  -> name an image: ecr-warden probe HOST/REPOSITORY:TAG")?;
        return Ok(2);
    }
    log::init(&loaded.settings.daemon.log_format, "error");
    let runtime = runtime()?;
    let mut tried: Vec<(&ProbeSpec, Seen)> = Vec::new();
    for spec in &loaded.settings.probes {
        let seen = runtime.block_on(async {
            let caller = daemon::caller_of(&loaded, spec).await.map_err(io::Error::other)?;
            let client = Arc::new(client(&loaded.settings, &spec.image.host));
            let plan = Plan {
                image: spec.image.clone(),
                depth: spec.depth,
                platform: spec.platform(),
                timeout: spec.timeout,
                allowance: Allowance::default(),
            };
            let (record, started) = (Arc::new(Record::default()), Timestamp::now());
            let how = How { push: spec.push, engine: spec.engine, socket: spec.socket.as_deref() };
            let ours = (&client, &caller);
            Ok::<_, io::Error>(how.tried(&loaded.settings, ours, &plan, &record, started).await)
        })?;
        if !as_json {
            let title = if tried.is_empty() { "" } else { "\n" };
            write!(out, "{title}{}: {}", spec.name, seen.text())?;
            out.flush()?;
        }
        tried.push((spec, seen));
    }
    runtime.shutdown_background();
    let worst = |exit: u8| tried.iter().find(|(_, seen)| seen.exit() == exit);
    let worst = worst(1).or_else(|| worst(3)).map(|(_, seen)| seen);
    if as_json {
        let verdict = worst.map_or(Verdict::Ok, Seen::verdict);
        let probes: Vec<_> = tried
            .iter()
            .map(|(spec, seen)| {
                let mut one = seen.json();
                one["probe"] = json!(spec.name);
                one
            })
            .collect();
        let mut whole = json!({ "version": 1, "verdict": verdict.word() });
        if let Some(reason) = verdict.problem() {
            whole["reason"] = json!(reason);
        }
        whole["probes"] = json!(probes);
        writeln!(out, "{whole:#}")?;
    } else if tried.len() > 1 {
        let count = |exit: u8| tried.iter().filter(|(_, seen)| seen.exit() == exit).count();
        writeln!(
            out,
            "\n{} of {} fine, {} not, {} could not be told",
            count(0),
            tried.len(),
            count(1),
            count(3)
        )?;
    }
    Ok(worst.map_or(0, Seen::exit))
}
