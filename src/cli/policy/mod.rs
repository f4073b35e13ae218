//! `ecr-warden policy`: what policies mean, without AWS, a daemon or a configuration.

mod diff;
mod explain;
mod file;
mod paragraph;

use std::io::{self, Write};

/// What is asked of policies.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// How two policies differ, in what they grant.
    Diff(diff::DiffArgs),
    /// Whether a request is allowed, and which statement of which layer decides.
    Explain(Box<explain::ExplainArgs>),
}

/// Does it.
pub fn run(command: &PolicyCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match command {
        PolicyCommand::Diff(args) => diff::run(args, out, err),
        PolicyCommand::Explain(args) => explain::run(args, out, err),
    }
}
