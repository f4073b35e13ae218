//! `ecr-warden policy lint`: what is wrong with a policy that AWS may well have stored.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::file;
use crate::{
    model::{
        outcome::Problem,
        registry::{is_account, partition_of_region},
    },
    policy::{Document, Finding, Kind, Place, RegistryScope, Severity, lint},
};

/// Which kind of policy.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum LintKind {
    Repository,
    Registry,
    Identity,
    Boundary,
    Session,
    Scp,
    Rcp,
    Endpoint,
}

/// The flags of `policy lint`.
#[derive(Debug, clap::Args)]
pub struct LintArgs {
    /// The policy: a JSON file, or `-` for standard input.
    pub file: PathBuf,
    /// Whose it is; without it, by what is in it: a repository's or registry's if it has
    /// principals, the latter if it has resources, else an identity's.
    #[arg(long)]
    pub kind: Option<LintKind>,
    /// The registry that it is of, where that is known.
    #[arg(long, value_name = "ACCOUNT.REGION")]
    pub registry: Option<String>,
    /// What the registry's policy speaks of (REGISTRY_POLICY_SCOPE).
    #[arg(long, default_value = "V2")]
    pub registry_scope: super::explain::Scope,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: nothing to mend; 1: something is; 2: it can't be read.
pub(super) fn run(args: &LintArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let registry = match args.registry.as_deref().map(registry) {
        None => None,
        Some(Some(parts)) => Some(parts),
        Some(None) => {
            writeln!(
                err,
                "ecr-warden: --registry {}: expected ACCOUNT.REGION, such as 123456789012.eu-west-1",
                args.registry.as_deref().unwrap_or_default()
            )?;
            return Ok(2);
        }
    };
    let document = match file::read_as(&args.file, args.kind.map(kind)) {
        Ok(document) => document,
        Err(unreadable) => return file::report(&[unreadable], args.json, out, err),
    };
    let place = Place {
        registry,
        scope: match args.registry_scope {
            super::explain::Scope::V1 => RegistryScope::V1,
            super::explain::Scope::V2 => RegistryScope::V2,
        },
        own_role: None,
    };
    let findings = lint(&document, &place);
    if args.json {
        writeln!(out, "{:#}", as_json(&document, &findings))?;
    } else {
        table(args, &document, &findings, out)?;
    }
    let bad = findings.iter().any(|one| one.severity > Severity::Note);
    Ok(u8::from(bad))
}

fn kind(kind: LintKind) -> Kind {
    match kind {
        LintKind::Repository => Kind::Repository,
        LintKind::Registry => Kind::Registry,
        LintKind::Identity => Kind::Identity,
        LintKind::Boundary => Kind::Boundary,
        LintKind::Session => Kind::Session,
        LintKind::Scp => Kind::Scp,
        LintKind::Rcp => Kind::Rcp,
        LintKind::Endpoint => Kind::Endpoint,
    }
}

/// Partition, region and account.
fn registry(text: &str) -> Option<(&str, &str, &str)> {
    let (account, region) = text.split_once('.').filter(|(account, _)| is_account(account))?;
    Some((partition_of_region(region)?.name, region, account))
}

fn problem(finding: &Finding) -> Problem {
    Problem::new(finding.reason, &finding.detail)
}

fn as_json(document: &Document, findings: &[Finding]) -> Value {
    let list: Vec<Value> = findings
        .iter()
        .map(|one| {
            json!({
                "severity": one.severity.word(),
                "statement": one.statement.map(|(index, _)| index),
                "line": one.statement.map(|(_, line)| line),
                "reason": problem(one),
            })
        })
        .collect();
    let first = findings.iter().find(|one| one.severity > Severity::Note);
    let mut whole = json!({
        "version": 1,
        "kind": document.kind.word(),
        "verdict": if first.is_some() { "bad" } else { "ok" },
        "findings": list,
    });
    if let Some(first) = first {
        whole["reason"] = json!(problem(first));
    }
    whole
}

fn table(
    args: &LintArgs,
    document: &Document,
    findings: &[Finding],
    out: &mut dyn Write,
) -> io::Result<()> {
    let file = args.file.display();
    let guessed =
        if args.kind.is_none() { " (by what is in it; --kind says otherwise)" } else { "" };
    let noun = document.kind.noun();
    let statements = match document.statements.len() {
        1 => "1 statement".to_owned(),
        n => format!("{n} statements"),
    };
    writeln!(
        out,
        "{file}: read as {noun}{guessed}, {statements}, {} characters",
        document.characters
    )?;
    for one in findings {
        let place = match one.statement {
            Some((index, line)) => format!("{file}:{line}: statement {index}"),
            None => file.to_string(),
        };
        writeln!(out, "\n{}: {place}: {}", one.severity.word(), problem(one))?;
        writeln!(out, "  -> {}", one.reason.remedy())?;
    }
    if findings.is_empty() {
        writeln!(out, "nothing to mend")?;
    }
    Ok(())
}
