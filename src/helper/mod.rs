//! `docker-credential-ecr-warden`: small, without any AWS code, because every pull waits for it.
//!
//! It asks the daemon's socket, and where no daemon answers it takes what the daemon kept. Nothing
//! that it needs comes from HOME.

pub mod docker;
pub mod kept;
pub mod kubelet;
pub mod source;
pub mod wire;

use std::{
    ffi::OsString,
    io::{self, Read, Write},
};

use self::source::Source;

/// Where the socket is by default.
pub const SOCKET: &str = "/run/ecr-warden/credentials.sock";

/// Where the daemon keeps its state by default.
pub const STATE: &str = "/var/lib/ecr-warden";

/// The longest input that is read: what Docker's own helpers take for one line.
const LONGEST: u64 = 64 * 1024;

/// What the world is to the helper.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

impl Streams<'_> {
    fn read(&mut self) -> io::Result<String> {
        let mut text = String::new();
        (&mut self.input).take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Does what the arguments say (the program's own name first); the exit code.
pub fn run(arguments: &[OsString], source: &Source, streams: &mut Streams<'_>) -> io::Result<u8> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [_, "kubelet"] => kubelet::run(source, streams),
        [name] if name.ends_with("credential-provider") => kubelet::run(source, streams),
        [_, action] => docker::run(action, source, streams),
        _ => {
            docker::usage(streams.out)?;
            Ok(1)
        }
    }
}

/// The registry host in what a consumer asks for: a host, a URL, or an image.
pub fn host_of(asked: &str) -> String {
    let asked = asked.trim();
    let rest = asked.split_once("://").map_or(asked, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    host.strip_suffix(":443").map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn every_way_of_naming_a_registry_leads_to_its_host() {
        for asked in [
            "h.example",
            "https://h.example",
            "http://H.example/v1/",
            "h.example:443\n",
            "h.example/app/web@sha256:00",
            "https://h.example/v2/",
        ] {
            assert_eq!(host_of(asked), "h.example", "{asked}");
        }
        assert_eq!(host_of("h.example:5000/app"), "h.example:5000");
        assert_eq!(host_of(""), "");
    }
}
