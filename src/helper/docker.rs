//! The credential helpers' protocol (docker-credential-helpers, credentials/credentials.go): one
//! word, standard input, standard output. A failure is said on standard *output*, with exit code 1;
//! standard error goes to the user's terminal.

use std::io::{self, Write};

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Streams, host_of,
    source::{Answer, Source},
};

/// The one text after which Docker goes on without credentials.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_URL: &str = "no credentials server URL";
const NO_USER: &str = "no credentials username";

const NAME: &str = "docker-credential-ecr-warden";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Found<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    #[serde(default)]
    username: String,
}

/// How it is called.
pub fn usage(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Usage: {NAME} <store|get|erase|list|version|kubelet>")
}

/// Does what is asked; the exit code.
pub fn run(action: &str, source: &Source, streams: &mut Streams<'_>) -> io::Result<u8> {
    let done = match action {
        "get" => get(source, streams)?,
        "list" => list(source, streams)?,
        "store" => store(source, streams)?,
        "erase" => erase(source, streams)?,
        "version" | "--version" | "-v" => {
            writeln!(streams.out, "{NAME} (ecr-warden) v{}", env!("CARGO_PKG_VERSION"))?;
            Ok(())
        }
        "help" | "--help" | "-h" => {
            usage(streams.out)?;
            Ok(())
        }
        _ => Err(format!("{NAME}: unknown action: {action}")),
    };
    match done {
        Ok(()) => Ok(0),
        Err(why) => {
            writeln!(streams.out, "{why}")?;
            Ok(1)
        }
    }
}

type Done = Result<(), String>;

fn get(source: &Source, streams: &mut Streams<'_>) -> io::Result<Done> {
    let asked = streams.read()?;
    let server_url = asked.trim();
    if server_url.is_empty() {
        return Ok(Err(NO_URL.to_owned()));
    }
    match source.get(&host_of(server_url)) {
        Answer::Credential(credential) => {
            let found = Found {
                server_url,
                username: &credential.username,
                secret: credential.secret.expose_secret(),
            };
            let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
            serde_json::to_writer(&mut *text, &found)?;
            text.push(b'\n');
            streams.out.write_all(&text)?;
            Ok(Ok(()))
        }
        Answer::NotOurs => Ok(Err(NOT_FOUND.to_owned())),
        Answer::Lacking(why) => Ok(Err(why)),
    }
}

fn list(source: &Source, streams: &mut Streams<'_>) -> io::Result<Done> {
    serde_json::to_writer(&mut *streams.out, &source.list())?;
    writeln!(streams.out)?;
    Ok(Ok(()))
}

/// `docker login`: what it brings for a registry of ours is not needed, and a script that still
/// logs in must not fail for it. What it brings for another would be lost, which is an error.
fn store(source: &Source, streams: &mut Streams<'_>) -> io::Result<Done> {
    let text = Zeroizing::new(streams.read()?);
    let Ok(given) = serde_json::from_str::<Given>(&text) else {
        return Ok(Err(format!("{NAME}: store needs JSON with ServerURL, Username and Secret")));
    };
    if given.server_url.trim().is_empty() {
        return Ok(Err(NO_URL.to_owned()));
    }
    if given.username.trim().is_empty() {
        return Ok(Err(NO_USER.to_owned()));
    }
    let host = host_of(&given.server_url);
    if let Answer::NotOurs = source.get(&host) {
        return Ok(Err(format!("{NAME} keeps no credentials for {host}: it is not configured")));
    }
    writeln!(
        streams.err,
        "ecr-warden: the credential for {host} was not stored: a fresh one is always at hand"
    )?;
    Ok(Ok(()))
}

/// `docker logout`.
fn erase(source: &Source, streams: &mut Streams<'_>) -> io::Result<Done> {
    let asked = streams.read()?;
    if asked.trim().is_empty() {
        return Ok(Err(NO_URL.to_owned()));
    }
    let host = host_of(&asked);
    if let Answer::NotOurs = source.get(&host) {
        return Ok(Err(NOT_FOUND.to_owned()));
    }
    writeln!(
        streams.err,
        "ecr-warden: the credential for {host} stays: take the registry out of the configuration instead"
    )?;
    Ok(Ok(()))
}
