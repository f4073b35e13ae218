//! The decision, for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    model::{outcome::Problem, reason::Reason},
    policy::{Access, Deciding, Decision, Kind, Request, Says},
};

/// Why it is not allowed.
fn problem(decision: &Decision) -> Option<Problem> {
    let layer = decision.layer.map(Kind::noun).unwrap_or_default();
    match decision.access {
        Access::Allowed => None,
        Access::Denied => {
            let by = decision.statement.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(Problem::new(Reason::PolicyDeniesAccess, format!("{layer}, {by}")))
        }
        Access::NotGranted => Some(Problem::new(Reason::PolicyGrantsNothing, layer)),
        Access::Undecided => {
            Some(Problem::new(Reason::PolicyAccessUndecided, decision.unless.join("; ")))
        }
    }
}

fn deciding(by: &Deciding) -> Value {
    json!({ "file": by.policy, "line": by.line, "statement": by.index, "sid": by.sid })
}

fn says(says: &Says) -> (&'static str, Option<Value>) {
    match says {
        Says::Absent => ("absent", None),
        Says::Allows(by) => ("allows", Some(deciding(by))),
        Says::Denies(by) => ("denies", Some(deciding(by))),
        Says::Nothing => ("does not allow", None),
        Says::DeniesNothing => ("does not deny", None),
        Says::NotAsked => ("not asked", None),
        Says::Depends(on) => ("depends", Some(json!(on))),
    }
}

pub(super) fn as_json(request: &Request, decision: &Decision) -> Value {
    let layers: Vec<Value> = decision
        .layers
        .iter()
        .map(|(kind, one)| {
            let (word, detail) = says(one);
            let mut layer = json!({ "layer": kind.word(), "says": word });
            if let Some(detail) = detail {
                layer[if word == "depends" { "on" } else { "by" }] = detail;
            }
            layer
        })
        .collect();
    let mut whole = json!({
        "version": 1,
        "principal": request.caller.arn,
        "action": request.action,
        "repository": request.resource,
        "verdict": decision.access.word(),
        "layer": decision.layer.map(Kind::word),
        "statement": decision.statement.as_ref().map(deciding),
        "unless": decision.unless,
        "closest": decision.closest,
        "paste": decision.paste.as_ref().map(|paste| {
            json!({ "kind": paste.kind.word(), "into": paste.into, "statement": paste.statement })
        }),
        "note": decision.note,
        "layers": layers,
    });
    if let Some(problem) = problem(decision) {
        whole["reason"] = json!(problem);
    }
    whole
}

pub(super) fn table(request: &Request, decision: &Decision) -> String {
    let mut text = String::new();
    let who = match (&request.caller.arn, &request.caller.other) {
        (Some(arn), _) => arn.clone(),
        (None, Some(who)) => who.to_string(),
        (None, None) => "an anonymous caller".to_owned(),
    };
    let head = match (decision.access, decision.layer) {
        (Access::Allowed, _) => "allowed".to_owned(),
        (Access::Denied, Some(kind)) => format!("explicitly denied by {}", kind.noun()),
        (Access::NotGranted, Some(Kind::Repository)) => {
            "implicitly denied: neither repository nor registry policy allows it".to_owned()
        }
        (Access::NotGranted, Some(kind)) => {
            format!("implicitly denied: {} does not allow it", kind.noun())
        }
        (Access::Undecided, _) => {
            "allowed, unless something is against it that is not known".to_owned()
        }
        (access, None) => access.word().to_owned(),
    };
    let code = problem(decision).map(|one| format!(" [{}]", one.reason.code())).unwrap_or_default();
    let _ = writeln!(text, "{head}{code}");
    let _ = writeln!(text, "  {who}\n  {} on {}", request.action, request.resource);
    let _ = writeln!(text, "\n{:<12}{:<16}BY", "LAYER", "SAYS");
    for (kind, one) in &decision.layers {
        let (word, _) = says(one);
        let by = match one {
            Says::Allows(by) | Says::Denies(by) => by.to_string(),
            _ => String::new(),
        };
        let line = format!("{:<12}{word:<16}{by}", kind.word());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    section(&mut text, "ALLOWED UNLESS", &decision.unless);
    section(&mut text, "CLOSEST", &decision.closest);
    if let Some(note) = &decision.note {
        let _ = writeln!(text, "\n{note}");
    }
    if let Some(paste) = &decision.paste {
        let _ = writeln!(text, "\nTO ALLOW IT, ADD THIS STATEMENT TO {}", paste.into);
        let _ = writeln!(text, "{:#}", paste.statement);
    }
    text
}

fn section(text: &mut String, head: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{head}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}
