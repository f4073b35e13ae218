//! One file a subcommand. Exit codes: 0 fine, 1 the thing asked about is not fine, 2 it could not
//! be asked, 3 undecided.

pub mod audit;
pub mod check;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod explain;
pub mod policy;
pub mod probe;
pub mod refresh;
pub mod run;
pub mod setup;
pub mod status;
pub mod token;
pub mod withdraw;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Parser, Subcommand};

use crate::{
    config::{
        self,
        dropin::Sources,
        settings::{Loaded, Settings},
    },
    oci::client::Client,
};

/// Keeps Amazon ECR credentials fresh on this host, and says why when a pull would fail.
#[derive(Debug, Parser)]
#[command(name = "ecr-warden", version, max_term_width = 100)]
pub struct Cli {
    /// A configuration file or folder in place of the default ones; may be given again.
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run,
    /// Is the configuration right? Every mistake at once, or what is in force and where it came from.
    Check(check::CheckArgs),
    /// Mint and publish once, then exit.
    Refresh,
    /// Take our credentials out of the outputs, while the daemon does not run.
    Withdraw(withdraw::WithdrawArgs),
    /// Print a registry's password, for `docker login --username AWS --password-stdin`.
    Token(token::TokenArgs),
    /// Pull an image to nowhere, as far down as asked, and say what broke and what mends it.
    Probe(probe::ProbeArgs),
    /// For each consumer on this host: which credential it would use for an image, and whether it works.
    Explain(explain::ExplainArgs),
    /// Who uses the images, and was it us: out of CloudTrail.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// What policies grant, how two differ, and whether a request is allowed; nothing is asked of AWS.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The running daemon's view.
    Status(status::StatusArgs),
    /// Have other programs work with this one.
    #[command(subcommand)]
    Setup(setup::SetupCommand),
    /// The daemon at work against a built-in AWS and registry: no account needed.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Only the built-in AWS and registry, for tests.
    #[cfg(feature = "sandbox")]
    #[command(hide = true)]
    Sandbox(demo::SandboxArgs),
}

/// Does what the command line says; the exit code.
pub fn dispatch(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match cli.command {
        Command::Run => run::run(cli.config, err),
        Command::Check(args) => check::run(&args, cli.config, out),
        Command::Refresh => refresh::run(cli.config, out, err),
        Command::Withdraw(args) => withdraw::run(&args, cli.config, out, err),
        Command::Token(args) => token::run(&args, cli.config, out, err),
        Command::Probe(args) => probe::run(&args, cli.config, out, err),
        Command::Explain(args) => explain::run(&args, cli.config, out, err),
        Command::Policy(command) => policy::run(&command, cli.config, out, err),
        Command::Audit(command) => audit::run(&command, cli.config, out, err),
        Command::Status(args) => status::run(&args, cli.config, out, err),
        Command::Setup(command) => setup::run(&command, cli.config, out, err),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(&args, out),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => demo::serve(&args, out),
    }
}

/// The configuration, or every mistake on standard error.
fn load(paths: Vec<PathBuf>, err: &mut dyn Write) -> io::Result<Option<(Sources, Loaded)>> {
    let sources = Sources::new(paths);
    match config::load(&sources) {
        Ok(loaded) => Ok(Some((sources, loaded))),
        Err(mistakes) => {
            check::report(&mistakes, false, err)?;
            Ok(None)
        }
    }
}

/// A client that trusts what the registry's identity trusts.
fn client(settings: &Settings, host: &str) -> Client {
    let registry =
        settings.registries.iter().find(|registry| registry.hosts.iter().any(|one| one == host));
    let identity = registry.map_or("default", |registry| registry.identity.as_str());
    let identity = settings.identities.get(identity);
    Client::new(
        identity.and_then(|identity| identity.ca_file.as_deref()),
        identity.and_then(|identity| identity.proxy.as_ref()),
    )
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    // Two workers: a loop that is stuck on one leaves the other to answer /healthz.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
}
