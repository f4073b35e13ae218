//! `ecr-warden run`: the daemon.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{load, runtime};
use crate::{
    daemon::{self, StartError},
    observe::log,
};

/// Runs until it is told to stop. 2: the configuration is not valid; 1: it could not start.
pub fn run(config: Vec<PathBuf>, err: &mut dyn Write) -> io::Result<u8> {
    let Some((sources, loaded)) = load(config, err)? else {
        return Ok(2);
    };
    log::init(&loaded.settings.daemon.log_format, &loaded.settings.daemon.log_level);
    let runtime = runtime()?;
    let result = runtime.block_on(daemon::run(sources, loaded));
    // Work on a filesystem that hangs is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(0),
        Err(StartError::Config(_)) => Ok(2),
        Err(error) => {
            writeln!(err, "ecr-warden: {error}")?;
            Ok(1)
        }
    }
}
