//! `ecr-warden policy`: what policies mean, without AWS, a daemon or a configuration; and what the live ones do.

mod check;
mod diff;
mod explain;
mod file;
mod lint;
mod paragraph;
mod render;

use std::{
    io::{self, Write},
    path::PathBuf,
};

/// What is asked of policies.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// The live policies against the configured baselines, and what this host can do by them.
    Check(check::CheckArgs),
    /// How two policies differ, in what they grant.
    Diff(diff::DiffArgs),
    /// Whether a request is allowed, and which statement of which layer decides.
    Explain(Box<explain::ExplainArgs>),
    /// What is wrong with a policy, though AWS may have stored it.
    Lint(lint::LintArgs),
    /// The policies that both accounts need, as JSON or Terraform.
    Render(render::RenderArgs),
}

/// Does it.
pub fn run(
    command: &PolicyCommand,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match command {
        PolicyCommand::Check(args) => check::run(args, paths, out, err),
        PolicyCommand::Diff(args) => diff::run(args, out, err),
        PolicyCommand::Explain(args) => explain::run(args, out, err),
        PolicyCommand::Lint(args) => lint::run(args, out, err),
        PolicyCommand::Render(args) => render::run(args, out, err),
    }
}
