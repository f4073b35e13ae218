//! containerd's own program, `ctr`: its API is gRPC, whose generated code would ask whoever builds
//! this for protoc. It runs in the surroundings of containerd's process (proxy, authorities), since
//! up to containerd 1.7 it is ctr that does the fetching.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::UnixStream,
    process::Command,
    time::timeout,
};

use super::Words;
use crate::model::{outcome::Problem, reason::Reason};

/// The longest that is read of what it says.
const LONGEST: u64 = 8 << 20;

/// What of containerd's surroundings decides about its way to a registry.
const VARIABLES: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Where it is looked for; the environment is containerd's and not ours.
const FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `ctr` for one containerd.
pub(super) struct Ctr {
    socket: PathBuf,
    /// Containerd's, as far as it counts; none where its process can't be looked into.
    environment: Option<Vec<(String, OsString)>>,
}

/// What it said.
pub(super) struct Said {
    pub(super) out: Vec<u8>,
}

impl Said {
    /// Its lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.out);
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

impl Ctr {
    /// For the containerd at a socket, in the surroundings of whoever listens there.
    pub(super) async fn at(socket: &Path) -> Result<Self, Problem> {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            Problem::new(Reason::EngineUnreachable, format!("{}: {error}", socket.display()))
        })?;
        let listener = stream.peer_cred().ok().and_then(|who| who.pid());
        let environment = listener
            .and_then(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok())
            .map(|text| variables(&text));
        Ok(Self { socket: socket.to_owned(), environment })
    }

    /// Whether containerd's process could not be looked into: ctr then goes without its proxy.
    pub(super) const fn is_blind(&self) -> bool {
        self.environment.is_none()
    }

    /// The proxy that containerd is told to go through.
    pub(super) fn proxy(&self) -> Option<String> {
        let all = self.environment.as_ref()?;
        let named = |name: &str| all.iter().find(|(key, _)| key == name);
        let (_, value) = named("HTTPS_PROXY").or_else(|| named("https_proxy"))?;
        Some(value.to_string_lossy().into_owned())
    }

    /// Runs it; what it said, or its words on failure.
    pub(super) async fn run(
        &self,
        namespace: Option<&str>,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<Said, Words> {
        let failed = |what: String| Words::from(Problem::new(Reason::EngineUnreachable, what));
        let mut command = Command::new("ctr");
        command.env_clear().env("PATH", FOLDERS).envs(self.environment.clone().unwrap_or_default());
        command.arg("--address").arg(&self.socket);
        if let Some(namespace) = namespace {
            command.args(["--namespace", namespace]);
        }
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("ctr: {error}")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let whole = async {
            let (out, err) = tokio::join!(read(out), read(err));
            (child.wait().await, out, err)
        };
        let Ok((status, out, err)) = timeout(patience, whole).await else {
            let what = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            let detail = format!("ctr {what}: not done within {} s", patience.as_secs());
            return Err(Problem::new(Reason::ProbeDeadline, detail).into());
        };
        match status {
            Ok(status) if status.success() => Ok(Said { out }),
            Ok(_) => Err(Words::said(last_words(&String::from_utf8_lossy(&err)))),
            Err(error) => Err(failed(format!("ctr: {error}"))),
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(pipe) = pipe {
        // What is cut off is a failure's own words.
        let _ = pipe.take(LONGEST).read_to_end(&mut text).await;
    }
    text
}

/// The line that says why it failed; before it come those of its log. A host of hosts.toml that
/// does not find the image stands in the log alone, if the next one fails in another way.
fn last_words(said: &str) -> String {
    let mut lines = said.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let own = lines.clone().find(|line| line.starts_with("ctr: "));
    let last = own.or_else(|| lines.next()).unwrap_or("it failed without a word");
    let before = if said.contains("http.StatusNotFound") {
        "; a host before that answered not found"
    } else {
        ""
    };
    format!("{last}{before}")
}

/// Those that count, out of a process's environment.
fn variables(text: &[u8]) -> Vec<(String, OsString)> {
    use std::os::unix::ffi::OsStringExt as _;
    text.split(|byte| *byte == 0)
        .filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (pair.get(..at)?, pair.get(at + 1..)?);
            let name = VARIABLES.into_iter().find(|known| known.as_bytes() == name)?;
            Some((name.to_owned(), OsString::from_vec(value.to_vec())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_containerds_surroundings_only_its_way_to_registries_counts() {
        let text =
            b"PATH=/bin\0HTTPS_PROXY=http://p:3128\0AWS_SECRET_ACCESS_KEY=x\0NO_PROXY=\0broken\0";
        let found = variables(text);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HTTPS_PROXY", "NO_PROXY"]);
    }

    #[test]
    fn why_it_failed_is_told_from_what_it_logged() {
        let said = "time=\"x\" level=info msg=\"trying next host\"\nctr: failed to resolve reference: x509\n\n";
        assert_eq!(last_words(said), "ctr: failed to resolve reference: x509");
        assert_eq!(last_words("one\ntwo\n"), "two");
        assert_eq!(last_words(""), "it failed without a word");
    }
}
