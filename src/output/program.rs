//! Runs a program: argv without a shell, bounded in time and output, nothing secret in what is
//! told of it.

use std::{
    ffi::OsString,
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::place::Owner;
use crate::model::{outcome::Problem, reason::Reason};

/// What a program says beyond this is not kept; `containerd config dump` is some 20 KiB.
const LONGEST: u64 = 256 * 1024;

/// Of that, so many characters come into the log and the status.
const LONGEST_TOLD: usize = 4 * 1024;

/// How often it is asked whether it has ended.
const TICK: Duration = Duration::from_millis(10);

/// A program to run.
pub struct Program<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// Whom it runs as; the daemon's own user if none.
    pub owner: Option<Owner>,
    /// How long it may take.
    pub timeout: Duration,
    /// What must not be told.
    pub secrets: &'a [&'a str],
}

impl Program<'_> {
    /// Runs it with this text on its standard input; what it said, or why it failed. It is killed
    /// with all its children when its time is over.
    pub fn run(&self, input: &[u8]) -> Result<String, Problem> {
        let name = self.argv.first().map_or("", String::as_str);
        let failed = |what: String| Problem::new(Reason::CommandFailed, what);
        let ended = self.ask(input, None)?;
        // What a child left behind may keep the pipes open: then what came so far counts.
        let texts = [&ended.out, &ended.err].map(|said| self.redacted(said));
        let words = texts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        let words: String = words.chars().take(LONGEST_TOLD).collect();
        let colon = if words.is_empty() { "" } else { ": " };
        match ended.status {
            Some(status) if status.success() => Ok(words),
            Some(status) => Err(failed(format!("{name}: {status}{colon}{words}"))),
            None => {
                let seconds = self.timeout.as_secs();
                Err(failed(format!("{name}: not done within {seconds} s{colon}{words}")))
            }
        }
    }

    /// The same for those who must tell apart what it said where, and what may be a secret: both
    /// streams as they came. With an `environment` it gets that one alone.
    pub fn ask(
        &self,
        input: &[u8],
        environment: Option<&[(String, OsString)]>,
    ) -> Result<Ended, Problem> {
        let failed = |what: String| Problem::new(Reason::CommandFailed, what);
        let (name, arguments) =
            self.argv.split_first().ok_or_else(|| failed("there is no program".to_owned()))?;
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(environment) = environment {
            command.env_clear().envs(environment.iter().map(|(key, value)| (key, value)));
        }
        // Its own group, so that its children end with it.
        command.process_group(0);
        if let Some(owner) = self.owner {
            command.gid(owner.gid).uid(owner.uid);
        }
        let mut child = command.spawn().map_err(|error| failed(format!("{name}: {error}")))?;
        let group = rustix::process::Pid::from_child(&child);
        let said = [
            child.stdout.take().map(|pipe| listen(Box::new(pipe))),
            child.stderr.take().map(|pipe| listen(Box::new(pipe))),
        ];
        if let Some(mut pipe) = child.stdin.take() {
            let input = Zeroizing::new(input.to_vec());
            // A program that does not read must not hold us; one that ends early is no error.
            std::thread::spawn(move || drop(pipe.write_all(&input)));
        }
        let began = Instant::now();
        let status = loop {
            match child.try_wait().map_err(|error| failed(format!("{name}: {error}")))? {
                Some(status) => break Some(status),
                None if began.elapsed() > self.timeout => {
                    let _ =
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                    let _ = child.wait();
                    break None;
                }
                None => std::thread::sleep(TICK),
            }
        };
        let [out, err] = said.map(|said| said.map(Said::so_far).unwrap_or_default());
        Ok(Ended { status, out, err })
    }

    fn redacted(&self, text: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(text).into_owned();
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "[redacted]");
        }
        text.chars().take(2_000).collect()
    }
}

/// What came of a program.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; none if its time was over.
    pub status: Option<ExitStatus>,
    /// What it said on standard output.
    pub out: Zeroizing<Vec<u8>>,
    /// What it said on standard error.
    pub err: Zeroizing<Vec<u8>>,
}

/// What a pipe has brought.
struct Said {
    text: std::sync::Arc<std::sync::Mutex<Zeroizing<Vec<u8>>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Said {
    fn so_far(self) -> Zeroizing<Vec<u8>> {
        let began = Instant::now();
        while !self.reader.is_finished() && began.elapsed() < Duration::from_millis(200) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.text.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

fn listen(mut pipe: Box<dyn Read + Send>) -> Said {
    let text = std::sync::Arc::new(std::sync::Mutex::new(Zeroizing::new(Vec::new())));
    let heard = std::sync::Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            let mut heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The rest is read, so that the program does not wait for us, and forgotten.
            if (heard.len() as u64) < LONGEST {
                heard.extend_from_slice(&piece[..length]);
            }
        }
    });
    Said { text, reader }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, timeout: Duration, secrets: &[&str]) -> Result<String, Problem> {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        Program { argv: &argv, owner: None, timeout, secrets }.run(b"the input")
    }

    #[test]
    fn it_gets_its_input_and_what_it_says_is_told_without_secrets() {
        let said = run("cat; echo; echo token=s3cret >&2", Duration::from_secs(5), &["s3cret"]);
        assert_eq!(said.unwrap(), "the input token=[redacted]");
    }

    #[test]
    fn a_failure_is_told_with_its_status_and_its_words() {
        let problem = run("echo no space; exit 7", Duration::from_secs(5), &[]).unwrap_err();
        assert_eq!(problem.reason, Reason::CommandFailed);
        assert_eq!(problem.detail, "/bin/sh: exit status: 7: no space");
        let argv = ["/no/such/program".to_owned()];
        let missing = Program { argv: &argv, owner: None, timeout: TICK, secrets: &[] };
        assert!(missing.run(b"").unwrap_err().detail.starts_with("/no/such/program: No such file"));
    }

    #[test]
    fn one_that_hangs_is_killed_with_its_children_and_one_that_never_ends_talking_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alive");
        let script = format!("(sleep 2; touch {}) & wait", file.display());
        let problem = run(&script, Duration::from_millis(300), &[]).unwrap_err();
        assert!(problem.detail.contains("not done within"), "{problem}");
        std::thread::sleep(Duration::from_millis(2200));
        assert!(!file.exists(), "its child lived on");
        let problem = run("yes", Duration::from_millis(300), &[]).unwrap_err();
        assert!(problem.detail.len() < 5_000);
    }
}
