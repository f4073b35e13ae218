//! containerd's CRI plugin (internal/cri/config; core/remotes/docker/config/hosts.go): which
//! folders it looks into for a registry, and what it finds there.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike};

use super::host_of_url;
use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// The file in a host's folder.
pub const FILE: &str = "hosts.toml";

/// The folder of all hosts that have none of their own.
pub const DEFAULT: &str = "_default";

/// Exactly so: containerd does not canonicalise the names of headers.
pub const HEADER: &str = "Authorization";

/// What a containerd of 2.2 and later looks into when nothing is set.
const NEWER_DEFAULT: &str = "/etc/containerd/certs.d:/etc/docker/certs.d";

/// How containerd spells a host's own folder, in the order in which it looks; `_default` is last.
pub fn names(host: &str) -> Vec<String> {
    match host.split_once(':') {
        Some((name, port)) => vec![format!("{name}_{port}_"), host.to_owned()],
        None => vec![host.to_owned()],
    }
}

/// Whether the CRI plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plugin {
    /// It has settings and is not switched off.
    Listed,
    /// It has no settings: in a dump that means that it is not built in.
    #[default]
    Unlisted,
    /// It is switched off.
    Disabled,
}

/// What of the CRI plugin's configuration decides about credentials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cri {
    /// The table of the registry settings, for messages.
    pub at: String,
    /// `config_path` as it is written.
    pub config_path: String,
    /// The folders as containerd takes them.
    pub folders: Vec<String>,
    /// It takes a list for one folder.
    pub list_is_one: bool,
    /// Its `headers` has an Authorization, which is sent besides every other.
    pub header: bool,
    /// Hosts with a credential in `configs`; none where it is of another kind than user and
    /// password.
    pub configs: Vec<(String, Option<AuthorizationToken>)>,
    /// Whether the plugin runs at all.
    pub plugin: Plugin,
}

impl Cri {
    /// Reads `containerd config dump`, or the file itself, where a default is not written.
    pub fn of(text: &str) -> Option<Self> {
        let document: DocumentMut = text.parse().ok()?;
        let disabled = document.get("disabled_plugins").and_then(Item::as_array);
        let is_disabled = |name: &str| {
            disabled.is_some_and(|list| list.iter().any(|plugin| plugin.as_str() == Some(name)))
        };
        let version = document.get("version").and_then(Item::as_integer).unwrap_or(1);
        let plugins = document.get("plugins").and_then(Item::as_table_like);
        // Version 3 of the file (containerd 2), else version 2.
        let (name, plugin) = ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"]
            .into_iter()
            .find_map(|name| Some((name, plugins?.get(name)?.as_table_like()?)))
            .map_or(("io.containerd.grpc.v1.cri", None), |(name, plugin)| (name, Some(plugin)));
        let registry = plugin.and_then(|plugin| plugin.get("registry")?.as_table_like());
        let get = |key: &str| registry.and_then(|registry| registry.get(key));
        let unset = if version >= 4 && get("mirrors").is_none() { NEWER_DEFAULT } else { "" };
        let config_path = get("config_path").and_then(Item::as_str).unwrap_or(unset).to_owned();
        // 2.1 and later pull through the transfer service, which takes the list for one folder.
        let transfer = plugin.is_some_and(|plugin| {
            plugin.get("use_local_image_pull").and_then(Item::as_bool) == Some(false)
                && !falls_back_to_local(plugin)
        });
        let list_is_one = transfer && config_path.contains(':');
        let folders = match config_path.as_str() {
            "" => Vec::new(),
            path if list_is_one => vec![path.to_owned()],
            path => path.split(':').map(str::to_owned).collect(),
        };
        let header = get("headers")
            .and_then(Item::as_table_like)
            .is_some_and(|headers| headers.contains_key(HEADER));
        Some(Self {
            at: format!("plugins.'{name}'.registry"),
            config_path,
            folders,
            list_is_one,
            header,
            configs: get("configs")
                .and_then(Item::as_table_like)
                .map(credentials)
                .unwrap_or_default(),
            plugin: if [name, "io.containerd.grpc.v1.cri", "cri"].into_iter().any(is_disabled) {
                Plugin::Disabled
            } else if plugin.is_some() {
                Plugin::Listed
            } else {
                Plugin::Unlisted
            },
        })
    }

    /// What makes it ignore the hosts in `folder`.
    pub fn ignores(&self, folder: &Path) -> Option<Problem> {
        let (at, shown, config_path) = (&self.at, folder.display(), &self.config_path);
        if config_path.is_empty() {
            let detail = format!("{at}.config_path is not set; it should be \"{shown}\"");
            return Some(Problem::new(Reason::ContainerdNoConfigPath, detail));
        }
        if !config_path.split(':').any(|one| Path::new(one) == folder) {
            let detail = format!("{at}.config_path is {config_path:?}, not {shown}");
            return Some(Problem::new(Reason::ContainerdOtherPath, detail));
        }
        if self.list_is_one {
            let detail = format!("{at}.config_path is {config_path:?}");
            return Some(Problem::new(Reason::ContainerdPathList, detail));
        }
        None
    }

    /// A credential in the configuration itself, which is read only when containerd starts.
    pub fn static_credential(&self) -> Option<Problem> {
        let detail = if self.header {
            format!("{}.headers has {HEADER}: two values would be sent", self.at)
        } else {
            let (host, _) = self.configs.iter().find(|(host, _)| host.contains(".dkr"))?;
            format!("{}.configs.{host:?}.auth", self.at)
        };
        Some(Problem::new(Reason::ContainerdStaticCredential, detail))
    }
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

fn credentials(configs: &dyn TableLike) -> Vec<(String, Option<AuthorizationToken>)> {
    let read = |config: &Item| {
        let auth = config.as_table_like()?.get("auth")?.as_table_like()?;
        if auth.is_empty() {
            return None;
        }
        let word = |key: &str| auth.get(key).and_then(Item::as_str).filter(|word| !word.is_empty());
        let whole =
            word("auth").and_then(|auth| AuthorizationToken::new(auth.to_owned().into()).ok());
        Some(whole.or_else(|| {
            Some(AuthorizationToken::of(word("username")?, &word("password")?.to_owned().into()))
        }))
    };
    configs.iter().filter_map(|(host, config)| Some((host.to_owned(), read(config)?))).collect()
}

/// The Authorization header of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Header {
    /// There is none.
    None,
    /// One Basic credential.
    Basic(AuthorizationToken),
    /// Something else, or several values.
    Other,
}

/// One place that a `hosts.toml` sends containerd to.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its host name.
    pub host: String,
    /// What stands in the header.
    pub header: Header,
}

/// The places that containerd asks for a pull from `host`, in order: the `[host]` entries, then
/// the `server`, which is the registry itself where none is named. A file that containerd can't
/// read counts for it as none, and so says this.
pub fn entries(text: &str, host: &str, path: &Path) -> Result<Vec<Entry>, Problem> {
    let malformed =
        |why: String| Problem::new(Reason::OutputMalformed, format!("{}: {why}", path.display()));
    let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        // Its words may quote the text, which may be a secret: only the place is told.
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        malformed(format!("no TOML at line {line}"))
    })?;
    let mut found = Vec::new();
    let hosts = document.get("host").and_then(Item::as_table_like);
    for (url, item) in hosts.iter().flat_map(|hosts| hosts.iter()) {
        let table =
            item.as_table_like().ok_or_else(|| malformed(format!("host.{url:?} is no table")))?;
        if pulls(table)
            .map_err(|what| malformed(format!("host.{url:?} has the capability {what:?}")))?
        {
            found
                .push(Entry { host: host_of_url(url).to_ascii_lowercase(), header: header(table) });
        }
    }
    let server = document.get("server").and_then(Item::as_str);
    // Without a server the root's own capabilities do not count.
    if pulls(document.as_table())
        .map_err(|what| malformed(format!("it has the capability {what:?}")))?
        || server.is_none()
    {
        let server = server.map_or(host, host_of_url).to_ascii_lowercase();
        found.push(Entry { host: server, header: header(document.as_table()) });
    }
    Ok(found)
}

/// Whether an entry serves pulls; an unknown capability makes containerd drop the whole file.
fn pulls(table: &dyn TableLike) -> Result<bool, String> {
    let Some(capabilities) = table.get("capabilities").and_then(Item::as_array) else {
        return Ok(true);
    };
    let words: Vec<&str> = capabilities.iter().filter_map(|word| word.as_str()).collect();
    if let Some(unknown) = words.iter().find(|word| !["pull", "resolve", "push"].contains(word)) {
        return Err((*unknown).to_owned());
    }
    Ok(words.is_empty() || (words.contains(&"pull") && words.contains(&"resolve")))
}

fn header(table: &dyn TableLike) -> Header {
    let headers = table.get("header").and_then(Item::as_table_like);
    let Some(value) = headers.and_then(|headers| headers.get(HEADER)) else {
        return Header::None;
    };
    let text = match value.as_array() {
        Some(list) if list.len() == 1 => list.get(0).and_then(|one| one.as_str()),
        Some(_) => None,
        None => value.as_str(),
    };
    let basic = text.and_then(|text| text.strip_prefix("Basic "));
    let token =
        basic.and_then(|basic| AuthorizationToken::new(basic.trim().to_owned().into()).ok());
    token.map_or(Header::Other, Header::Basic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "h.example";

    fn shown(text: &str) -> Result<Vec<String>, Reason> {
        let found = entries(text, HOST, Path::new("/h")).map_err(|problem| problem.reason)?;
        Ok(found
            .iter()
            .map(|entry| match &entry.header {
                Header::None => entry.host.clone(),
                Header::Other => format!("{} other", entry.host),
                Header::Basic(token) => format!("{} {}", entry.host, token.user()),
            })
            .collect())
    }

    #[test]
    fn the_entries_come_in_the_files_order_and_the_server_last() {
        assert_eq!(shown(""), Ok(vec!["h.example".into()]));
        let text = "server = \"https://h.example\"\n[host.\"https://mirror\"]\n[host.\"https://h.example\"]\ncapabilities = [\"pull\", \"resolve\"]\n[host.\"https://h.example\".header]\nAuthorization = \"Basic QVdTOnA=\"\n";
        assert_eq!(
            shown(text),
            Ok(vec!["mirror".into(), "h.example AWS".into(), "h.example".into()])
        );
        assert_eq!(
            shown("[header]\nAuthorization = [\"Bearer x\"]\n"),
            Ok(vec!["h.example other".into()])
        );
        assert_eq!(
            shown(
                "server = \"https://other\"\n[host.\"https://h.example\"]\ncapabilities = [\"push\"]"
            ),
            Ok(vec!["other".into()])
        );
    }

    #[test]
    fn what_containerd_cannot_read_is_named() {
        for text in ["server = ", "[host.\"https://h\"]\ncapabilities = [\"fetch\"]"] {
            assert_eq!(shown(text), Err(Reason::OutputMalformed), "{text}");
        }
    }

    #[test]
    fn a_list_is_one_folder_where_the_transfer_service_pulls() {
        let dump = |more: &str| {
            Cri::of(&format!("version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\n{more}\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n")).unwrap()
        };
        assert_eq!(dump("").folders, ["/a:/b"]);
        assert_eq!(dump("discard_unpacked_layers = true").folders, ["/a", "/b"]);
        assert_eq!(Cri::of("version = 2").unwrap().folders, [""; 0]);
        assert_eq!(Cri::of("version = 4").unwrap().folders.len(), 2);
    }

    proptest! {
        #[test]
        fn no_text_is_a_problem(text in "\\PC{0,80}") {
            let _ = Cri::of(&text);
            let _ = entries(&text, HOST, Path::new("/h"));
        }
    }
}
