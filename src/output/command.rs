//! A program that gets the credentials on its standard input after each change, and once after
//! each start of the daemon.
//!
//! The input is one JSON document: `{"registries": [{"host", "username", "password", "expires"}]}`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Entries, Output, Ownership, Published, Seen, accounts, file::all_missing, place::Owner,
    program::Program,
};
use crate::model::{outcome::Problem, output::OutputSpec};

/// The program.
pub struct Command {
    spec: OutputSpec,
    prefix: PathBuf,
    /// With what it succeeded last.
    last: Mutex<Option<Entries>>,
}

#[derive(Serialize)]
struct Input<'a> {
    registries: Vec<Registry<'a>>,
}

#[derive(Serialize)]
struct Registry<'a> {
    host: &'a str,
    username: String,
    password: Zeroizing<String>,
    expires: String,
}

impl Command {
    /// Nothing is run yet.
    pub fn new(spec: &OutputSpec, prefix: &Path) -> Self {
        Self { spec: spec.clone(), prefix: prefix.to_owned(), last: Mutex::default() }
    }

    fn owner(&self) -> Result<Option<Owner>, Problem> {
        let Some(name) = &self.spec.owner else {
            return Ok(None);
        };
        let user = accounts::user(&self.prefix, name)?;
        let gid = match &self.spec.group {
            Some(group) => accounts::group(&self.prefix, group)?,
            None => user.gid,
        };
        Ok(Some(Owner { uid: user.uid, gid }))
    }
}

fn input(entries: &Entries) -> Zeroizing<Vec<u8>> {
    let registries = entries.iter().map(|(host, token)| Registry {
        host,
        username: token.secret.user(),
        password: Zeroizing::new(token.secret.password().expose_secret().to_owned()),
        expires: token.expires.to_string(),
    });
    let input = Input { registries: registries.collect() };
    let mut text = Zeroizing::new(Vec::with_capacity(4096 * (entries.len() + 1)));
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(&mut *text, &input);
    text
}

impl Output for Command {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let first = last.is_none();
        if last.as_ref() == Some(entries) || (first && entries.is_empty()) {
            return Ok(Published::default());
        }
        let secrets: Vec<SecretString> = entries
            .values()
            .flat_map(|token| [token.secret.password(), token.secret.base64().clone()])
            .collect();
        let secrets: Vec<&str> = secrets.iter().map(SecretString::expose_secret).collect();
        let program = Program {
            argv: &self.spec.command,
            owner: self.owner()?,
            timeout: self.spec.timeout,
            secrets: &secrets,
        };
        let said = program.run(&input(entries))?;
        *last = Some(entries.clone());
        let removed = withdraw.keys().filter(|host| !entries.contains_key(*host));
        Ok(Published {
            written: true,
            set: entries.keys().cloned().collect(),
            removed: removed.cloned().collect(),
            notes: if said.is_empty() { Vec::new() } else { vec![format!("it said: {said}")] },
            ..Published::default()
        })
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(entries) {
            return Ok(all_missing(entries, "the command has not got it"));
        }
        let seen = |expires| Seen::Ours { expires };
        Ok(entries.iter().map(|(host, token)| (host.clone(), seen(token.expires))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use crate::model::{output::OutputKind, reason::Reason};

    fn output(script: &str) -> Box<dyn Output> {
        let mut spec = spec(OutputKind::Command, "/bin/sh");
        spec.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        built(&spec, Path::new("/"))
    }

    #[test]
    fn it_is_run_once_for_each_change_with_the_credential_on_its_input_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("got");
        let output =
            output(&format!("cat >> {0}; echo >> {0}; env; ps -o args= $$", file.display()));
        let first = output.publish(&entries("first-password"), &Ownership::new()).unwrap();
        assert!(
            first.written
                && !output.publish(&entries("first-password"), &Ownership::new()).unwrap().written
        );
        assert!(!first.notes.concat().contains("first-password"), "{:?}", first.notes);
        let _ = output.publish(&entries("second-password"), &Ownership::new()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["registries"][0]["host"], HOST);
        assert_eq!(lines[1]["registries"][0]["password"], "second-password");
        assert!(matches!(
            output.read_back(&entries("second-password")).unwrap()[HOST],
            Seen::Ours { .. }
        ));
    }

    #[test]
    fn a_talkative_program_does_not_flood_the_log() {
        let output = output("cat >/dev/null; head -c 200000 /dev/zero | tr '\\0' x; exit 3");
        let problem = output.publish(&entries("a-password"), &Ownership::new()).unwrap_err();
        assert!(problem.detail.contains("exit status: 3: xxx"), "{:.80}", problem.detail);
        assert!(problem.detail.len() < 5000, "{}", problem.detail.len());
    }

    #[test]
    fn a_failure_is_named_without_the_secret_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fine");
        let output = output(&format!("cat; test -e {}", file.display()));
        let problem = output.publish(&entries("a-password"), &Ownership::new()).unwrap_err();
        assert_eq!(problem.reason, Reason::CommandFailed);
        assert!(problem.detail.contains("[redacted]") && !problem.detail.contains("a-password"));
        assert!(matches!(
            output.read_back(&entries("a-password")).unwrap()[HOST],
            Seen::NotOurs(_)
        ));
        std::fs::write(&file, "").unwrap();
        assert!(output.publish(&entries("a-password"), &Ownership::new()).unwrap().written);
    }
}
