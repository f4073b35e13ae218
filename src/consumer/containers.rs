//! `auth.json` of podman, skopeo and buildah (containers/image, pkg/docker/config).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Pick, docker, host_of_url};
use crate::model::{outcome::Problem, reason::Reason};

/// What of a user's surroundings decides where the files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The user's id.
    pub uid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// REGISTRY_AUTH_FILE.
    pub auth_file: Option<PathBuf>,
    /// XDG_RUNTIME_DIR, where it is known.
    pub runtime: Option<PathBuf>,
    /// XDG_CONFIG_HOME.
    pub config_home: Option<PathBuf>,
    /// DOCKER_CONFIG.
    pub docker_config: Option<PathBuf>,
}

/// The runtime files of a user: in a session XDG_RUNTIME_DIR is set, in a service it is not.
pub fn runtime_files(uid: u32) -> [PathBuf; 2] {
    [
        PathBuf::from(format!("/run/user/{uid}/containers/auth.json")),
        PathBuf::from(format!("/run/containers/{uid}/auth.json")),
    ]
}

/// The files in the order in which they are read. REGISTRY_AUTH_FILE stands in place of all.
pub fn files(of: &Surroundings) -> Vec<PathBuf> {
    if let Some(only) = &of.auth_file {
        return vec![only.clone()];
    }
    let mut files = match &of.runtime {
        Some(runtime) => vec![runtime.join("containers/auth.json")],
        None => runtime_files(of.uid).to_vec(),
    };
    let config = of.config_home.clone().unwrap_or_else(|| of.home.join(".config"));
    files.push(config.join("containers/auth.json"));
    let docker = of.docker_config.clone().unwrap_or_else(|| of.home.join(".docker"));
    files.push(docker.join("config.json"));
    files
}

/// The keys under which an image's credential may stand, the most specific first.
fn keys<'a>(host: &'a str, repository: &'a str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = repository;
    while !rest.is_empty() {
        keys.push(format!("{host}/{rest}"));
        rest = rest.rsplit_once('/').map_or("", |(before, _)| before);
    }
    keys.push(host.to_owned());
    keys
}

/// What is taken from one file for an image: the host's helper, else the most specific entry.
pub fn pick(
    config: &Map<String, Value>,
    host: &str,
    repository: &str,
    path: &Path,
) -> Result<Option<Pick>, Problem> {
    let helper = config.get("credHelpers").and_then(|helpers| helpers.get(host)?.as_str());
    if let Some(suffix) = helper.filter(|suffix| !suffix.is_empty()) {
        let at = format!("credHelpers[{host:?}] = {suffix}");
        let (suffix, key) = (suffix.to_owned(), host.to_owned());
        return Ok(Some(Pick::Helper { at, suffix, key }));
    }
    let none = Map::new();
    let auths = config.get("auths").and_then(Value::as_object).unwrap_or(&none);
    let exact = keys(host, repository);
    let exact = exact.iter().find_map(|key| auths.get_key_value(key));
    // A key with a scheme stands for its host.
    let found = exact
        .or_else(|| auths.iter().find(|(key, _)| key.contains("://") && host_of_url(key) == host));
    let Some((key, entry)) = found else {
        return Ok(None);
    };
    if docker::read(entry).is_err_and(|why| why.ends_with("is not base64")) {
        let detail = format!("{}: auths[{key:?}] has an auth that is not base64", path.display());
        return Err(Problem::new(Reason::CredentialMalformed, detail));
    }
    // Decoded but without a user and password, it is passed over.
    Ok(docker::taken(key, entry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picked(config: &Value) -> Option<String> {
        let pick = pick(config.as_object().unwrap(), "h.example", "ns/app", Path::new("/a"));
        pick.unwrap().map(|pick| match pick {
            Pick::Basic { at, .. } | Pick::Helper { at, .. } | Pick::Other { at } => at,
        })
    }

    #[test]
    fn the_most_specific_key_wins_and_a_helper_of_the_host_before_all() {
        let auth = json!({ "auth": "QVdTOnA=" });
        let mut config = json!({ "credsStore": "pass", "auths": {
            "h.example": &auth, "h.example/ns": &auth, "h.example/ns/app": &auth, "h.example/n": &auth
        }});
        for key in ["h.example/ns/app", "h.example/ns", "h.example"] {
            assert_eq!(picked(&config), Some(format!("auths[{key:?}]")));
            config["auths"].as_object_mut().unwrap().shift_remove(key);
        }
        assert_eq!(picked(&config), None, "neither another namespace nor credsStore counts");
        config["auths"]["https://h.example/v1"] = auth;
        assert!(picked(&config).is_some());
        config["credHelpers"] = json!({ "h.example": "x" });
        assert_eq!(picked(&config), Some("credHelpers[\"h.example\"] = x".to_owned()));
    }

    #[test]
    fn an_explicit_file_stands_in_place_of_all_others() {
        let mut of = Surroundings { uid: 7, home: "/home/u".into(), ..Surroundings::default() };
        let shown: Vec<_> = files(&of).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            shown,
            [
                "/run/user/7/containers/auth.json",
                "/run/containers/7/auth.json",
                "/home/u/.config/containers/auth.json",
                "/home/u/.docker/config.json"
            ]
        );
        of.auth_file = Some("/etc/auth.json".into());
        assert_eq!(files(&of), [PathBuf::from("/etc/auth.json")]);
    }
}
