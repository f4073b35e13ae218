//! containerd's `hosts.toml`, one folder a registry host (containerd, docs/hosts.md; core/remotes/
//! docker/config/hosts.go).
//!
//! The layout fails open: a `[host]` entry with the header comes first, the same registry without
//! one is the `server`. When the header has expired, ECR answers 403, containerd goes on to the
//! next entry, and there the node's own credentials (the kubelet's) count.

mod hosts_toml;
mod ignored;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use rustix::fs::AtFlags;

use self::hosts_toml::HostsToml;
use super::{
    Entries, Output, Ownership, Published, Seen,
    file::{self, all_missing},
    location::Location,
};
use crate::{
    consumer::containerd::{DEFAULT, FILE, names},
    model::{outcome::Problem, reason::Reason},
};

/// The folder `certs.d` of a containerd.
pub struct ContainerdHosts {
    location: Location,
    ignored: Mutex<ignored::Known>,
}

impl ContainerdHosts {
    /// Nothing is looked at yet.
    pub fn new(location: Location) -> Self {
        Self { location, ignored: Mutex::default() }
    }

    /// The folder that containerd takes for a host: the first of these that exists, whatever is
    /// in it.
    fn folder(&self, host: &str) -> Result<(PathBuf, bool), Problem> {
        let (root, _) = self.location.resolve()?;
        let here = self.location.here(&root);
        let names = names(host);
        let found = names.iter().find(|name| here.join(name).is_dir());
        Ok((PathBuf::from(found.unwrap_or(&names[0])), found.is_some()))
    }

    /// The file to begin with where there is none: that of `_default`, which a new folder hides.
    fn beginning(&self, folder: &Path, exists: bool) -> Result<Option<String>, Problem> {
        let (root, _) = self.location.resolve()?;
        let here = self.location.here(&root);
        let (looked, hidden) =
            if exists { (folder, folder) } else { (DEFAULT.as_ref(), DEFAULT.as_ref()) };
        let text = match fs::read_to_string(here.join(looked).join(FILE)) {
            Ok(text) => return Ok((!exists).then_some(text)),
            Err(_) => None,
        };
        // Without a hosts.toml containerd loads the certificates that lie there.
        let certificates = fs::read_dir(here.join(hidden)).into_iter().flatten().flatten();
        let certificate = certificates.map(|entry| entry.path()).find(|path| {
            path.extension().is_some_and(|end| ["crt", "cert", "key"].iter().any(|one| end == *one))
        });
        match certificate {
            Some(path) => Err(Problem::new(
                Reason::OutputHidesSettings,
                format!("{} would no longer be loaded", path.display()),
            )),
            None => Ok(text),
        }
    }

    fn format(&self, host: &str) -> Result<(HostsToml, PathBuf), Problem> {
        let (folder, exists) = self.folder(host)?;
        let beginning = self.beginning(&folder, exists)?;
        Ok((HostsToml { host: host.to_owned(), beginning }, folder))
    }

    /// Removes the folder of a host once nothing is in it: it would hide `_default`.
    fn remove_folder(&self, folder: &Path) {
        // Any name leads to the folder above.
        if let Ok(Some((place, _))) = self.location.open(Some(Path::new(".ecr-warden")), false) {
            let _ = rustix::fs::unlinkat(&place.folder, folder, AtFlags::REMOVEDIR);
        }
    }
}

impl Output for ContainerdHosts {
    fn publish(&self, entries: &Entries, withdraw: &Ownership) -> Result<Published, Problem> {
        let mut all = Published::default();
        let mut first = None;
        let hosts =
            entries.keys().chain(withdraw.keys().filter(|host| !entries.contains_key(*host)));
        for host in hosts {
            let one = Entries::from_iter(
                entries.get_key_value(host).map(|(host, token)| (host.clone(), token.clone())),
            );
            let ours = Ownership::from_iter(
                withdraw.get_key_value(host).map(|(host, prints)| (host.clone(), prints.clone())),
            );
            let published = self.format(host).and_then(|(format, folder)| {
                let below = folder.join(FILE);
                let published = file::publish(&self.location, Some(&below), &format, &one, &ours)?;
                if !published.removed.is_empty() {
                    self.remove_folder(&folder);
                }
                Ok(published)
            });
            // One host's trouble must not keep the others from their credential.
            match published {
                Ok(published) => all.add(published),
                Err(problem) => first = first.or(Some(problem)),
            }
        }
        first.map_or(Ok(all), Err)
    }

    fn files(&self, hosts: &[String]) -> Vec<PathBuf> {
        let below = |host: &String| {
            let (folder, _) = self.folder(host).ok()?;
            let (root, _) = self.location.resolve().ok()?;
            Some(self.location.here(&root).join(folder).join(FILE))
        };
        hosts.iter().filter_map(below).collect()
    }

    fn read_back(&self, entries: &Entries) -> Result<BTreeMap<String, Seen>, Problem> {
        let (root, _) = self.location.resolve()?;
        let mut seen = BTreeMap::new();
        for (host, token) in entries {
            let one = Entries::from([(host.clone(), token.clone())]);
            let (folder, exists) = self.folder(host)?;
            if exists {
                let format = HostsToml { host: host.clone(), beginning: None };
                seen.extend(file::read_back(
                    &self.location,
                    Some(&folder.join(FILE)),
                    &format,
                    &one,
                )?);
            } else {
                seen.extend(all_missing(&one, "there is no folder of that name"));
            }
        }
        let mut known = self.ignored.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(problem) = known.look(&self.location.here(Path::new("/")), &root) {
            for seen in seen.values_mut() {
                *seen = Seen::NotOurs(problem.clone());
            }
        }
        Ok(seen)
    }
}

#[cfg(test)]
mod tests;
