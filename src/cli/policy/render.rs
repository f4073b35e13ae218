//! `ecr-warden policy render`: the policies that both accounts need.

use std::io::{self, Write};

use crate::{
    model::registry::{is_account, partition_of_region},
    policy::{Piece, Plan, Wanted, render, terraform},
};

/// Which policy.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum What {
    /// The primary account's registry policy: all repositories, or those of a pattern.
    Registry,
    /// The policy of one repository of the primary account.
    Repository,
    /// The policy of the role that pulls, in the secondary account.
    Identity,
    /// What an audit role in the primary account may do: read what only its own account may read.
    Audit,
    /// Who may assume the audit role.
    AuditTrust,
}

/// What is given.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Access {
    Pull,
    Push,
    Both,
}

/// The flags of `policy render`.
#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    /// Which policy.
    pub what: What,
    /// The primary account, which owns the registry.
    #[arg(long)]
    pub account: String,
    /// The registry's region.
    #[arg(long)]
    pub region: String,
    /// To whom: a secondary account, or the ARN of a role in one; may be given again.
    #[arg(long, value_name = "ACCOUNT|ARN")]
    pub to: Vec<String>,
    /// What they may do.
    #[arg(long, default_value = "pull")]
    pub access: Access,
    /// Which repositories: a name, or a pattern such as app/*; may be given again. None means all.
    #[arg(long = "repository", value_name = "NAME")]
    pub repositories: Vec<String>,
    /// Let them read repository policies too, which shows drift from where they are.
    #[arg(long)]
    pub read_policy: bool,
    /// The external id that whoever assumes the audit role must give.
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// Print Terraform resources in place of JSON.
    #[arg(long)]
    pub terraform: bool,
}

/// 0: it is printed; 2: the flags make no policy.
pub(super) fn run(args: &RenderArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let text = plan(args).and_then(|plan| {
        let piece = match args.what {
            What::Registry => Piece::Registry,
            What::Repository => Piece::Repository,
            What::Identity => Piece::Identity,
            What::Audit => Piece::Audit,
            What::AuditTrust => Piece::AuditTrust,
        };
        if args.terraform {
            terraform(&plan, piece)
        } else {
            render(&plan, piece).map(|policy| format!("{policy:#}\n"))
        }
    });
    match text {
        Ok(text) => {
            write!(out, "{text}")?;
            Ok(0)
        }
        Err(why) => {
            writeln!(err, "ecr-warden: {why}")?;
            Ok(2)
        }
    }
}

fn plan(args: &RenderArgs) -> Result<Plan, String> {
    if !is_account(&args.account) {
        return Err(format!("--account {}: expected twelve digits", args.account));
    }
    let Some(partition) = partition_of_region(&args.region) else {
        return Err(format!("--region {}: expected a region, such as eu-west-1", args.region));
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._/-*?".contains(c);
    if let Some(name) =
        args.repositories.iter().find(|name| name.is_empty() || !name.chars().all(plain))
    {
        return Err(format!(
            "--repository {name}: a repository's name has a-z, 0-9 and . _ - / in it"
        ));
    }
    Ok(Plan {
        partition: partition.name.to_owned(),
        region: args.region.clone(),
        account: args.account.clone(),
        principals: args.to.clone(),
        wanted: match args.access {
            Access::Pull => Wanted::Pull,
            Access::Push => Wanted::Push,
            Access::Both => Wanted::Both,
        },
        repositories: args.repositories.clone(),
        read_policy: args.read_policy,
        external_id: args.external_id.clone(),
    })
}
