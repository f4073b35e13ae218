//! What goes over the socket: one line of JSON asked, one line answered, as often as wanted.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{outcome::Problem, token::exposed};

/// A daemon that has not answered by then is not waited for: what it kept is at hand.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked: `{"get":"HOST"}` or `"list"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The credential for a registry host.
    Get(String),
    /// The registry hosts for which there is one.
    List,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Here it is.
    Credential(Credential),
    /// Another's registry.
    NotOurs,
    /// A registry of ours, and why there is no credential.
    Lacking(Lacking),
    /// Registry hosts and the user names for them.
    Hosts(BTreeMap<String, String>),
}

/// A user name and a password with the time of its death.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// `AWS`.
    pub username: String,
    /// The password.
    #[serde(with = "exposed")]
    pub secret: SecretString,
    /// When it dies.
    pub expires: Timestamp,
}

/// Why there is none: a reason as it stands in all JSON of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// The stable code.
    pub code: String,
    /// What is the matter.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// What was observed.
    #[serde(default)]
    pub detail: String,
}

impl From<&Problem> for Lacking {
    fn from(problem: &Problem) -> Self {
        let reason = problem.reason;
        Self {
            code: reason.code().into(),
            text: reason.text().into(),
            remedy: reason.remedy().into(),
            detail: problem.detail.clone(),
        }
    }
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let colon = if self.detail.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{} [{}]; {}", self.text, self.detail, self.code, self.remedy)
    }
}

/// A conversation with the daemon.
pub struct Line {
    reader: BufReader<UnixStream>,
}

impl Line {
    /// Calls the daemon.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut text = serde_json::to_string(request)?;
        text.push('\n');
        self.reader.get_mut().write_all(text.as_bytes())?;
        let mut answer = Zeroizing::new(String::with_capacity(8 * 1024));
        if self.reader.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // serde_json's words may quote the answer, which is a secret.
        serde_json::from_str(&answer)
            .map_err(|_| io::Error::other("the daemon's answer is not understood"))
    }
}
