//! Runs what the files name: `docker-credential-X` by its protocol, as the user whose file it is.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Credential, Trouble,
    look::{Person, Tree},
};
use crate::{
    helper::docker::NOT_FOUND,
    model::{outcome::Problem, reason::Reason, token::AuthorizationToken},
    output::place::Owner,
    output::program::{Ended, Program},
};

/// How long a program may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// What `docker-credential-SUFFIX get` says of a key.
pub(super) fn ask(tree: &Tree, person: &Person, suffix: &str, key: &str) -> Credential {
    let name = format!("docker-credential-{suffix}");
    if suffix.contains(['/', '\0']) {
        let problem = Problem::new(Reason::HelperMissing, format!("{name} is no program's name"));
        return Credential::Bad(Trouble::new(problem));
    }
    let Some(program) = tree.program_in(&person.path(tree), &name) else {
        let detail = format!("there is no {name} in the PATH of {}", person.name);
        return Credential::Bad(
            Trouble::new(Problem::new(Reason::HelperMissing, detail)).fix(format!(
                "install {name} in /usr/local/bin, or remove {suffix:?} from the file"
            )),
        );
    };
    let fix = format!("run it by hand: sudo -H -u {} sh -c 'echo {key} | {name} get'", person.name);
    match run(tree, person, &program, &["get".to_owned()], key.as_bytes(), &[]) {
        Err(credential) => credential,
        Ok(ended) => match heard(&name, key, &ended) {
            Ok(credential) => credential,
            Err(problem) => Credential::Bad(Trouble::new(problem).fix(fix)),
        },
    }
}

/// Runs a program of the host's with the user's rights and surroundings.
pub(super) fn run(
    tree: &Tree,
    person: &Person,
    program: &std::path::Path,
    arguments: &[String],
    input: &[u8],
    more: &[(String, OsString)],
) -> Result<Ended, Credential> {
    let shown = program.display();
    if !person.reachable() {
        let detail = format!("{shown} is run as {}, which takes root", person.name);
        return Err(Credential::Unknown(Trouble::new(Problem::new(
            Reason::CredentialUntried,
            detail,
        ))));
    }
    let me = rustix::process::geteuid().as_raw();
    let user = &person.user;
    let owner = (me != user.uid).then_some(Owner { uid: user.uid, gid: user.gid });
    let mut argv = vec![tree.here(program).display().to_string()];
    argv.extend_from_slice(arguments);
    let mut environment: Vec<(String, OsString)> = Vec::new();
    if person.is_me {
        environment.extend(
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value))),
        );
    } else {
        let folders = person.path(tree);
        let mut path: Vec<PathBuf> = folders.iter().map(|folder| tree.here(folder)).collect();
        if !tree.is_here() {
            path.extend(folders);
        }
        environment.push(("HOME".into(), tree.here(&user.home).into()));
        environment.push(("USER".into(), person.name.clone().into()));
        environment.push(("PATH".into(), std::env::join_paths(path).unwrap_or_default()));
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "NO_PROXY",
            "no_proxy",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_PROFILE",
        ] {
            environment.extend(person.variable(tree, name).map(|value| (name.to_owned(), value)));
        }
    }
    environment.extend(more.iter().cloned());
    let program = Program { argv: &argv, owner, timeout: PATIENCE, secrets: &[] };
    let ended = program.ask(input, Some(&environment)).map_err(|problem| {
        let detail = problem.detail;
        // Not found although it is there: its interpreter or loader is another host's.
        let problem = Problem::new(Reason::CredentialUntried, detail);
        Credential::Unknown(Trouble::new(problem))
    })?;
    if ended.status.is_none() {
        let detail = format!("{shown} did not answer within {} s", PATIENCE.as_secs());
        return Err(Credential::Bad(Trouble::new(Problem::new(Reason::HelperFailed, detail))));
    }
    Ok(ended)
}

/// What a helper's answer means.
fn heard(name: &str, key: &str, ended: &Ended) -> Result<Credential, Problem> {
    let failed = |what: String| Problem::new(Reason::HelperFailed, format!("{name}: {what}"));
    if !ended.status.is_some_and(|status| status.success()) {
        // A failure is said on standard output.
        let words = words(&ended.out);
        let words = if words.is_empty() { self::words(&ended.err) } else { words };
        return Err(if words == NOT_FOUND {
            Problem::new(Reason::CredentialAbsent, format!("{name} has none for {key}"))
        } else {
            failed(words)
        });
    }
    let mut answer: Answer = serde_json::from_slice(&ended.out)
        .map_err(|_| failed("its answer is no JSON".to_owned()))?;
    if answer.username == "<token>" {
        answer.secret.zeroize();
        let detail = format!("{name} gives an identity token, which ECR does not take");
        let problem = Problem::new(Reason::CredentialUntried, detail);
        return Ok(Credential::Unknown(Trouble::new(problem)));
    }
    let secret = Zeroizing::new(answer.secret);
    if answer.username.is_empty() || secret.is_empty() {
        return Err(Problem::new(
            Reason::CredentialAbsent,
            format!("{name} gives an empty answer"),
        ));
    }
    Ok(Credential::Token(AuthorizationToken::of(
        &answer.username,
        &SecretString::from(secret.as_str().to_owned()),
    )))
}

/// The words of a failure, in one line and not too many.
pub(super) fn words(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
