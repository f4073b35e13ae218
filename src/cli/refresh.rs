//! `ecr-warden refresh`: once, then exit; for boot ordering.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{load, runtime};
use crate::{daemon, observe::log};

/// Mints what is due and publishes. 0: all outputs hold their credentials; 1: something is wrong.
pub fn run(config: Vec<PathBuf>, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Some((_, loaded)) = load(config, err)? else {
        return Ok(2);
    };
    log::init(&loaded.settings.daemon.log_format, "warn");
    let runtime = runtime()?;
    let done = runtime.block_on(daemon::refresh(&loaded));
    runtime.shutdown_background();
    let done = done.map_err(io::Error::other)?;
    let mut code = 0;
    for (job, verdict, change) in done {
        if let Some(change) = change {
            writeln!(out, "{job}: {change}")?;
        }
        if let Some(problem) = verdict.problem() {
            code = 1;
            writeln!(out, "{job}: {problem}")?;
            writeln!(out, "  -> {}", problem.reason.remedy())?;
        }
    }
    Ok(code)
}
