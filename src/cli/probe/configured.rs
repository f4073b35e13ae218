//! Every `[[probe]]` of the configuration, now.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::json;

use crate::{
    cli::{client, load, runtime},
    daemon,
    model::{outcome::Verdict, probe::ProbeSpec},
    observe::log,
    oci::trace::Record,
    probe::{
        attempt::attempt,
        capsule::Capsule,
        pull::{Allowance, Plan},
        report::Report,
    },
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
    let mut capsules: Vec<(&ProbeSpec, Capsule)> = Vec::new();
    for spec in &loaded.settings.probes {
        let capsule = runtime.block_on(async {
            let caller = daemon::caller_of(&loaded, spec).await.map_err(io::Error::other)?;
            let client = Arc::new(client(&loaded.settings, &spec.image.host));
            let plan = Plan {
                image: spec.image.clone(),
                depth: spec.depth,
                platform: spec.platform(),
                timeout: spec.timeout,
                allowance: Allowance::default(),
            };
            let record = Arc::new(Record::default());
            Ok::<_, io::Error>(attempt(&client, &caller, &plan, &record, Timestamp::now()).await)
        })?;
        if !as_json {
            let title = if capsules.is_empty() { "" } else { "\n" };
            write!(out, "{title}{}: {}", spec.name, Report::of(&capsule).text())?;
            out.flush()?;
        }
        capsules.push((spec, capsule));
    }
    runtime.shutdown_background();
    let reports: Vec<(&str, Report<'_>)> =
        capsules.iter().map(|(spec, capsule)| (spec.name.as_str(), Report::of(capsule))).collect();
    let worst = |exit: u8| reports.iter().find(|(_, report)| report.exit() == exit);
    let worst = worst(1).or_else(|| worst(3));
    if as_json {
        let verdict = worst.map_or("ok", |(_, report)| report.diagnosis().verdict.word());
        let reason = worst.and_then(|(_, report)| report.diagnosis().verdict.problem().cloned());
        let probes: Vec<_> = reports
            .iter()
            .map(|(name, report)| {
                let mut one = report.json();
                one["probe"] = json!(name);
                one
            })
            .collect();
        let mut whole = json!({ "version": 1, "verdict": verdict });
        if let Some(reason) = reason {
            whole["reason"] = json!(reason);
        }
        whole["probes"] = json!(probes);
        writeln!(out, "{whole:#}")?;
    } else if reports.len() > 1 {
        let count = |exit: u8| reports.iter().filter(|(_, report)| report.exit() == exit).count();
        writeln!(
            out,
            "\n{} of {} can be pulled, {} can't, {} could not be told",
            count(0),
            reports.len(),
            count(1),
            count(3)
        )?;
    }
    debug_assert!(worst.is_none_or(|(_, report)| report.diagnosis().verdict != Verdict::Ok));
    Ok(worst.map_or(0, |(_, report)| report.exit()))
}
