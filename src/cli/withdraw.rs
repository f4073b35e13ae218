//! `ecr-warden withdraw`: takes our credentials out of the outputs, while the daemon does not run.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    config::{self, dropin::Sources, settings::Settings},
    output::{
        Host,
        cred_helpers::{self, Remembered},
        ledger::Ledger,
        withdrawal::{self, Which},
    },
};

/// The timer of `withdraw --expired` comes by so often: what dies before its next visit goes now.
const UNTIL_NEXT: Duration = Duration::from_secs(330);

/// The flags of `withdraw`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct WithdrawArgs {
    /// What has expired, or does within six minutes: for a timer, in case the daemon is down.
    #[arg(long)]
    pub expired: bool,
    /// Everything that is ours, in every output that there ever was.
    #[arg(long)]
    pub all: bool,
}

/// 0: done, or the daemon does it itself; 1: something could not be taken out; 2: not now.
pub fn run(
    args: &WithdrawArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    // What was published is in the ledger: a mistake in today's configuration changes nothing.
    let (loaded, _) = config::load_anyway(&Sources::new(paths));
    let settings = &loaded.settings;
    if UnixStream::connect(&settings.daemon.socket).is_ok() {
        if args.expired {
            return Ok(0);
        }
        writeln!(err, "ecr-warden: the daemon runs and would put everything back")?;
        writeln!(
            err,
            "  -> systemctl stop ecr-warden, then again; or take single outputs out of the configuration"
        )?;
        return Ok(2);
    }
    let which = if args.all {
        Which::All
    } else {
        let next = Timestamp::now().checked_add(UNTIL_NEXT).unwrap_or(Timestamp::MAX);
        Which::ExpiredBy(next)
    };
    let mut code = outputs(settings, which, out, err)?;
    if args.all && helpers(settings, out, err)? != 0 {
        code = 1;
    }
    Ok(code)
}

fn outputs(
    settings: &Settings,
    which: Which,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let state = &settings.daemon.state_directory;
    let (mut ledger, problem) = Ledger::load(state);
    let mut code = 0;
    if let Some(problem) = problem {
        code = 1;
        writeln!(err, "ecr-warden: {problem}\n  -> {}", problem.reason.remedy())?;
    }
    let host = Host { prefix: &settings.daemon.host_prefix, state, desk: None };
    for (name, record) in ledger.records() {
        let Some(withdrawal) = withdrawal::plan(&ledger, &name, &record, which) else {
            continue;
        };
        let done = withdrawal.carry_out(&host);
        let done = done.and_then(|done| withdrawal.settle(&mut ledger).map(|()| done));
        match done {
            Ok(done) if done.removed.is_empty() => {}
            Ok(done) => {
                let path = withdrawal.spec.path.display();
                writeln!(out, "withdrew {} from {path}", done.removed.join(", "))?;
            }
            Err(problem) => {
                code = 1;
                writeln!(err, "ecr-warden: {name}: {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
    }
    Ok(code)
}

/// `credHelpers` entries would have Docker fail once the helper is gone.
fn helpers(settings: &Settings, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let mut remembered = Remembered::load(&settings.daemon.state_directory);
    let mut code = 0;
    for file in remembered.files() {
        match cred_helpers::publish(&file.location(&settings.daemon.host_prefix), &[]) {
            Ok(changed) => {
                remembered.forget(&file);
                if !changed.removed.is_empty() {
                    let (hosts, path) = (changed.removed.join(", "), file.path.display());
                    let whose = file.user.map(|user| format!(" of {user}")).unwrap_or_default();
                    writeln!(out, "withdrew the credHelpers for {hosts} from {path}{whose}")?;
                }
            }
            Err(problem) => {
                code = 1;
                writeln!(err, "ecr-warden: {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
    }
    if let Err(error) = remembered.save() {
        writeln!(err, "ecr-warden: {error}")?;
        code = 1;
    }
    Ok(code)
}
