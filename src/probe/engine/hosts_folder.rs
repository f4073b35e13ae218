//! Which folder of hosts ctr is given. A credential that stands in containerd's own folder is used
//! from there; one that the kubelet would send goes into a folder of our own, since a program's
//! arguments can be read by everybody.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::{EnginePlan, Offered};
use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// The folder, which goes away with this if it is ours.
pub(super) enum Folder {
    None,
    Theirs(PathBuf),
    Ours(PathBuf),
}

impl Folder {
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Theirs(path) | Self::Ours(path) => Some(path),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Ours(path) = self {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// The folder for a plan and what is offered with it.
pub(super) fn of(plan: &EnginePlan, offered: &Offered) -> Result<Folder, Problem> {
    let theirs = plan.hosts_folder.clone().filter(|folder| folder.is_dir());
    let token = offered.token.as_ref().filter(|_| !offered.stands_in_hosts);
    let Some(token) = token else {
        return Ok(theirs.map_or(Folder::None, Folder::Theirs));
    };
    let path = plan.scratch.join(format!("ecr-warden-{:032x}", fastrand::u128(..)));
    let made = make(&path, plan, token, theirs.as_deref());
    made.map(|()| Folder::Ours(path.clone())).map_err(|error| {
        let _ = fs::remove_dir_all(&path);
        Problem::new(Reason::StateUnwritable, format!("{}: {error}", path.display()))
    })
}

fn make(
    path: &Path,
    plan: &EnginePlan,
    token: &AuthorizationToken,
    theirs: Option<&Path>,
) -> io::Result<()> {
    let host = &plan.image.host;
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(path)?;
    let folder = path.join(host);
    builder.create(&folder)?;
    let text = render(host, token, &authorities(theirs.map(|theirs| theirs.join(host)).as_deref()));
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(folder.join("hosts.toml"))?;
    file.write_all(text.as_bytes())
}

/// The authorities that containerd trusts for the host: the `ca` of its file, else the certificates
/// beside it.
fn authorities(folder: Option<&Path>) -> Vec<PathBuf> {
    let Some(folder) = folder else {
        return Vec::new();
    };
    let text = fs::read_to_string(folder.join("hosts.toml")).unwrap_or_default();
    let named = text
        .parse::<toml_edit::DocumentMut>()
        .ok()
        .and_then(|file| file.get("ca").cloned())
        .map(|ca| match (ca.as_str(), ca.as_array()) {
            (Some(one), _) => vec![one.to_owned()],
            (None, Some(list)) => {
                list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
            }
            (None, None) => Vec::new(),
        })
        .unwrap_or_default();
    if !named.is_empty() {
        return named.iter().map(|one| folder.join(one)).collect();
    }
    let beside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut beside: Vec<PathBuf> =
        beside.filter(|path| path.extension().is_some_and(|end| end == "crt")).collect();
    beside.sort();
    beside
}

fn render(host: &str, token: &AuthorizationToken, authorities: &[PathBuf]) -> Zeroizing<String> {
    let mut file = toml_edit::DocumentMut::new();
    let url = format!("https://{host}");
    let list: toml_edit::Array =
        authorities.iter().map(|path| path.display().to_string()).collect();
    file["server"] = toml_edit::value(&url);
    let mut entry = toml_edit::Table::new();
    entry["capabilities"] = toml_edit::value(toml_edit::Array::from_iter(["pull", "resolve"]));
    if !list.is_empty() {
        file["ca"] = toml_edit::value(list.clone());
        entry["ca"] = toml_edit::value(list);
    }
    let mut header = toml_edit::Table::new();
    header["Authorization"] = toml_edit::value(format!("Basic {}", token.base64().expose_secret()));
    entry["header"] = toml_edit::Item::Table(header);
    let mut hosts = toml_edit::Table::new();
    hosts.set_implicit(true);
    hosts[&url] = toml_edit::Item::Table(entry);
    file["host"] = toml_edit::Item::Table(hosts);
    Zeroizing::new(file.to_string())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn a_folder_of_our_own_has_the_header_and_the_authorities_and_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let theirs = tempfile::tempdir().unwrap();
        fs::create_dir(theirs.path().join("h.example")).unwrap();
        fs::write(theirs.path().join("h.example/ca.crt"), "x").unwrap();
        let token = AuthorizationToken::of("AWS", &SecretString::from("secret"));
        let plan = EnginePlan {
            engine: super::super::Engine::Containerd,
            socket: PathBuf::new(),
            prefix: PathBuf::from("/"),
            image: crate::model::image::ImageRef::parse("h.example/app:1").unwrap(),
            depth: crate::probe::Depth::Manifest,
            platform: crate::model::image::Platform::host(),
            wanted: None,
            timeout: std::time::Duration::ZERO,
            least_free: 0,
            hosts_folder: Some(theirs.path().to_owned()),
            scratch: std::env::temp_dir(),
            notes: None,
        };
        let mut offered = Offered {
            from: String::new(),
            token: Some(token),
            lacking: None,
            stands_in_hosts: false,
        };
        let folder = of(&plan, &offered).unwrap();
        let path = folder.path().unwrap().to_owned();
        let file = path.join("h.example/hosts.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains("Authorization = \"Basic QVdTOnNlY3JldA==\""), "{text}");
        assert!(text.contains("h.example/ca.crt"), "{text}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
        // What stands in containerd's own folder is used from there.
        offered.stands_in_hosts = true;
        assert_eq!(of(&plan, &offered).unwrap().path(), Some(theirs.path()));
        offered.token = None;
        assert!(matches!(of(&plan, &offered), Ok(Folder::Theirs(_))));
    }
}
