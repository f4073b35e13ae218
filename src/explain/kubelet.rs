//! The kubelet: its credential providers, then the files of Docker's form that it reads.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::json;

use super::{
    Credential, Image, Step, Trouble, Way, helper,
    look::{Person, Tree},
    unread,
};
use crate::{
    consumer::{
        Pick, docker,
        kubelet::{BIN_FLAG, CONFIG_FLAG, Provider, flag, matches, parse},
    },
    model::{outcome::Problem, reason::Reason, token::AuthorizationToken},
};

/// Where the kubelet's flags are written, the last one counts.
const FLAGS: [&str; 8] = [
    "/lib/systemd/system/kubelet.service",
    "/usr/lib/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/kubernetes/kubelet/environment",
    "/etc/eks/kubelet/environment",
    "/var/lib/kubelet/kubeadm-flags.env",
];

const DROPINS: [&str; 3] = [
    "/lib/systemd/system/kubelet.service.d",
    "/usr/lib/systemd/system/kubelet.service.d",
    "/etc/systemd/system/kubelet.service.d",
];

/// Files of Docker's form that the kubelet reads without being told (kubernetes.io, "Configuring
/// nodes to authenticate to a private registry").
const FILES: [&str; 3] =
    ["/var/lib/kubelet/config.json", "/root/.docker/config.json", "/.docker/config.json"];

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Its way, if it is on this host.
pub(super) fn way(tree: &Tree, root: &Person, image: &Image) -> Option<Way> {
    let present = tree.program("kubelet").is_some()
        || tree.exists(Path::new("/var/lib/kubelet/config.yaml"))
        || FLAGS[..3].iter().any(|unit| tree.exists(Path::new(unit)));
    if !present {
        return None;
    }
    let mut way = Way { consumers: vec!["kubelet"], ..Way::default() };
    let (config, folder) = flags(tree);
    let mut providers: Vec<(PathBuf, Provider)> = Vec::new();
    for file in config.iter().flat_map(|config| files(tree, config)) {
        match tree
            .read(&file)
            .and_then(|text| parse(text.as_deref().map_or(b"", Vec::as_slice), &file))
        {
            Ok(read) => providers.extend(read.providers.into_iter().map(|one| (file.clone(), one))),
            Err(problem) => {
                way.steps.push(Step::new(file.display().to_string(), unread(root, problem)));
            }
        }
    }
    let wanted = format!("{}/{}", image.host, image.repository);
    for (file, provider) in &providers {
        let Some(pattern) = provider.match_images.iter().find(|pattern| matches(pattern, &wanted))
        else {
            continue;
        };
        let from = format!("{}: provider {} ({pattern})", file.display(), provider.name);
        way.steps.push(Step::new(from, ask(tree, root, provider, folder.as_deref(), &wanted)));
    }
    for file in FILES.map(Path::new) {
        let Ok(Some(text)) = tree.read(file) else { continue };
        let picked = docker::parse(Some(&text), file).map(|mut config| {
            // The kubelet runs no helper of that file.
            config.shift_remove("credHelpers");
            config.shift_remove("credsStore");
            docker::pick(&config, &image.host, file).ok().flatten()
        });
        if let Ok(Some(Pick::Basic { at, token })) = picked {
            way.steps
                .push(Step::new(format!("{}: {at}", file.display()), Credential::Token(token)));
        }
    }
    if way.steps.is_empty() {
        let (from, detail) = match &config {
            None => {
                ("no provider".to_owned(), format!("the kubelet is started without {CONFIG_FLAG}"))
            }
            Some(config) => {
                let patterns: Vec<&str> = providers
                    .iter()
                    .flat_map(|(_, one)| one.match_images.iter().map(String::as_str))
                    .collect();
                let shown = config.display();
                (shown.to_string(), format!("{shown}: matchImages has {}", list(&patterns)))
            }
        };
        let fix = match &config {
            None => format!(
                "start it with {CONFIG_FLAG} and {BIN_FLAG}; `ecr-warden setup kubelet` prints the file"
            ),
            Some(config) => format!(
                "add \"{}\" to matchImages in {}, and restart the kubelet",
                image.host,
                config.display()
            ),
        };
        let problem = Problem::new(Reason::KubeletNoMatch, detail);
        way.steps.push(Step::bad(from, Trouble::new(problem).fix(fix)));
    }
    if !way.steps.iter().any(|step| matches!(step.credential, Credential::Token(_))) {
        way.notes.push("imagePullSecrets, which belong to pods, are not looked at".to_owned());
    }
    Some(way)
}

fn list(patterns: &[&str]) -> String {
    if patterns.is_empty() { "nothing".to_owned() } else { patterns.join(", ") }
}

/// The configuration of the providers and the folder of their programs, as the running kubelet was
/// told, else as its files tell the next one.
fn flags(tree: &Tree) -> (Option<PathBuf>, Option<PathBuf>) {
    let (mut config, mut folder) = (None, None);
    let mut look = |text: &str| {
        config = flag(text, CONFIG_FLAG).or(config.take());
        folder = flag(text, BIN_FLAG).or(folder.take());
    };
    for file in FLAGS {
        look(&tree.text(file));
    }
    for dropins in DROPINS {
        for name in tree.names(Path::new(dropins)) {
            look(&tree.text(&format!("{dropins}/{name}")));
        }
    }
    for process in tree.names(Path::new("/proc")) {
        if process.bytes().all(|byte| byte.is_ascii_digit())
            && tree.text(&format!("/proc/{process}/comm")).trim() == "kubelet"
        {
            look(&tree.text(&format!("/proc/{process}/cmdline")));
        }
    }
    (config.map(PathBuf::from), folder.map(PathBuf::from))
}

/// The files of the configuration: it may be a folder of them.
fn files(tree: &Tree, config: &Path) -> Vec<PathBuf> {
    if !tree.is_folder(config) {
        return vec![config.to_owned()];
    }
    let names = tree.names(config).into_iter().map(|name| config.join(name));
    names
        .filter(|path| {
            path.extension()
                .is_some_and(|end| ["json", "yaml", "yml"].iter().any(|one| end == *one))
        })
        .collect()
}

/// Asks a provider as the kubelet would.
fn ask(
    tree: &Tree,
    root: &Person,
    provider: &Provider,
    folder: Option<&Path>,
    image: &str,
) -> Credential {
    let name = &provider.name;
    let trouble = |reason, detail: String| Trouble::new(Problem::new(reason, detail));
    let Some(folder) = folder else {
        let detail = format!("{BIN_FLAG} is not set, so {name} is not found");
        return Credential::Bad(
            trouble(Reason::HelperMissing, detail)
                .fix(format!("start the kubelet with {BIN_FLAG}")),
        );
    };
    if name.contains('/') {
        return Credential::Bad(trouble(
            Reason::HelperMissing,
            format!("{name} is no program's name"),
        ));
    }
    let Some(program) = tree.program_in(&[folder.to_owned()], name) else {
        let detail = format!("there is no {name} in {}", folder.display());
        return Credential::Bad(
            trouble(Reason::HelperMissing, detail)
                .fix(format!("install {name} in {}", folder.display())),
        );
    };
    if provider.token_attributes.is_some() {
        let detail = format!("{name} wants a service account's token, which only the kubelet has");
        return Credential::Unknown(trouble(Reason::CredentialUntried, detail));
    }
    let version = if provider.api_version.is_empty() {
        "credentialprovider.kubelet.k8s.io/v1"
    } else {
        &provider.api_version
    };
    let request =
        json!({ "apiVersion": version, "kind": "CredentialProviderRequest", "image": image });
    let variables: Vec<(String, OsString)> = provider
        .env
        .iter()
        .flatten()
        .map(|one| (one.name.clone(), OsString::from(&one.value)))
        .collect();
    let arguments = provider.args.clone().unwrap_or_default();
    let ended = match helper::run(
        tree,
        root,
        &program,
        &arguments,
        request.to_string().as_bytes(),
        &variables,
    ) {
        Ok(ended) => ended,
        Err(credential) => return credential,
    };
    let shown = program.display();
    let fix = format!("run it by hand as root: echo '{request}' | {shown}");
    if !ended.status.is_some_and(|status| status.success()) {
        let detail = format!("{shown}: {}", helper::words(&ended.err));
        return Credential::Bad(trouble(Reason::HelperFailed, detail).fix(fix));
    }
    let Ok(response) = serde_json::from_slice::<Response>(&ended.out) else {
        let detail = format!("{shown}: its answer is no CredentialProviderResponse");
        return Credential::Bad(trouble(Reason::HelperFailed, detail).fix(fix));
    };
    let auth = response.auth.unwrap_or_default();
    let found = auth.into_iter().find(|(pattern, _)| matches(pattern, image));
    match found {
        Some((_, auth)) if !auth.username.is_empty() && !auth.password.is_empty() => {
            Credential::Token(AuthorizationToken::of(&auth.username, &auth.password.into()))
        }
        _ => {
            let detail = format!("{shown} answers without a credential for {image}");
            Credential::Bad(trouble(Reason::CredentialAbsent, detail).fix(fix))
        }
    }
}
