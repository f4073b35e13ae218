//! podman, buildah and skopeo: they read the same files, root's and each user's.

use std::path::{Path, PathBuf};

use super::{
    Credential, Image, Step, Trouble, Way, follow,
    look::{Person, Tree},
    stuck, unread,
};
use crate::{
    consumer::{
        Pick,
        containers::{self, Surroundings},
        docker,
    },
    model::{outcome::Problem, reason::Reason},
};

/// The user's way, if the user has one: root, and whoever has files of these tools.
pub(super) fn way(tree: &Tree, person: &Person, image: &Image) -> Option<Way> {
    let tools = ["podman", "buildah", "skopeo"];
    let consumers: Vec<&'static str> =
        tools.into_iter().filter(|tool| tree.program(tool).is_some()).collect();
    if consumers.is_empty() {
        return None;
    }
    let home = &person.user.home;
    let of = Surroundings {
        uid: person.user.uid,
        home: home.clone(),
        auth_file: person.folder(tree, "REGISTRY_AUTH_FILE"),
        runtime: person.folder(tree, "XDG_RUNTIME_DIR"),
        config_home: person.folder(tree, "XDG_CONFIG_HOME"),
        docker_config: person.folder(tree, "DOCKER_CONFIG"),
    };
    let files = containers::files(&of);
    let mut signs = files.clone();
    // Docker's file alone does not make somebody a user of podman.
    signs.retain(|file| file.ends_with("containers/auth.json"));
    signs.push(home.join(".local/share/containers"));
    let used = person.act({
        let tree = tree.clone();
        move || signs.iter().any(|sign| tree.exists(sign))
    });
    if used == Some(false) && person.name != "root" {
        return None;
    }
    let mut way = Way { consumers, user: Some(person.name.clone()), ..Way::default() };
    let texts = person.act({
        let (tree, files) = (tree.clone(), files.clone());
        move || files.into_iter().map(|file| (tree.read(&file), file)).collect::<Vec<_>>()
    });
    let Some(texts) = texts else {
        way.steps.push(Step::new(home.display().to_string(), stuck(person)));
        return Some(way);
    };
    let helpers = helpers(tree, person);
    for helper in &helpers {
        if helper != "containers-auth.json" {
            let from = format!("registries.conf: credential-helpers = {helper}");
            let credential = super::helper::ask(tree, person, helper, &image.host);
            let none = matches!(&credential, Credential::Bad(trouble) if trouble.problem.reason == Reason::CredentialAbsent);
            if !none {
                way.steps.push(Step::new(from, credential));
                return Some(way);
            }
            continue;
        }
        let mut taken: Option<PathBuf> = None;
        for (read, file) in &texts {
            let found = read.clone().and_then(|text| {
                let config = docker::parse(text.as_ref().map(|text| text.as_slice()), file)?;
                containers::pick(&config, &image.host, &image.repository, file)
            });
            match (&taken, found) {
                (_, Ok(None)) | (Some(_), Err(_)) => {}
                (None, found) => {
                    way.steps.push(step(tree, person, file, found));
                    taken = Some(file.clone());
                }
                (Some(first), Ok(Some(_))) => way.notes.push(format!(
                    "{} has one as well, but {} is read first",
                    file.display(),
                    first.display()
                )),
            }
        }
        if taken.is_some() {
            return Some(way);
        }
    }
    let shown: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let detail = format!("no entry for {} in {}", image.host, shown.join(", "));
    let whose =
        if person.name == "root" { String::new() } else { format!(", owner = {:?}", person.name) };
    let trouble = Trouble::new(Problem::new(Reason::CredentialAbsent, detail)).fix(format!(
        "publish it: [[output]] kind = \"containers-auth\"{whose}; a login by hand is gone after a reboot"
    ));
    way.steps.push(Step::bad("no file", trouble));
    Some(way)
}

fn step(tree: &Tree, person: &Person, file: &Path, found: Result<Option<Pick>, Problem>) -> Step {
    match found {
        Ok(Some(pick)) => follow(tree, person, file, pick),
        Ok(None) => Step::new(file.display().to_string(), stuck(person)),
        Err(problem) if problem.reason == Reason::OutputUnreadable => {
            Step::new(file.display().to_string(), unread(person, problem))
        }
        Err(problem) => Step::bad(
            file.display().to_string(),
            Trouble::new(problem)
                .fix("repair or remove it: podman stops there and reads no further file"),
        ),
    }
}

/// `credential-helpers` of registries.conf; the user's file stands in place of the system's.
fn helpers(tree: &Tree, person: &Person) -> Vec<String> {
    let own = person.user.home.join(".config/containers/registries.conf");
    let own = person.act({
        let tree = tree.clone();
        move || tree.read(&own).ok().flatten()
    });
    let text = own.flatten().map_or_else(
        || tree.text("/etc/containers/registries.conf"),
        |text| String::from_utf8_lossy(&text).into_owned(),
    );
    let document: Option<toml_edit::DocumentMut> = text.parse().ok();
    let listed: Vec<String> = document
        .as_ref()
        .and_then(|document| document.get("credential-helpers")?.as_array())
        .map(|list| list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if listed.is_empty() { vec!["containers-auth.json".to_owned()] } else { listed }
}
