//! `ecr-warden policy explain`: is a request allowed, and which statement of which layer decides?

mod told;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

use super::file;
use crate::policy::{
    Access, Caller, Decision, Facts, Kind, Policies, Policy, RegistryScope, Request, evaluate,
    find_action,
};
use jiff::Timestamp;

/// REGISTRY_POLICY_SCOPE of the registry.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Scope {
    /// Replication, pull-through cache and creation of repositories alone.
    #[value(name = "V1", alias = "v1")]
    V1,
    /// Every action.
    #[value(name = "V2", alias = "v2")]
    V2,
}

/// A layer that exists and can't be read.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Layer {
    Repository,
    Registry,
    RegistryScope,
    Identity,
    Boundary,
    Session,
    Scp,
    Rcp,
    Endpoint,
}

/// The flags of `policy explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Who asks: the ARN of a role, a session or a user, an account, a service, or `*`.
    #[arg(long, value_name = "ARN")]
    pub principal: String,
    /// The principal's unique id, where it is known: AROA..., AIDA...
    #[arg(long, value_name = "ID")]
    pub unique_id: Option<String>,
    /// What is asked: ecr:BatchGetImage, ...
    #[arg(long)]
    pub action: String,
    /// Of which repository.
    #[arg(long, value_name = "ARN")]
    pub repository: String,
    /// The repository's policy; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub repository_policy: Option<PathBuf>,
    /// The registry's policy.
    #[arg(long, value_name = "FILE")]
    pub registry_policy: Option<PathBuf>,
    /// What the registry's policy speaks of (REGISTRY_POLICY_SCOPE).
    #[arg(long, default_value = "V2")]
    pub registry_scope: Scope,
    /// A policy of the role or user; may be given again.
    #[arg(long, value_name = "FILE")]
    pub identity_policy: Vec<PathBuf>,
    /// The permissions boundary.
    #[arg(long, value_name = "FILE")]
    pub permissions_boundary: Option<PathBuf>,
    /// The policy with which the role was assumed; may be given again.
    #[arg(long, value_name = "FILE")]
    pub session_policy: Vec<PathBuf>,
    /// A service control policy; may be given again.
    #[arg(long, value_name = "FILE")]
    pub scp: Vec<PathBuf>,
    /// A resource control policy of the registry's account; may be given again.
    #[arg(long, value_name = "FILE")]
    pub rcp: Vec<PathBuf>,
    /// The policy of the VPC endpoint that the request goes through.
    #[arg(long, value_name = "FILE")]
    pub endpoint_policy: Option<PathBuf>,
    /// What the request's context has, such as aws:SourceVpce=vpce-1; again for more values or
    /// keys; KEY= says that the request does not have the key.
    #[arg(long, value_name = "KEY=VALUE")]
    pub context: Vec<String>,
    /// A layer that exists and can't be read; may be given again.
    #[arg(long, value_name = "LAYER")]
    pub unknown: Vec<Layer>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: allowed; 1: denied; 2: a policy can't be read; 3: it depends on what is not known.
pub(super) fn run(args: &ExplainArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let request = match request(args) {
        Ok(request) => request,
        Err(why) => {
            writeln!(err, "ecr-warden: {why}")?;
            return Ok(2);
        }
    };
    let policies = match policies(args) {
        Ok(policies) => policies,
        Err(unreadable) => return file::report(&unreadable, args.json, out, err),
    };
    let mut decision = evaluate(&request, &policies);
    if decision.note.is_none() {
        decision.note = missing(&policies, &decision);
    }
    if args.json {
        writeln!(out, "{:#}", told::as_json(&request, &decision))?;
    } else {
        write!(out, "{}", told::table(&request, &decision))?;
    }
    Ok(match decision.access {
        Access::Allowed => 0,
        Access::NotGranted | Access::Denied => 1,
        Access::Undecided => 3,
    })
}

fn request(args: &ExplainArgs) -> Result<Request, String> {
    let mut caller = Caller::parse(&args.principal).map_err(|why| format!("--principal {why}"))?;
    if let Some(id) = &args.unique_id {
        caller = caller.with_unique_id(id);
    }
    let action = match find_action(&args.action) {
        Some(action) => format!("ecr:{}", action.name),
        None if args.action.starts_with("ecr:") && !args.action.contains(['*', '?']) => {
            args.action.clone()
        }
        None => {
            return Err(format!(
                "--action {}: expected one action, such as ecr:BatchGetImage",
                args.action
            ));
        }
    };
    let parts = args.repository.split(':').collect::<Vec<_>>();
    let whole = matches!(parts.as_slice(), ["arn", _, "ecr", _, account, name]
        if crate::model::registry::is_account(account) && name.starts_with("repository/"));
    if !whole {
        return Err(format!(
            "--repository {}: expected arn:aws:ecr:REGION:ACCOUNT:repository/NAME",
            args.repository
        ));
    }
    let mut facts = Facts::default();
    for one in &args.context {
        let Some((key, value)) = one.split_once('=').filter(|(key, _)| key.contains(':')) else {
            return Err(format!(
                "--context {one}: expected KEY=VALUE, such as aws:SourceVpce=vpce-1"
            ));
        };
        facts.add(key, value);
    }
    let now = Timestamp::now();
    facts.presume("aws:CurrentTime", Some(&now.to_string()));
    facts.presume("aws:EpochTime", Some(&now.as_second().to_string()));
    Ok(Request::new(caller, &action, &args.repository, facts))
}

fn policies(args: &ExplainArgs) -> Result<Policies, Vec<file::Unreadable>> {
    let one = |path: &Option<PathBuf>| path.iter().cloned().collect::<Vec<_>>();
    let files = [
        (Kind::Repository, one(&args.repository_policy)),
        (Kind::Registry, one(&args.registry_policy)),
        (Kind::Identity, args.identity_policy.clone()),
        (Kind::Boundary, one(&args.permissions_boundary)),
        (Kind::Session, args.session_policy.clone()),
        (Kind::Scp, args.scp.clone()),
        (Kind::Rcp, args.rcp.clone()),
        (Kind::Endpoint, one(&args.endpoint_policy)),
    ];
    let mut policies = Policies {
        registry_scope: match args.registry_scope {
            Scope::V1 => RegistryScope::V1,
            Scope::V2 => RegistryScope::V2,
        },
        ..Policies::default()
    };
    let mut unreadable = Vec::new();
    for (kind, paths) in files {
        for path in paths {
            match file::read(&path, kind) {
                Ok(document) => {
                    policies.known.push(Policy { name: path.display().to_string(), document });
                }
                Err(why) => unreadable.push(why),
            }
        }
    }
    let mut unknown = BTreeSet::new();
    for layer in &args.unknown {
        unknown.insert(match layer {
            Layer::Repository => Kind::Repository,
            Layer::Registry => Kind::Registry,
            Layer::Identity => Kind::Identity,
            Layer::Boundary => Kind::Boundary,
            Layer::Session => Kind::Session,
            Layer::Scp => Kind::Scp,
            Layer::Rcp => Kind::Rcp,
            Layer::Endpoint => Kind::Endpoint,
            Layer::RegistryScope => {
                policies.registry_scope = RegistryScope::Unknown;
                continue;
            }
        });
    }
    policies.unknown = unknown;
    if unreadable.is_empty() { Ok(policies) } else { Err(unreadable) }
}

/// What was not given, where that is what the denial rests on.
fn missing(policies: &Policies, decision: &Decision) -> Option<String> {
    let given =
        |kinds: &[Kind]| policies.known.iter().any(|policy| kinds.contains(&policy.document.kind));
    match decision.layer.filter(|_| decision.access == Access::NotGranted)? {
        Kind::Identity if !given(&[Kind::Identity]) => Some(
            "no policy of the caller's was given, which counts as none: give it with --identity-policy, or say --unknown identity".to_owned(),
        ),
        Kind::Repository if !given(&[Kind::Repository, Kind::Registry]) => Some(
            "no policy of the repository or registry was given, which counts as none: give it with --repository-policy or --registry-policy, or say --unknown repository".to_owned(),
        ),
        _ => None,
    }
}
