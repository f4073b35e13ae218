//! The credential helper for Docker and its like, and the kubelet's credential provider.

use std::{
    ffi::OsString,
    io::{stderr, stdin, stdout},
    process::ExitCode,
};

use ecr_warden::helper::{self, Streams, source::Source};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let (mut input, mut out, mut err) = (stdin().lock(), stdout().lock(), stderr());
    let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err };
    match helper::run(&arguments, &Source::of_environment(), &mut streams) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}
