//! docker and compose: one file a user.

use std::path::{Path, PathBuf};

use super::{
    Credential, Image, Step, Trouble, Way, follow,
    look::{Person, Tree},
    stuck, unread,
};
use crate::{
    consumer::docker,
    model::{outcome::Problem, reason::Reason},
    output::accounts,
};

const PLUGINS: [&str; 4] = [
    "/usr/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/local/lib/docker/cli-plugins",
];

/// The user's way, if the user has one.
pub(super) fn way(tree: &Tree, person: &Person, image: &Image) -> Option<Way> {
    let file = file(tree, person);
    let installed = tree.program("docker").is_some()
        || ["/run/docker.sock", "/var/run/docker.sock"]
            .iter()
            .any(|path| tree.exists(Path::new(path)));
    let has_file = person.act({
        let (tree, file) = (tree.clone(), file.clone());
        move || tree.exists(&file)
    });
    if has_file == Some(false) && !(installed && may(tree, person)) {
        return None;
    }
    let mut consumers = vec!["docker"];
    let own = person.user.home.join(".docker/cli-plugins");
    let mut folders: Vec<PathBuf> = PLUGINS.map(PathBuf::from).to_vec();
    folders.push(own);
    if tree
        .program_in(&folders, "docker-compose")
        .or_else(|| tree.program("docker-compose"))
        .is_some()
    {
        consumers.push("compose");
    }
    let step = match person.variable(tree, "DOCKER_AUTH_CONFIG") {
        // Newer docker commands take it in place of the file.
        Some(text) => {
            let path = Path::new("DOCKER_AUTH_CONFIG");
            let text = text.into_encoded_bytes();
            vec![step(tree, person, path, Ok(Some(&text)), &image.host)]
        }
        None => steps(tree, person, &file, std::slice::from_ref(&image.host)),
    };
    let name = Some(person.name.clone());
    Some(Way { consumers, user: name, steps: step, ..Way::default() })
}

/// Who may ask the Docker daemon.
fn may(tree: &Tree, person: &Person) -> bool {
    person.user.uid == 0
        || person.name == "root"
        || accounts::group(tree.prefix(), "docker")
            .is_ok_and(|group| person.user.gid == group || person.groups.contains(&group))
}

/// The user's config.json.
pub(super) fn file(tree: &Tree, person: &Person) -> PathBuf {
    let folder = person.folder(tree, "DOCKER_CONFIG");
    folder.unwrap_or_else(|| person.user.home.join(".docker")).join("config.json")
}

/// What comes of the file for the first of these names that has something.
pub(super) fn steps(tree: &Tree, person: &Person, file: &Path, names: &[String]) -> Vec<Step> {
    let read = person.act({
        let (tree, file) = (tree.clone(), file.to_owned());
        move || tree.read(&file)
    });
    let Some(read) = read else {
        return vec![Step::new(file.display().to_string(), stuck(person))];
    };
    let mut first = None;
    for name in names {
        let read = match &read {
            Ok(text) => Ok(text.as_ref().map(|text| text.as_slice())),
            Err(problem) => Err(problem.clone()),
        };
        let step = step(tree, person, file, read, name);
        let absent = matches!(&step.credential, Credential::Bad(trouble) if trouble.problem.reason == Reason::CredentialAbsent);
        if !absent {
            return vec![step];
        }
        first = first.or(Some(step));
    }
    first.into_iter().collect()
}

fn step(
    tree: &Tree,
    person: &Person,
    file: &Path,
    read: Result<Option<&[u8]>, Problem>,
    host: &str,
) -> Step {
    let shown = file.display();
    let text = match read {
        Ok(text) => text,
        Err(problem) => return Step::new(shown.to_string(), unread(person, problem)),
    };
    let picked = docker::parse(text, file).and_then(|config| {
        // Where nothing is written Docker looks for a store by itself.
        let store = ["pass", "secretservice"].into_iter().find(|store| {
            docker::detects_store(&config)
                && (*store != "pass" || tree.program_in(&person.path(tree), "pass").is_some())
        });
        let store = store.filter(|store| {
            tree.program_in(&person.path(tree), &format!("docker-credential-{store}")).is_some()
        });
        match store {
            Some(store) => Ok(Some(crate::consumer::Pick::Helper {
                at: format!("no credentials, so {store} is asked"),
                suffix: store.to_owned(),
                key: host.to_owned(),
            })),
            None => docker::pick(&config, host, file),
        }
    });
    match picked {
        Ok(Some(pick)) => follow(tree, person, file, pick),
        Ok(None) => {
            let what = if text.is_some() { "no entry" } else { "no such file, so no entry" };
            let problem =
                Problem::new(Reason::CredentialAbsent, format!("{shown}: {what} for {host}"));
            let whose = if person.name == "root" {
                String::new()
            } else {
                format!(", owner = {:?}", person.name)
            };
            Step::bad(shown.to_string(), Trouble::new(problem).fix(format!(
                "publish it: [[output]] kind = \"docker-config\"{whose}; or once: ecr-warden token {host} | docker login --username AWS --password-stdin {host}"
            )))
        }
        Err(problem) => {
            let fix = match problem.reason {
                Reason::CredentialMalformed => {
                    "remove that entry from the file: one that can't be read makes docker go on without all of them"
                }
                _ => {
                    "repair or remove the file: docker warns of it and goes on without any credential"
                }
            };
            Step::bad(shown.to_string(), Trouble::new(problem).fix(fix))
        }
    }
}
