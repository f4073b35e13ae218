//! `credHelpers` in Docker's `config.json`: which registry hosts the client asks our helper for.
//!
//! Docker looks here first (docker/cli, cli/config/configfile/file.go), by the exact host name; a
//! wildcard is not to be had.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    atomic_file::{self, Edit, Next},
    docker_config::{render, three_way},
    location::Location,
};
use crate::{
    consumer::docker::{malformed, parse},
    model::{
        outcome::Problem,
        output::{OutputKind, OutputSpec},
    },
    state_file::{self, Readers},
};

/// The suffix of `docker-credential-ecr-warden`, as the file spells it.
pub const NAME: &str = "ecr-warden";

const KEY: &str = "credHelpers";

/// What became different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Registry hosts that are asked of our helper now.
    pub set: Vec<String>,
    /// Those of them that another helper was asked for before, and which.
    pub instead_of: Vec<(String, String)>,
    /// Registry hosts that are no longer.
    pub removed: Vec<String>,
    /// The file is there no longer: nothing else was in it.
    pub file_gone: bool,
}

/// Has Docker ask our helper for these hosts, and for no others.
pub fn publish(location: &Location, hosts: &[String]) -> Result<Changed, Problem> {
    let Some((place, owner)) = location.open(None, !hosts.is_empty())? else {
        return Ok(Changed::default());
    };
    let edit = Editing { hosts, path: &place.path, done: RefCell::default() };
    atomic_file::update(&place, owner, location.mode(), &edit)?;
    Ok(edit.done.into_inner())
}

struct Editing<'a> {
    hosts: &'a [String],
    path: &'a Path,
    /// Of the last application.
    done: RefCell<Changed>,
}

impl Edit for Editing<'_> {
    fn apply(&self, current: Option<&[u8]>) -> Result<Next, Problem> {
        let mut config = parse(current, self.path)?;
        let mut changed = Changed::default();
        if config.get(KEY).is_none_or(Value::is_null) {
            config.insert(KEY.to_owned(), Value::Object(Map::new()));
        }
        let helpers = config.get_mut(KEY).and_then(Value::as_object_mut);
        let helpers = helpers.ok_or_else(|| malformed(self.path, "credHelpers is no object"))?;
        let is_ours = |value: &Value| value.as_str() == Some(NAME);
        helpers.retain(|host, helper| {
            let keep = !is_ours(helper) || self.hosts.contains(host);
            if !keep {
                changed.removed.push(host.clone());
            }
            keep
        });
        for host in self.hosts {
            match helpers.insert(host.clone(), Value::from(NAME)) {
                Some(before) if is_ours(&before) => {}
                before => {
                    changed.set.push(host.clone());
                    let before = before.and_then(|other| other.as_str().map(str::to_owned));
                    changed.instead_of.extend(before.map(|other| (host.clone(), other)));
                }
            }
        }
        if helpers.is_empty() {
            config.shift_remove(KEY);
        }
        let next = if changed.set.is_empty() && changed.removed.is_empty() {
            Next::Keep
        } else if config.is_empty() {
            changed.file_gone = true;
            Next::Remove
        } else {
            let text = render(&config);
            Next::Write(text.map_err(|error| malformed(self.path, &error.to_string()))?)
        };
        self.done.replace(changed);
        Ok(next)
    }

    fn merge(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let read = |text| parse(Some(text), self.path).map(Value::Object);
        let merged = match three_way(&read(base)?, &read(ours)?, read(theirs)?) {
            Value::Object(merged) => merged,
            _ => Map::new(),
        };
        render(&merged).map_err(|error| malformed(self.path, &error.to_string()))
    }
}

/// Which files have entries of ours, so that they can be taken out again: `setup.json` in the state
/// directory.
#[derive(Debug, Default)]
pub struct Remembered {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    version: u32,
    docker: BTreeSet<File>,
}

/// A `config.json` with entries of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct File {
    /// The user in whose home it may lie; none is whoever ran the set-up.
    pub user: Option<String>,
    /// The file; `~/` stands for the user's home.
    pub path: PathBuf,
}

impl File {
    /// Where it is, on the host whose root is at `prefix`.
    pub fn location(&self, prefix: &Path) -> Location {
        let mut spec = OutputSpec::new("credHelpers", OutputKind::DockerConfig, &self.path);
        spec.owner.clone_from(&self.user);
        Location::new(&spec, prefix)
    }
}

impl Remembered {
    /// What is remembered; nothing if that can't be read.
    pub fn load(state_directory: &Path) -> Self {
        let path = state_directory.join("setup.json");
        let content = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, content: content.unwrap_or_default() }
    }

    /// The files.
    pub fn files(&self) -> Vec<File> {
        self.content.docker.iter().cloned().collect()
    }

    /// A file has entries now.
    pub fn add(&mut self, file: &File) {
        self.content.docker.insert(file.clone());
    }

    /// It has none any more.
    pub fn forget(&mut self, file: &File) {
        self.content.docker.remove(file);
    }

    /// Keeps it.
    pub fn save(&mut self) -> io::Result<()> {
        if self.content.docker.is_empty() {
            return state_file::remove(&self.path).map(|_| ());
        }
        self.content.version = 1;
        state_file::replace(&self.path, &serde_json::to_vec(&self.content)?, Readers::Nobody)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use crate::model::output::OutputKind;

    fn at(root: &Path) -> Location {
        Location::new(&spec(OutputKind::DockerConfig, "/config.json"), root)
    }

    #[test]
    fn our_entries_come_and_go_and_everybody_elses_stay() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.json");
        let text = r#"{"auths":{"x":{"auth":"YTpi"}},"credHelpers":{"gcr.io":"gcloud","a.test":"ecr-login"},"proxies":{}}"#;
        fs::write(&file, text).unwrap();
        let hosts = ["a.test".to_owned(), "b.test".to_owned()];
        let changed = publish(&at(root.path()), &hosts).unwrap();
        assert_eq!(changed.set, hosts);
        assert_eq!(changed.instead_of, [("a.test".to_owned(), "ecr-login".to_owned())]);
        assert_eq!(publish(&at(root.path()), &hosts).unwrap(), Changed::default());
        let only_b = publish(&at(root.path()), &hosts[1..]).unwrap();
        assert_eq!(only_b.removed, ["a.test"]);
        let gone = publish(&at(root.path()), &[]).unwrap();
        assert_eq!(gone.removed, ["b.test"]);
        let left: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let wanted = serde_json::json!({"auths": {"x": {"auth": "YTpi"}}, "credHelpers": {"gcr.io": "gcloud"}, "proxies": {}});
        assert_eq!(left, wanted);
    }

    #[test]
    fn a_file_that_was_made_for_our_entries_goes_with_them() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(publish(&at(root.path()), &[HOST.to_owned()]).unwrap().set, [HOST]);
        assert!(publish(&at(root.path()), &[]).unwrap().file_gone);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(publish(&at(root.path()), &[]).unwrap(), Changed::default());
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.json");
        for text in ["{", "[]", r#"{"credHelpers": []}"#] {
            fs::write(&file, text).unwrap();
            let problem = publish(&at(root.path()), &[HOST.to_owned()]).unwrap_err();
            assert_eq!(problem.reason, crate::model::reason::Reason::OutputMalformed, "{text}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }
}
