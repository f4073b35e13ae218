//! `ecr-warden policy diff`: how two policies differ, in what they grant.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{file, paragraph};
use crate::{
    model::{
        outcome::Problem,
        reason::Reason,
        registry::{is_account, partition_of_region},
    },
    policy::{
        ACTIONS, Change, Comparison, Drift, FUTURE_ACTIONS, Kind, Relation, Row, diff, find_action,
    },
};

/// Which kind of policy.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum DiffKind {
    /// A repository's policy.
    Repository,
    /// A registry's policy.
    Registry,
}

/// The flags of `policy diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The policy as it should be: a JSON file, or `-` for standard input.
    pub expected: PathBuf,
    /// The policy as it is.
    pub actual: PathBuf,
    /// Whose policies they are.
    #[arg(long)]
    pub kind: DiffKind,
    /// The repository whose policy it is, where a Resource in it may or may not be its own.
    #[arg(long, value_name = "ARN", conflicts_with = "registry")]
    pub repository: Option<String>,
    /// The registry whose policy it is, where its resources may or may not be its own.
    #[arg(long, value_name = "ACCOUNT.REGION")]
    pub registry: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: both mean the same; 1: they don't; 2: one can't be read; 3: it can't be decided.
pub(super) fn run(args: &DiffArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let kind = match args.kind {
        DiffKind::Repository => Kind::Repository,
        DiffKind::Registry => Kind::Registry,
    };
    let resource = match resource(args) {
        Ok(resource) => resource,
        Err(why) => {
            writeln!(err, "ecr-warden: {why}")?;
            return Ok(2);
        }
    };
    if args.expected == args.actual && args.expected.as_os_str() == "-" {
        writeln!(err, "ecr-warden: only one of the two policies can come from standard input")?;
        return Ok(2);
    }
    let (expected, actual) =
        match (file::read(&args.expected, kind), file::read(&args.actual, kind)) {
            (Ok(expected), Ok(actual)) => (expected, actual),
            (expected, actual) => {
                let unreadable: Vec<_> =
                    [expected.err(), actual.err()].into_iter().flatten().collect();
                return file::report(&unreadable, args.json, out, err);
            }
        };
    let comparison = diff(&expected, &actual, resource.as_deref());
    if args.json {
        writeln!(out, "{:#}", as_json(&comparison))?;
    } else {
        write!(out, "{}", table(&comparison))?;
    }
    Ok(match &comparison {
        Comparison::Decided(drift) if drift.relation == Relation::Equivalent => 0,
        Comparison::Decided(_) => 1,
        Comparison::Undecided(_) => 3,
    })
}

/// The ARN that the flags give.
fn resource(args: &DiffArgs) -> Result<Option<String>, String> {
    if let Some(arn) = &args.repository {
        let whole =
            arn.starts_with("arn:") && arn.contains(":repository/") && arn.split(':').count() == 6;
        return if whole && !arn.contains(['*', '?']) {
            Ok(Some(arn.clone()))
        } else {
            Err(format!("--repository {arn}: expected arn:aws:ecr:REGION:ACCOUNT:repository/NAME"))
        };
    }
    let Some(registry) = &args.registry else { return Ok(None) };
    let parts = registry.split_once('.').filter(|(account, _)| is_account(account));
    let found =
        parts.and_then(|(account, region)| Some((account, region, partition_of_region(region)?)));
    match found {
        Some((account, region, partition)) => {
            Ok(Some(format!("arn:{}:ecr:{region}:{account}:repository/*", partition.name)))
        }
        None => Err(format!(
            "--registry {registry}: expected ACCOUNT.REGION, such as 123456789012.eu-west-1"
        )),
    }
}

/// Why they are not the same.
fn problem(comparison: &Comparison) -> Option<Problem> {
    match comparison {
        Comparison::Undecided(why) => Some(Problem::new(Reason::PolicyUndecided, why)),
        Comparison::Decided(drift) => match drift.relation {
            Relation::Equivalent => None,
            Relation::Broader => Some(Problem::new(Reason::PolicyGrantsGained, "")),
            Relation::Narrower | Relation::Incomparable => {
                Some(Problem::new(Reason::PolicyGrantsLost, ""))
            }
        },
    }
}

fn as_json(comparison: &Comparison) -> Value {
    let row = |row: &Row| {
        json!({
            "change": row.change.word(),
            "principals": row.principals,
            "actions": row.actions,
            "resources": row.resources,
            "expected": row.expected,
            "actual": row.actual,
        })
    };
    let mut whole = match comparison {
        Comparison::Decided(drift) => json!({
            "version": 1,
            "verdict": if drift.relation == Relation::Equivalent { "equivalent" } else { "different" },
            "relation": drift.relation.word(),
            "differences": drift.rows.iter().map(row).collect::<Vec<_>>(),
            "cosmetic": drift.cosmetic,
        }),
        Comparison::Undecided(_) => json!({ "version": 1, "verdict": "undecided" }),
    };
    if let Some(problem) = problem(comparison) {
        whole["reason"] = json!(problem);
    }
    whole
}

fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    let drift = match comparison {
        Comparison::Decided(drift) => drift,
        Comparison::Undecided(why) => {
            return format!("undecided: {why} [{}]\n", Reason::PolicyUndecided.code());
        }
    };
    text.push_str(match drift.relation {
        Relation::Equivalent => "equivalent: both policies grant the same\n",
        Relation::Broader => "broader: the actual policy grants all that is expected, and more\n",
        Relation::Narrower => "narrower: the actual policy grants less than is expected\n",
        Relation::Incomparable => {
            "incomparable: the actual policy grants less than is expected, and something else\n"
        }
    });
    rows(drift, &mut text);
    if !drift.cosmetic.is_empty() {
        text.push_str("\nWRITTEN DIFFERENTLY, NO DIFFERENCE IN MEANING\n");
        for what in &drift.cosmetic {
            let _ = writeln!(text, "  {what}");
        }
    }
    text
}

fn rows(drift: &Drift, text: &mut String) {
    let mut last = None;
    for row in &drift.rows {
        let head = match row.change {
            Change::Changed(Relation::Narrower) => "CHANGED, narrower".to_owned(),
            Change::Changed(Relation::Broader) => "CHANGED, broader".to_owned(),
            change => change.word().to_uppercase(),
        };
        if last.as_ref() != Some(&head) {
            let _ = writeln!(text, "\n{head}");
            last = Some(head);
        }
        let _ = writeln!(text, "  {}", row.principals);
        text.push_str(&paragraph::list(&short(&row.actions), 4));
        text.push('\n');
        if let Some(resources) = &row.resources {
            let _ = writeln!(text, "    on {resources}");
        }
        let never = || "never".to_owned();
        let expected = row.expected.clone().unwrap_or_else(never);
        let actual = row.actual.clone().unwrap_or_else(never);
        if (expected.as_str(), actual.as_str()) != ("always", "never")
            && (expected.as_str(), actual.as_str()) != ("never", "always")
        {
            let _ = writeln!(text, "    expected {expected}\n    actually {actual}");
        }
    }
}

/// All actions but a few, where it is nearly all of them.
fn short(actions: &[String]) -> Vec<String> {
    let names = ACTIONS.iter().map(|action| format!("ecr:{}", action.name));
    let mut missing: Vec<String> = names.filter(|name| !actions.contains(name)).collect();
    if missing.len() * 2 > ACTIONS.len() || !actions.iter().any(|one| one == FUTURE_ACTIONS) {
        return actions.to_vec();
    }
    let others = actions.iter().filter(|one| find_action(one).is_none() && *one != FUTURE_ACTIONS);
    let mut words = vec!["every action".to_owned()];
    if let Some(first) = missing.first_mut() {
        words = vec![format!("every action but {first}")];
        words.extend(missing.into_iter().skip(1));
    }
    words.into_iter().chain(others.cloned()).collect()
}
