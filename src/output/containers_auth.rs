//! `auth.json` of podman, skopeo and buildah (containers/image, docker/config).
//!
//! They read `containers/auth.json` below the runtime directory first (which a reboot empties),
//! then below `~/.config`, then Docker's file; a `REGISTRY_AUTH_FILE` replaces all of them. Keys may
//! be namespaced, and a more specific one wins for its images: those are others' and stay.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Entries, Output, Ownership, Published, Seen, docker_config::Auths, file, location::Location,
};
use crate::{
    consumer::containers,
    model::{outcome::Problem, reason::Reason},
};

/// The containers tools' file of one user.
pub struct ContainersAuth {
    location: Location,
}

impl ContainersAuth {
    /// Nothing is looked at yet.
    pub fn new(location: Location) -> Self {
        Self { location }
    }

    /// Files that are read before the one below `~/.config`, and the registries in them.
    fn read_earlier(&self) -> Result<Vec<(PathBuf, Vec<String>)>, Problem> {
        let (path, owner) = self.location.resolve()?;
        if !path.ends_with(".config/containers/auth.json") {
            return Ok(Vec::new());
        }
        Ok(containers::runtime_files(owner.uid)
            .into_iter()
            .filter_map(|path| {
                let text = std::fs::read(self.location.here(&path)).ok()?;
                let json: Value = serde_json::from_slice(&text).ok()?;
                let of = |key: &str| -> Vec<String> {
                    let entries = json.get(key).and_then(Value::as_object);
                    entries.map(|all| all.keys().cloned().collect()).unwrap_or_default()
                };
                Some((path, [of("auths"), of("credHelpers")].concat()))
            })
            .collect())
    }
}

impl Output for ContainersAuth {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        file::publish(&self.location, None, &Auths::Containers, entries, withdraw)
    }

    fn files(&self, _hosts: &[String]) -> Vec<PathBuf> {
        self.location.files()
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        let mut seen = file::read_back(&self.location, None, &Auths::Containers, entries)?;
        for (path, hosts) in self.read_earlier()? {
            for (host, seen) in &mut seen {
                if hosts.contains(host) {
                    *seen = shadowed(&path, host);
                }
            }
        }
        Ok(seen)
    }
}

fn shadowed(path: &Path, host: &str) -> Seen {
    let detail = format!("{} has an entry for {host}", path.display());
    Seen::NotOurs(Problem::new(Reason::OutputShadowedByFile, detail))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use crate::model::output::OutputKind;

    #[test]
    fn an_earlier_file_with_the_same_registry_is_named() {
        let root = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let path = "/home/.config/containers/auth.json";
        let output = built(&spec(OutputKind::ContainersAuth, path), root.path());
        let wanted = entries("p");
        let _ = output.publish(&wanted, &Ownership::new()).unwrap();
        assert!(matches!(output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. }));
        let earlier = root.path().join(format!("run/containers/{uid}"));
        std::fs::create_dir_all(&earlier).unwrap();
        std::fs::write(earlier.join("auth.json"), format!("{{\"auths\":{{\"{HOST}\":{{}}}}}}"))
            .unwrap();
        let Seen::NotOurs(problem) = &output.read_back(&wanted).unwrap()[HOST] else {
            panic!("it is shadowed");
        };
        assert_eq!(problem.reason, Reason::OutputShadowedByFile);
        assert!(problem.detail.contains(&format!("/run/containers/{uid}/auth.json")));
    }

    #[test]
    fn a_key_for_one_repository_and_what_docker_would_obey_stay_and_do_not_matter() {
        let root = tempfile::tempdir().unwrap();
        let text = format!(
            "{{\"credsStore\":\"x\",\"auths\":{{\"{HOST}/app/web\":{{\"auth\":\"dGhlaXJz\"}}}}}}"
        );
        std::fs::write(root.path().join("auth.json"), text).unwrap();
        let output = built(&spec(OutputKind::ContainersAuth, "/auth.json"), root.path());
        let wanted = entries("p");
        let _ = output.publish(&wanted, &Ownership::new()).unwrap();
        assert!(matches!(output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. }));
        let text = std::fs::read_to_string(root.path().join("auth.json")).unwrap();
        assert!(text.contains("dGhlaXJz") && text.contains("credsStore"), "{text}");
    }
}
