//! What would allow it: statements that nearly do, and the smallest one that would.

use serde_json::{Value, json};

use super::{
    super::{
        condition::Truth,
        document::{Effect, Kind},
    },
    Policies, Request, layer,
};

/// A statement to paste, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paste {
    /// The kind of policy that it belongs into.
    pub kind: Kind,
    /// Where that is, in words.
    pub into: String,
    /// The statement.
    pub statement: Value,
}

/// Statements of the layer that fail in one thing only.
pub(super) fn closest(request: &Request, policies: &Policies, kind: Kind) -> Vec<String> {
    let resource_side = matches!(kind, Kind::Repository | Kind::Registry);
    let of = |other: Kind| {
        other == kind || (resource_side && matches!(other, Kind::Repository | Kind::Registry))
    };
    let mut found = Vec::new();
    for policy in policies.known.iter().filter(|policy| of(policy.document.kind)) {
        for statement in &policy.document.statements {
            if statement.effect != Effect::Allow {
                continue;
            }
            let mut fails = Vec::new();
            let principals = statement.principals.as_ref();
            if principals.is_some_and(|named| named.covers(&request.caller) == Some(false)) {
                fails.push("it is not for this caller".to_owned());
            }
            if !statement.actions.covers(&request.action) {
                fails.push(format!("it does not name {}", request.action));
            }
            let resource = layer::resource(request);
            let resources = statement.resources.as_ref();
            if resources.is_some_and(|named| named.covers(resource, &request.facts) == Truth::No) {
                fails.push(format!("its Resource is not {resource}"));
            }
            for condition in &statement.conditions {
                if condition.holds(&request.facts) == Truth::No {
                    fails.push(format!("its condition is not met: {condition}"));
                }
            }
            if let [fail] = fails.as_slice() {
                let sid = statement.sid.as_ref().map(|sid| format!(" ({sid})")).unwrap_or_default();
                found.push(format!(
                    "{}:{}: statement {}{sid}: {fail}",
                    policy.name, statement.line, statement.index
                ));
            }
        }
    }
    found
}

/// The smallest statement for the layer.
pub(super) fn paste(request: &Request, kind: Kind) -> Option<Paste> {
    if super::own_registry_only(request).is_some() {
        return None;
    }
    let resource = layer::resource(request);
    let account = request.caller.account.as_deref().unwrap_or("the caller's account");
    let (into, kind) = match kind {
        Kind::Repository | Kind::Registry => {
            (format!("the policy of {}", request.resource), Kind::Repository)
        }
        Kind::Identity => {
            (format!("a policy of {}, in account {account}", principal(request)?), kind)
        }
        Kind::Boundary => (format!("the permissions boundary of {}", principal(request)?), kind),
        Kind::Session => ("the session policy with which the role is assumed".to_owned(), kind),
        Kind::Scp => (format!("a service control policy of account {account}"), kind),
        Kind::Endpoint => ("the policy of the VPC endpoint".to_owned(), kind),
        Kind::Rcp => return None,
    };
    let statement = match kind {
        Kind::Repository => json!({
            "Effect": "Allow",
            "Principal": named(request)?,
            "Action": request.action,
        }),
        Kind::Endpoint => json!({
            "Effect": "Allow",
            "Principal": "*",
            "Action": request.action,
            "Resource": resource,
        }),
        _ => json!({ "Effect": "Allow", "Action": request.action, "Resource": resource }),
    };
    Some(Paste { kind, into, statement })
}

/// The caller as a Principal.
fn named(request: &Request) -> Option<Value> {
    match &request.caller.other {
        Some(super::super::principal::Who::Service(name)) => Some(json!({ "Service": name })),
        Some(_) => None,
        None => Some(json!({ "AWS": principal(request)? })),
    }
}

/// The role's or user's ARN: a session comes and goes.
fn principal(request: &Request) -> Option<String> {
    let arn = request.caller.parts()?;
    Some(match arn.kind {
        "assumed-role" => {
            format!("arn:{}:iam::{}:role/{}", arn.partition, arn.account, arn.name())
        }
        _ => request.caller.arn.clone()?,
    })
}
