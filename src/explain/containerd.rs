//! containerd's consumers: the CRI plugin with what the kubelet sends, nerdctl, ctr.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Credential, Image, Step, Trouble, Way, docker,
    look::{Person, Tree},
};
use crate::{
    consumer::containerd::{Cri, DEFAULT, FILE, Header, Plugin, entries, names},
    model::{outcome::Problem, reason::Reason},
    output::program::Program,
};

pub(super) const CERTS: &str = "/etc/containerd/certs.d";
const CONFIG: &str = "/etc/containerd/config.toml";
const DOCKER_CERTS: &str = "/etc/docker/certs.d";

/// What the folders of a containerd say about a host.
#[derive(Default)]
struct Folders {
    /// The headers, in the order in which they are sent.
    steps: Vec<Step>,
    /// Whether it comes to an entry of the registry without a header, where credentials of other
    /// origins count.
    open: bool,
    notes: Vec<String>,
    /// What explains why there is no header.
    problem: Option<Trouble>,
}

/// The host's own folder, or `_default`, in the first of these that has one.
fn look(tree: &Tree, folders: &[PathBuf], host: &str) -> Folders {
    let mut found = Folders { open: true, ..Folders::default() };
    let mut names = names(host);
    names.push(DEFAULT.to_owned());
    let place = folders.iter().find_map(|folder| {
        let name = names.iter().find(|name| tree.is_folder(&folder.join(name)))?;
        Some((folder, name))
    });
    let Some((folder, name)) = place else {
        return found;
    };
    let file = folder.join(name).join(FILE);
    let shown = file.display().to_string();
    let text = match tree.read(&file) {
        Ok(Some(text)) => text,
        Ok(None) => {
            let hidden = folder.join(DEFAULT).join(FILE);
            if name != DEFAULT && tree.exists(&hidden) {
                let detail = format!(
                    "{} has no {FILE}, and because it is there {} is not read",
                    folder.join(name).display(),
                    hidden.display()
                );
                found.problem =
                    Some(Trouble::new(Problem::new(Reason::ContainerdDefaultHidden, detail)));
            }
            return found;
        }
        Err(problem) => {
            found.steps.push(Step::new(shown, Credential::Unknown(Trouble::new(problem))));
            return found;
        }
    };
    let list = match entries(&String::from_utf8_lossy(&text), host, &file) {
        Ok(list) => list,
        Err(problem) => {
            found.problem = Some(Trouble::new(problem).fix(
                "repair the file: containerd logs the mistake and goes on as if there were none",
            ));
            return found;
        }
    };
    found.open = false;
    for entry in list {
        if entry.host.trim_end_matches(":443") != host.trim_end_matches(":443") {
            found.notes.push(format!("{shown} asks {} before the registry", entry.host));
            continue;
        }
        match entry.header {
            Header::None => {
                found.open = true;
                break;
            }
            Header::Basic(token) => {
                let from = format!("{shown}: the Authorization header");
                found.steps.push(Step::new(from, Credential::Token(token)));
            }
            Header::Other => {
                let detail = format!("{shown}: the Authorization header is not one Basic value");
                let trouble = Trouble::new(Problem::new(Reason::CredentialMalformed, detail)).fix(
                    "write it as Authorization = \"Basic TOKEN\", or let an [[output]] kind = \"containerd-hosts\" do it",
                );
                found.steps.push(Step::bad(shown.clone(), trouble));
            }
        }
    }
    if !found.open {
        if let Some(last) = found.steps.last_mut() {
            let detail = format!("{shown}: nothing stands behind the header");
            last.refused = Some(Trouble::new(Problem::new(Reason::ContainerdFailsClosed, detail)).fix(format!(
                "renew the header ([[output]] kind = \"containerd-hosts\" does), or name the registry again as server = \"https://{host}\" without one"
            )));
        } else {
            let detail = format!("{shown} names only other hosts than {host}");
            let trouble = Trouble::new(Problem::new(Reason::CredentialUntried, detail));
            found.steps.push(Step::new(
                shown,
                Credential::Unknown(
                    trouble.fix("ask the mirror: explain looks at the registry itself"),
                ),
            ));
        }
    }
    found
}

/// The CRI plugin: the kubelet's pulls.
pub(super) fn cri(tree: &Tree, image: &Image, kubelet: Option<&Way>) -> Option<Way> {
    let config = Path::new(CONFIG);
    if tree.program("containerd").is_none() && !tree.exists(config) {
        return None;
    }
    let (dumped, parsed) = settings(tree);
    let runs = |cri: &Cri| match cri.plugin {
        Plugin::Listed => true,
        Plugin::Unlisted => !dumped,
        Plugin::Disabled => false,
    };
    if parsed.as_ref().is_some_and(|cri| !runs(cri)) {
        return None;
    }
    let own = names(&image.host).iter().any(|name| tree.is_folder(&Path::new(CERTS).join(name)));
    let used = kubelet.is_some()
        || own
        || tree.program("crictl").is_some()
        || parsed.as_ref().is_some_and(|cri| !cri.folders.is_empty());
    // Docker brings a containerd along whose CRI plugin nobody asks.
    if !used {
        return None;
    }
    let mut way = Way { consumers: vec!["containerd CRI"], ..Way::default() };
    let Some(cri) = parsed else {
        let problem =
            Problem::new(Reason::OutputMalformed, format!("{}: it is no TOML", config.display()));
        way.steps.push(Step::bad(
            config.display().to_string(),
            Trouble::new(problem).fix("repair it: containerd does not start with it"),
        ));
        return Some(way);
    };
    if !dumped {
        way.notes.push(format!("containerd's settings are taken from {} alone: `containerd config dump` could not be run", config.display()));
    }
    let folders: Vec<PathBuf> = cri.folders.iter().map(PathBuf::from).collect();
    let mut found = look(tree, &folders, &image.host);
    way.notes.append(&mut found.notes);
    way.steps = found.steps;
    if cri.header {
        let problem = Problem::new(Reason::ContainerdStaticCredential, cri.at.clone());
        let problem = cri.static_credential().unwrap_or(problem);
        // Whatever else is sent, this goes with it.
        way.steps = vec![Step::bad(cri.at, Trouble::new(problem))];
        return Some(way);
    }
    if !found.open {
        return Some(way);
    }
    let has_header = !way.steps.is_empty();
    // Behind the headers come the credentials of the call, else those of the configuration.
    let sent = kubelet.map(|kubelet| kubelet.steps.clone()).unwrap_or_default();
    let nothing = sent.iter().all(|step| matches!(step.credential, Credential::Bad(_)));
    way.steps.extend(
        sent.into_iter()
            .map(|step| Step { from: format!("the kubelet sends it: {}", step.from), ..step }),
    );
    let configured = cri.configs.iter().find(|(host, _)| *host == image.host);
    if let Some((host, token)) = configured.filter(|_| nothing) {
        let from = format!("{}: {}.configs.{host:?}.auth", config.display(), cri.at);
        way.notes.push(
            "a credential in containerd's configuration is read only when containerd starts"
                .to_owned(),
        );
        way.steps.push(match token {
            Some(token) => Step::new(from, Credential::Token(token.clone())),
            None => Step::bad(
                from.clone(),
                Trouble::new(Problem::new(Reason::CredentialMalformed, from)),
            ),
        });
    }
    // Why the header that should be there is not.
    let ignored = (own
        && !has_header
        && (cri.list_is_one || !folders.iter().any(|one| one == Path::new(CERTS))))
    .then(|| cri.ignores(Path::new(CERTS)))
    .flatten()
    .map(|problem| {
        Trouble::new(problem).fix(format!(
            "set config_path = \"{CERTS}\" in {} and restart containerd",
            config.display()
        ))
    });
    let why = found.problem.or(ignored);
    if let Some(trouble) = why {
        let from = if cri.folders.is_empty() {
            config.display().to_string()
        } else {
            cri.folders.join(":")
        };
        way.steps.insert(0, Step::bad(from, trouble));
    } else if way.steps.is_empty() {
        let detail = format!("neither {FILE} nor the kubelet has one for {}", image.host);
        way.steps.push(Step::bad(
            "nowhere",
            Trouble::new(Problem::new(Reason::CredentialAbsent, detail))
                .fix("publish it: [[output]] kind = \"containerd-hosts\""),
        ));
    }
    Some(way)
}

/// What containerd is told, and whether it said so itself.
pub(super) fn settings(tree: &Tree) -> (bool, Option<Cri>) {
    let config = Path::new(CONFIG);
    let program = tree.program("containerd").filter(|_| tree.is_here());
    match program.and_then(|program| dump(&program, tree.exists(config))) {
        Some(text) => (true, Cri::of(&text)),
        // Another root's containerd can't be run from here: its file has to do.
        None => (false, Cri::of(&tree.text(CONFIG))),
    }
}

/// The settings in force; of a containerd without a file, its defaults.
fn dump(program: &Path, has_file: bool) -> Option<String> {
    let what = if has_file { "dump" } else { "default" };
    let argv = [program.display().to_string(), "config".to_owned(), what.to_owned()];
    let program =
        Program { argv: &argv, owner: None, timeout: Duration::from_secs(10), secrets: &[] };
    let ended = program.ask(b"", None).ok()?;
    ended.status.filter(std::process::ExitStatus::success)?;
    String::from_utf8(ended.out.to_vec()).ok()
}

/// nerdctl: headers first, then the user's config.json under its names for the host.
pub(super) fn nerdctl(tree: &Tree, person: &Person, image: &Image) -> Option<Way> {
    tree.program("nerdctl")?;
    let home = &person.user.home;
    let folders: Vec<PathBuf> = if person.name == "root" {
        vec![CERTS.into(), DOCKER_CERTS.into()]
    } else {
        let signs = [home.join(".config/containerd"), home.join(".local/share/nerdctl")];
        let tree = tree.clone();
        if person.act(move || signs.iter().any(|sign| tree.exists(sign))) == Some(false) {
            return None;
        }
        vec![home.join(".config/containerd/certs.d"), home.join(".config/docker/certs.d")]
    };
    let host = &image.host;
    let found = person.act({
        let (tree, host) = (tree.clone(), host.clone());
        move || look(&tree, &folders, &host)
    })?;
    let mut way = Way {
        consumers: vec!["nerdctl"],
        user: Some(person.name.clone()),
        steps: found.steps,
        notes: found.notes,
        by_hand: None,
    };
    if found.open {
        way.steps.extend(docker::steps(
            tree,
            person,
            &docker::file(tree, person),
            &nerdctl_names(host),
        ));
    }
    if let Some(trouble) = found.problem {
        way.notes.push(trouble.problem.to_string());
    }
    Some(way)
}

/// Under which names nerdctl looks for a host, in this order.
fn nerdctl_names(host: &str) -> Vec<String> {
    let bare = host.strip_suffix(":443").unwrap_or(host);
    let mut names = Vec::new();
    if !bare.contains(':') {
        names.extend([
            format!("{bare}:443"),
            format!("https://{bare}:443"),
            format!("http://{bare}:443"),
        ]);
    }
    names.extend([bare.to_owned(), format!("https://{bare}"), format!("http://{bare}")]);
    names
}

/// ctr takes a credential from nowhere: it is told each time.
pub(super) fn ctr(tree: &Tree, image: &Image) -> Option<Way> {
    tree.program("ctr")?;
    let own =
        names(&image.host).iter().any(|name| tree.exists(&Path::new(CERTS).join(name).join(FILE)));
    let by_hand = if own {
        format!(
            "nothing by itself: ctr images pull --hosts-dir {CERTS} IMAGE takes the header there"
        )
    } else {
        format!(
            "nothing; with an [[output]] kind = \"containerd-hosts\": ctr images pull --hosts-dir {CERTS} IMAGE"
        )
    };
    Some(Way { consumers: vec!["ctr"], by_hand: Some(by_hand), ..Way::default() })
}

#[cfg(test)]
mod tests {
    use super::nerdctl_names;

    #[test]
    fn nerdctl_looks_under_the_port_first_and_under_no_other_where_there_is_one() {
        assert_eq!(
            nerdctl_names("h").join(" "),
            "h:443 https://h:443 http://h:443 h https://h http://h"
        );
        assert_eq!(nerdctl_names("h:5000").join(" "), "h:5000 https://h:5000 http://h:5000");
    }
}
