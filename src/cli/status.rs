//! `ecr-warden status`: what the running daemon says of itself.

use std::{
    io::{self, Read as _, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    config::{self, dropin::Sources},
    daemon,
    observe::status,
};

/// The flags of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// 0: all is fine; 1: something is not; 2: the daemon could not be asked; 3: something is unknown.
pub fn run(
    args: &StatusArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    // A mistake in a newer configuration must not hide the daemon that runs on the older one.
    let (loaded, _) = config::load_anyway(&Sources::new(paths));
    let socket = daemon::socket_of(&loaded);
    let text = match ask(&socket, "/status") {
        Ok(text) => text,
        Err(error) => {
            writeln!(
                err,
                "ecr-warden: the daemon can't be asked at {}: {error}",
                socket.display()
            )?;
            writeln!(
                err,
                "  -> start it (systemctl start ecr-warden), or run this as root: {}",
                hint(&error)
            )?;
            return Ok(2);
        }
    };
    let parsed: status::Status = match serde_json::from_str(&text) {
        Ok(parsed) => parsed,
        Err(error) => {
            writeln!(err, "ecr-warden: the daemon's answer is of another version: {error}")?;
            return Ok(2);
        }
    };
    if args.json {
        out.write_all(text.as_bytes())?;
    } else {
        write!(out, "{}", status::render(&parsed, Timestamp::now()))?;
    }
    Ok(match parsed.verdict.as_str() {
        "ok" => 0,
        "unknown" => 3,
        _ => 1,
    })
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no socket, so it does not run",
        io::ErrorKind::ConnectionRefused => "nobody listens, so it does not run",
        io::ErrorKind::PermissionDenied => "the socket is root's",
        _ => "it does not answer",
    }
}

/// One GET over the control socket.
fn ask(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no HTTP answer"))?;
    if head.starts_with("HTTP/1.1 200") {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()))
    }
}
