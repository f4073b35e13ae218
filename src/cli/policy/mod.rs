//! `ecr-warden policy`: what policies mean, without AWS, a daemon or a configuration.

mod diff;
mod file;
mod paragraph;

use std::io::{self, Write};

/// What is asked of policies.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// How two policies differ, in what they grant.
    Diff(diff::DiffArgs),
}

/// Does it.
pub fn run(command: &PolicyCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match command {
        PolicyCommand::Diff(args) => diff::run(args, out, err),
    }
}
