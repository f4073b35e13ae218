//! Fragments merged and validated: what the program runs on.

mod audit;
mod policy;
mod probes;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use secrecy::SecretString;

use super::{
    Mistake, Place,
    fragment::{Fragment, Given, Section, Value},
    keys::{Shape, TABLES},
};
use crate::model::{
    audit::AuditSpec,
    identity::{CredentialsSource, IdentitySpec},
    output::{OutputKind, OutputSpec},
    policy::PolicySpec,
    probe::{ProbeSpec, Probing},
    registry::{RegistryHost, RegistryId, is_pattern},
    schedule::{Schedule, parse_duration},
};

/// The settings with what they were made of.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program runs on.
    pub settings: Settings,
    /// The merged tables, for `check`.
    pub merged: Vec<Section>,
    /// The files, in the order in which they were merged.
    pub files: Vec<PathBuf>,
}

/// What the program runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[daemon]`.
    pub daemon: Daemon,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[refresh]`.
    pub refresh: Refresh,
    /// `[identity.NAME]`; `default` is always there.
    pub identities: BTreeMap<String, IdentitySpec>,
    /// `[[registry]]`.
    pub registries: Vec<Registry>,
    /// `[[output]]`.
    pub outputs: Vec<OutputSpec>,
    /// `[policy]` and `[[policy.baseline]]`.
    pub policy: PolicySpec,
    /// `[audit]` and `[[audit.expect]]`.
    pub audit: AuditSpec,
    /// `[[probe]]`.
    pub probes: Vec<ProbeSpec>,
    /// `[probing]`.
    pub probing: Probing,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// Where the socket is made.
    pub runtime_directory: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Where the host's root is mounted; empty when it is `/`.
    pub host_prefix: PathBuf,
    /// `auto`, `human`, `json` or `journald`.
    pub log_format: String,
    /// `error` to `trace`.
    pub log_level: String,
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The address; `None` when it is off.
    pub listen: Option<SocketAddr>,
    /// TLS and basic authentication.
    pub web_config_file: Option<PathBuf>,
}

/// `[refresh]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    /// The fraction of a life after which a token is replaced.
    pub at: f64,
    /// The fraction over which a fleet spreads.
    pub spread: f64,
    /// How often tokens are tried and outputs read back.
    pub check: Schedule,
    /// Whether tokens are tried against the registry.
    pub verify: bool,
}

/// `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its name.
    pub name: String,
    /// Which one it is.
    pub id: RegistryId,
    /// The identity that mints its tokens.
    pub identity: String,
    /// The host names that consumers use, at least one.
    pub hosts: Vec<String>,
    /// Patterns of host names that its tokens are given out for.
    pub patterns: Vec<String>,
}

impl Settings {
    /// The registry hosts that an output publishes; of a socket also the patterns.
    pub fn hosts_of(&self, spec: &OutputSpec) -> Vec<String> {
        let published =
            self.registries.iter().filter(|registry| spec.registries.contains(&registry.name));
        let patterns = spec.kind == OutputKind::Socket;
        published
            .flat_map(|registry| {
                registry.hosts.iter().chain(registry.patterns.iter().filter(move |_| patterns))
            })
            .cloned()
            .collect()
    }
}

/// A merged section, read key by key.
struct Table<'a> {
    section: &'a Section,
}

impl Table<'_> {
    fn given(&self, key: &str) -> Option<&Given> {
        debug_assert!(self.section.table.keys.iter().any(|known| known.name == key), "{key}");
        self.section.keys.get(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        match &self.given(key)?.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> Option<bool> {
        match self.given(key)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.given(key)?.value {
            Value::Number(value) => Some(value),
            _ => None,
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.given(key).map(|given| &given.value) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        parse_duration(&self.text(key)?)
    }

    fn place(&self, key: &str) -> Place {
        self.given(key).map_or_else(|| self.section.place.clone(), |given| given.place.clone())
    }
}

/// Merges and validates; mistakes are added.
pub fn build(fragments: Vec<Fragment>, files: Vec<PathBuf>, mistakes: &mut Vec<Mistake>) -> Loaded {
    let mut builder = Builder { merged: merge(fragments), mistakes };
    let settings = builder.settings();
    Loaded { settings, merged: builder.merged, files }
}

/// Tables merge key by key, the later file wins; `[[...]]` of the same name merge, others are added.
fn merge(fragments: Vec<Fragment>) -> Vec<Section> {
    let mut merged: Vec<Section> = Vec::new();
    for fragment in fragments {
        // Within one file two of the same name are a mistake, not a merge.
        let before = merged.len();
        for mut section in fragment {
            if section.table.shape == Shape::List {
                section.name = list_name(&section);
            }
            let same = merged[..before].iter_mut().find(|earlier| {
                earlier.table.name == section.table.name
                    && earlier.name == section.name
                    && (section.name.is_some() || section.table.shape == Shape::Single)
            });
            match same {
                Some(earlier) => earlier.keys.extend(section.keys),
                None => merged.push(section),
            }
        }
    }
    merged
}

/// The name that a `[[...]]` table has, or that it gets.
fn list_name(section: &Section) -> Option<String> {
    let table = Table { section };
    if let Some(name) = table.text("name") {
        return Some(name);
    }
    if section.table.name == "probe" {
        return table.text("image");
    }
    if section.table.name == "output" {
        let kind = table.text("kind")?;
        let path = output_path(&table)?;
        return Some(match (path.strip_prefix("~/"), table.text("owner")) {
            (Some(rest), Some(owner)) => format!("{kind}:~{owner}/{rest}"),
            _ => format!("{kind}:{path}"),
        });
    }
    let is_registry = section.table.name == "registry";
    is_registry.then(|| registry_id(&table))?.map(|id| id.to_string())
}

fn output_path(table: &Table<'_>) -> Option<String> {
    table.text("path").or_else(|| {
        let kind = OutputKind::of(&table.text("kind")?)?;
        let program = table.list("command").into_iter().next();
        kind.default_path().map(str::to_owned).or(program)
    })
}

fn registry_id(table: &Table<'_>) -> Option<RegistryId> {
    if table.flag("public") == Some(true) {
        return Some(RegistryId::Public);
    }
    let from_hosts = table.list("hosts").iter().find_map(|host| RegistryHost::parse(host));
    match (table.text("account"), table.text("region"), from_hosts) {
        (Some(account), Some(region), _) => Some(RegistryId::Private { account, region }),
        (account, region, Some(RegistryHost { registry, .. })) => match registry {
            RegistryId::Private { account: from, region: there } => Some(RegistryId::Private {
                account: account.unwrap_or(from),
                region: region.unwrap_or(there),
            }),
            RegistryId::Public => Some(RegistryId::Public),
        },
        _ => None,
    }
}

struct Builder<'a> {
    merged: Vec<Section>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Builder<'_> {
    fn mistake(&mut self, place: Place, message: impl Into<String>) {
        self.mistakes.push(Mistake { place, message: message.into() });
    }

    fn all(&self, name: &str) -> Vec<Section> {
        self.merged.iter().filter(|section| section.table.name == name).cloned().collect()
    }

    fn one(&self, name: &str) -> Section {
        self.all(name).into_iter().next().unwrap_or_else(|| Section {
            table: TABLES.iter().find(|table| table.name == name).unwrap_or(&TABLES[0]),
            name: None,
            place: Place { file: PathBuf::new(), line: 0, column: 0 },
            keys: BTreeMap::new(),
        })
    }

    fn settings(&mut self) -> Settings {
        let identities = self.identities();
        let registries = self.registries(&identities);
        let outputs = self.outputs(&registries);
        let probes = self.probes(&registries, &identities);
        let mut audit = self.audit(&registries);
        // A canary's pulls are ours.
        let canaries = probes.iter().filter(|probe| probe.canary);
        for repository in canaries.map(|probe| &probe.image.repository) {
            if !audit.probe_repositories.contains(repository) {
                audit.probe_repositories.push(repository.clone());
            }
        }
        Settings {
            daemon: self.daemon(),
            metrics: self.metrics(),
            refresh: self.refresh(),
            identities,
            audit,
            policy: self.policy(&registries),
            registries,
            outputs,
            probes,
            probing: self.probing(),
        }
    }

    fn daemon(&self) -> Daemon {
        let section = self.one("daemon");
        let table = Table { section: &section };
        let path = |key: &str, default: &str| {
            PathBuf::from(table.text(key).unwrap_or_else(|| default.to_owned()))
        };
        let runtime_directory = path("runtime_directory", "/run/ecr-warden");
        Daemon {
            state_directory: path("state_directory", "/var/lib/ecr-warden"),
            socket: table
                .text("socket")
                .map_or_else(|| runtime_directory.join("control.sock"), PathBuf::from),
            runtime_directory,
            host_prefix: path("host_prefix", ""),
            log_format: table.text("log_format").unwrap_or_else(|| "auto".into()),
            log_level: table.text("log_level").unwrap_or_else(|| "info".into()),
        }
    }

    fn metrics(&self) -> Metrics {
        let section = self.one("metrics");
        let table = Table { section: &section };
        let listen = table.text("listen").unwrap_or_else(|| "127.0.0.1:9876".into());
        Metrics {
            listen: listen.parse().ok(),
            web_config_file: table.text("web_config_file").map(PathBuf::from),
        }
    }

    fn refresh(&self) -> Refresh {
        let section = self.one("refresh");
        let table = Table { section: &section };
        let check = table.text("check").and_then(|text| Schedule::parse(&text).ok());
        Refresh {
            at: table.number("at").unwrap_or(0.5),
            spread: table.number("spread").unwrap_or(0.1),
            check: check.unwrap_or(Schedule::Every(Duration::from_secs(900))),
            verify: table.flag("verify").unwrap_or(true),
        }
    }

    fn identities(&mut self) -> BTreeMap<String, IdentitySpec> {
        let sections: BTreeMap<String, Section> = self
            .all("identity")
            .into_iter()
            .filter_map(|section| Some((section.name.clone()?, section)))
            .collect();
        let mut built = BTreeMap::new();
        for name in sections.keys().map(String::as_str).chain(["default"]) {
            if let Some(spec) = self.identity(name, &sections, &mut Vec::new()) {
                built.insert(name.to_owned(), spec);
            }
        }
        built
    }

    fn identity(
        &mut self,
        name: &str,
        sections: &BTreeMap<String, Section>,
        above: &mut Vec<String>,
    ) -> Option<IdentitySpec> {
        let empty;
        let section = if let Some(section) = sections.get(name) {
            section
        } else {
            empty = self.one("identity");
            &Section { keys: BTreeMap::new(), ..empty }
        };
        let table = Table { section };
        above.push(name.to_owned());
        let source = match (table.text("profile"), table.text("role_arn")) {
            (Some(_), Some(_)) => {
                self.mistake(
                    table.place("role_arn"),
                    "identity has profile and role_arn; to assume a role with a profile, give the \
                     profile an identity of its own and name it in source",
                );
                return None;
            }
            (Some(profile), None) => CredentialsSource::Profile(profile),
            (None, Some(role_arn)) => {
                let from = table.text("source").unwrap_or_else(|| "default".to_owned());
                if above.contains(&from) {
                    let hint =
                        if from == "default" { "; name another identity in source" } else { "" };
                    let message =
                        format!("identity.{name} is built on itself through {from}{hint}");
                    self.mistake(table.place("source"), message);
                    return None;
                }
                if from != "default" && !sections.contains_key(&from) {
                    let message = unknown("identity", &from, sections.keys().map(String::as_str));
                    self.mistake(table.place("source"), message);
                    return None;
                }
                CredentialsSource::Role {
                    role_arn,
                    external_id: table.text("external_id"),
                    session_name: table.text("session_name"),
                    source: Box::new(self.identity(&from, sections, above)?),
                    duration: table.duration("duration"),
                }
            }
            (None, None) => {
                for key in ["external_id", "session_name", "source", "duration"] {
                    if table.given(key).is_some() {
                        let message = format!("identity.{key} needs role_arn beside it");
                        self.mistake(table.place(key), message);
                    }
                }
                CredentialsSource::DefaultChain
            }
        };
        above.pop();
        Some(IdentitySpec {
            name: name.to_owned(),
            source,
            region: table.text("region"),
            fips: table.flag("fips").unwrap_or(false),
            dual_stack: table.flag("dual_stack").unwrap_or(false),
            endpoint_url: table.text("endpoint_url"),
            proxy: table.text("proxy").map(SecretString::from),
            ca_file: table.text("ca_file").map(PathBuf::from),
        })
    }

    fn registries(&mut self, identities: &BTreeMap<String, IdentitySpec>) -> Vec<Registry> {
        let mut built: Vec<Registry> = Vec::new();
        let mut hosts_of: BTreeMap<String, String> = BTreeMap::new();
        for section in self.all("registry") {
            let table = Table { section: &section };
            let Some(id) = registry_id(&table) else {
                let message = "the registry is not named: give account and region, or hosts with \
                               one of its ECR host names, or public = true";
                self.mistake(section.place.clone(), message);
                continue;
            };
            let identity = table.text("identity").unwrap_or_else(|| "default".to_owned());
            if !identities.contains_key(&identity) {
                let message = unknown("identity", &identity, identities.keys().map(String::as_str));
                self.mistake(table.place("identity"), message);
            }
            let name = section.name.clone().unwrap_or_else(|| id.to_string());
            if built.iter().any(|other| other.name == name) {
                let message = format!("two registries are called {name}; give them names");
                self.mistake(section.place.clone(), message);
                continue;
            }
            let mut hosts = table.list("hosts");
            if !hosts.iter().any(|host| RegistryHost::parse(host).is_some()) {
                let standard = RegistryHost {
                    registry: id.clone(),
                    fips: table.flag("fips").unwrap_or(false),
                    dual_stack: table.flag("dual_stack").unwrap_or(false),
                };
                if let Some(host) = standard.host_name() {
                    hosts.insert(0, host);
                } else {
                    let message = format!(
                        "{id} has no such host name: that partition has no FIPS or dual-stack endpoint"
                    );
                    self.mistake(section.place.clone(), message);
                }
            }
            let mut seen = BTreeSet::new();
            hosts.retain(|host| seen.insert(host.clone()));
            for host in &hosts {
                if let Some(other) = hosts_of.insert(host.clone(), name.clone()) {
                    let message = format!("{host} is a host of the registry {other} already");
                    self.mistake(table.place("hosts"), message);
                }
            }
            let (patterns, hosts) = hosts.into_iter().partition(|host| is_pattern(host));
            built.push(Registry { name, id, identity, hosts, patterns });
        }
        built
    }

    /// Keys that only some kinds have, and those that a kind can't do without.
    fn check_special_keys(&mut self, section: &Section, kind: OutputKind) {
        let table = Table { section };
        for key in OutputKind::ALL.iter().flat_map(|kind| kind.special_keys()) {
            if table.given(key).is_some() && !kind.special_keys().contains(key) {
                let message = format!("output.{key} is for kind = {} only", kinds_with(key));
                self.mistake(table.place(key), message);
            }
        }
        if let Some(key) = kind.required_key().filter(|key| table.given(key).is_none()) {
            let message = format!("output.{key} is missing, which kind = {:?} needs", kind.word());
            self.mistake(section.place.clone(), message);
        }
        for key in ["command", "restart_command"] {
            if table.list(key).first().is_some_and(|program| !program.starts_with('/')) {
                let message = format!("output.{key}: the program must be an absolute path");
                self.mistake(table.place(key), message);
            }
        }
        if kind == OutputKind::Command && table.given("path").is_some() {
            self.mistake(table.place("path"), "a command has no path; its program is in command");
        }
    }

    fn outputs(&mut self, registries: &[Registry]) -> Vec<OutputSpec> {
        let mut built: Vec<OutputSpec> = Vec::new();
        for section in self.all("output") {
            let table = Table { section: &section };
            let Some(kind) = table.text("kind") else {
                self.mistake(section.place.clone(), "output.kind is missing");
                continue;
            };
            let (Some(kind), Some(path)) = (OutputKind::of(&kind), output_path(&table)) else {
                self.mistake(section.place.clone(), "output.path is missing");
                continue;
            };
            let wanted = table.list("registries");
            for name in &wanted {
                if !registries.iter().any(|registry| registry.name == *name) {
                    let known = registries.iter().map(|registry| registry.name.as_str());
                    self.mistake(table.place("registries"), unknown("registry", name, known));
                }
            }
            self.check_special_keys(&section, kind);
            let list = |key: &str| table.list(key);
            let mut spec = OutputSpec::new(
                section.name.clone().unwrap_or_else(|| format!("{}:{path}", kind.word())),
                kind,
                path,
            );
            spec.owner = table.text("owner");
            spec.group = table.text("group");
            spec.mode = table.text("mode").and_then(|mode| u32::from_str_radix(&mode, 8).ok());
            spec.registries = if wanted.is_empty() {
                registries.iter().map(|registry| registry.name.clone()).collect()
            } else {
                wanted
            };
            spec.template = table.text("template").map(PathBuf::from);
            (spec.command, spec.restart_command) = (list("command"), list("restart_command"));
            (spec.users, spec.groups) = (list("users"), list("groups"));
            spec.timeout = table.duration("timeout").unwrap_or(spec.timeout);
            if built.iter().any(|other| other.name == spec.name) {
                let message = format!("two outputs are called {}; give them names", spec.name);
                self.mistake(section.place.clone(), message);
                continue;
            }
            if kind == OutputKind::Socket && built.iter().any(|other| other.kind == kind) {
                let message = "a second output of kind = \"socket\": there is one for all consumers; \
                               list who may ask in its users and groups";
                self.mistake(section.place.clone(), message);
                continue;
            }
            let twin = built.iter().find(|other| {
                kind != OutputKind::Command
                    && other.path == spec.path
                    && (spec.path.is_absolute() || other.owner == spec.owner)
            });
            if let Some(twin) = twin {
                let message = format!("the output {} writes the same file", twin.name);
                self.mistake(table.place("path"), message);
                continue;
            }
            built.push(spec);
        }
        built
    }
}

/// Which kinds have a key, in words.
fn kinds_with(key: &str) -> String {
    let kinds = OutputKind::ALL.iter().filter(|kind| kind.special_keys().contains(&key));
    kinds.map(|kind| format!("{:?}", kind.word())).collect::<Vec<_>>().join(", ")
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
    match near.filter(|near| strsim::damerau_levenshtein(near, name) <= 1 + near.len() / 4) {
        Some(near) => format!("there is no {what} called {name}; did you mean {near}?"),
        None if known.is_empty() => format!("there is no {what} called {name}; none is configured"),
        None => format!("there is no {what} called {name}; there are {}", known.join(", ")),
    }
}
