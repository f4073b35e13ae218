//! `ecr-warden policy check`: the live policies against the configured baselines, now.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::super::{load, runtime};
use crate::{
    daemon::policy::{Checked, check},
    model::outcome::Problem,
    observe::log,
    policy::{
        Access,
        job::{Gravity, Report},
        judge::Standing,
        judge::{Can, in_words},
    },
};

/// The flags of `policy check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: everything is as it should be; 1: something is not; 2: nothing could be asked; 3: something
/// is not known.
pub(super) fn run(
    args: &CheckArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some((_, loaded)) = load(paths, err)? else {
        return Ok(2);
    };
    if loaded.settings.policy.is_off() {
        writeln!(err, "ecr-warden: no policies are configured to be checked")?;
        writeln!(err, "  -> add [[policy.baseline]] or policy.repositories; docs/policy.md")?;
        return Ok(2);
    }
    log::init(&loaded.settings.daemon.log_format, "error");
    let runtime = runtime()?;
    let checked = runtime.block_on(check(&loaded)).map_err(io::Error::other)?;
    runtime.shutdown_background();
    if args.json {
        writeln!(out, "{:#}", as_json(&checked))?;
    } else {
        for (registry, reports) in &checked {
            told(registry, reports, out)?;
        }
    }
    Ok(code(&checked))
}

/// What is the matter, the gravest first.
fn problems(checked: &Checked) -> Vec<(Gravity, Problem)> {
    let mut found = Vec::new();
    for reports in checked.values() {
        match reports {
            Err(problem) => found.push((Gravity::Unknown, problem.clone())),
            Ok(reports) => {
                found.extend(reports.iter().filter_map(|(name, report)| report.matter(name)));
            }
        }
    }
    found.sort_by_key(|(gravity, _)| std::cmp::Reverse(*gravity));
    found
}

fn code(checked: &Checked) -> u8 {
    if checked.values().all(Result::is_err) {
        return 2;
    }
    let problems = problems(checked);
    if problems.iter().any(|(gravity, _)| *gravity > Gravity::Unknown) {
        1
    } else if problems.is_empty() {
        0
    } else {
        3
    }
}

fn word(can: Option<&Can>) -> &'static str {
    match can.map(|can| can.access) {
        Some(Access::Allowed) => "yes",
        Some(Access::Denied | Access::NotGranted) => "no",
        Some(Access::Undecided) => "unless",
        None => "unknown",
    }
}

fn told(
    registry: &str,
    reports: &Result<BTreeMap<String, Report>, Problem>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "registry {registry}")?;
    let reports = match reports {
        Ok(reports) => reports,
        Err(problem) => {
            writeln!(out, "  unknown: {problem}\n    -> {}\n", problem.reason.remedy())?;
            return Ok(());
        }
    };
    let width = reports.keys().map(String::len).max().unwrap_or(0).max("(the registry)".len());
    writeln!(out, "  {:width$}  {:12}  pull     push", "repository", "policy")?;
    for (name, report) in reports {
        let class = match (&report.unreadable, &report.standing) {
            (Some(_), _) => "unreadable",
            (None, Some(standing)) => standing.class(),
            (None, None) => "no baseline",
        };
        let name = if name.is_empty() { "(the registry)" } else { name };
        let (pull, push) = (word(report.pull.as_ref()), word(report.push.as_ref()));
        let (pull, push) = if name == "(the registry)" { ("-", "-") } else { (pull, push) };
        writeln!(out, "  {name:width$}  {class:12}  {pull:7}  {push}")?;
    }
    for (name, report) in reports {
        if let Some(problem) = report.problem(name) {
            writeln!(out, "\n  {problem}")?;
            writeln!(out, "    -> {}", problem.reason.remedy())?;
        }
        for finding in &report.findings {
            let (word, code) = (finding.severity.word(), finding.reason.code());
            let whose = if name.is_empty() { "(the registry)" } else { name };
            writeln!(out, "\n  {whose}: {word}: {} [{code}]", finding.detail)?;
        }
        if let Some(pull) = &report.pull
            && pull.access == Access::Undecided
        {
            writeln!(out, "\n  {name}: this host can pull, {}", pull.because)?;
        }
    }
    writeln!(out)
}

fn as_json(checked: &Checked) -> Value {
    let can = |can: &Option<Can>| {
        can.as_ref().map(|can| json!({ "access": can.access.word(), "because": can.because }))
    };
    let report = |name: &String, report: &Report| {
        let rows = match &report.standing {
            Some(Standing::Drifted { rows, .. }) => rows.iter().map(in_words).collect(),
            _ => Vec::new(),
        };
        json!({
            "repository": name,
            "class": report.standing.as_ref().map(Standing::class),
            "readable": report.unreadable.is_none(),
            "differences": rows,
            "findings": report.findings.iter().map(|one| json!({
                "severity": one.severity.word(), "code": one.reason.code(), "detail": one.detail,
            })).collect::<Vec<_>>(),
            "pull": can(&report.pull),
            "push": can(&report.push),
            "changed": report.changed,
            "reason": report.problem(name).map(|problem| reason(&problem)),
        })
    };
    let registries: Vec<Value> = checked
        .iter()
        .map(|(name, reports)| match reports {
            Err(problem) => json!({ "registry": name, "reason": reason(problem) }),
            Ok(reports) => json!({
                "registry": name,
                "repositories": reports.iter().map(|(name, one)| report(name, one)).collect::<Vec<_>>(),
            }),
        })
        .collect();
    let verdict = match code(checked) {
        0 => "ok",
        1 => "bad",
        _ => "unknown",
    };
    let mut whole = json!({ "version": 1, "verdict": verdict, "registries": registries });
    if let Some((_, first)) = problems(checked).first() {
        whole["reason"] = reason(first);
    }
    whole
}

fn reason(problem: &Problem) -> Value {
    json!({
        "code": problem.reason.code(),
        "text": problem.reason.text(),
        "remedy": problem.reason.remedy(),
        "detail": problem.detail,
    })
}
