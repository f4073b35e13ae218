//! argv to command to exit code.

use std::{
    io::{Write as _, stderr, stdout},
    process::ExitCode,
};

use clap::Parser as _;
use ecr_warden::cli::{Cli, dispatch};

fn main() -> ExitCode {
    match dispatch(Cli::parse(), &mut stdout(), &mut stderr()) {
        Ok(code) => ExitCode::from(code),
        // The reader has gone (`| head`): nothing is wrong.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "ecr-warden: {error}");
            ExitCode::from(2)
        }
    }
}
