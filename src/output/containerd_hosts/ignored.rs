//! Whether this host's containerd would look into the folder at all: `containerd config dump`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use toml_edit::{DocumentMut, Item, TableLike};

use crate::model::{outcome::Problem, reason::Reason};

/// What the last look came to, until containerd's own files change.
#[derive(Default)]
pub(super) struct Known {
    of: Option<Vec<Option<SystemTime>>>,
    problem: Option<Problem>,
}

impl Known {
    /// Asks containerd for its configuration if something about it has changed.
    pub(super) fn look(&mut self, root: &Path, folder: &Path) -> Option<Problem> {
        // Another root's containerd can't be run from here.
        if root != Path::new("/") {
            return None;
        }
        let program = ["/usr/bin/containerd", "/usr/local/bin/containerd", "/bin/containerd"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())?;
        let files = [
            &program,
            Path::new("/etc/containerd/config.toml"),
            Path::new("/etc/containerd/conf.d"),
        ]
        .map(|path| path.metadata().and_then(|about| about.modified()).ok());
        if self.of.as_deref() != Some(&files) {
            self.problem = dump(&program).and_then(|text| problem(&text, folder));
            self.of = Some(files.to_vec());
        }
        self.problem.clone()
    }
}

fn dump(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .args(["config", "dump"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

/// What in containerd's configuration makes its CRI plugin (the kubelet's way) ignore `folder`.
pub(super) fn problem(dump: &str, folder: &Path) -> Option<Problem> {
    let document: DocumentMut = dump.parse().ok()?;
    let disabled = document.get("disabled_plugins").and_then(Item::as_array);
    let is_disabled = |name: &str| {
        disabled.is_some_and(|list| list.iter().any(|plugin| plugin.as_str() == Some(name)))
    };
    let plugins = document.get("plugins")?.as_table_like()?;
    // Version 3 of the file (containerd 2), else version 2.
    let (name, plugin) = ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"]
        .into_iter()
        .find_map(|name| Some((name, plugins.get(name)?.as_table_like()?)))?;
    if is_disabled(name) || is_disabled("io.containerd.grpc.v1.cri") {
        return None;
    }
    let registry = plugin.get("registry")?.as_table_like()?;
    let config_path = registry.get("config_path").and_then(Item::as_str).unwrap_or_default();
    let at = format!("plugins.'{name}'.registry");
    let shown = folder.display();
    if config_path.is_empty() {
        let detail = format!("{at}.config_path is not set; it should be \"{shown}\"");
        return Some(Problem::new(Reason::ContainerdNoConfigPath, detail));
    }
    let folders: Vec<&str> = config_path.split(':').collect();
    if !folders.iter().any(|one| Path::new(one) == folder) {
        let detail = format!("{at}.config_path is {config_path:?}, this output writes {shown}");
        return Some(Problem::new(Reason::ContainerdOtherPath, detail));
    }
    // 2.1 and later pull through the transfer service, which takes the list for one folder.
    let transfer = plugin.get("use_local_image_pull").and_then(Item::as_bool) == Some(false);
    if folders.len() > 1 && transfer && !falls_back_to_local(plugin) {
        let detail = format!("{at}.config_path is {config_path:?}");
        return Some(Problem::new(Reason::ContainerdPathList, detail));
    }
    static_credential(registry, &at)
}

/// The settings for which containerd itself gives up the transfer service.
fn falls_back_to_local(plugin: &dyn TableLike) -> bool {
    let registry = plugin.get("registry").and_then(Item::as_table_like);
    let set = |key: &str| {
        registry
            .and_then(|registry| registry.get(key)?.as_table_like())
            .is_some_and(|table| !table.is_empty())
    };
    let flag = |key: &str| plugin.get(key).and_then(Item::as_bool);
    set("mirrors")
        || set("configs")
        || set("auths")
        || flag("disable_snapshot_annotations") == Some(false)
        || flag("discard_unpacked_layers") == Some(true)
        || flag("image_pull_with_sync_fs") == Some(true)
        || plugin.get("max_concurrent_downloads").and_then(Item::as_integer).is_some_and(|n| n != 3)
}

/// Credentials in the configuration itself, which is read only when containerd starts.
fn static_credential(registry: &dyn TableLike, at: &str) -> Option<Problem> {
    if let Some(headers) = registry.get("headers").and_then(Item::as_table_like)
        && headers.contains_key("Authorization")
    {
        let detail = format!("{at}.headers has Authorization: two values would be sent");
        return Some(Problem::new(Reason::ContainerdStaticCredential, detail));
    }
    let configs = registry.get("configs")?.as_table_like()?;
    let host = configs.iter().find_map(|(host, config)| {
        let auth = config.as_table_like()?.get("auth")?.as_table_like()?;
        (host.contains(".dkr") && !auth.is_empty()).then(|| host.to_owned())
    })?;
    let detail = format!("{at}.configs.{host:?}.auth");
    Some(Problem::new(Reason::ContainerdStaticCredential, detail))
}
