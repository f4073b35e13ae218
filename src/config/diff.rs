//! What changed between two settings. Pure.

use super::settings::Settings;

/// Keys of `[daemon]` that differ: they take effect only after a restart.
pub fn needs_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (old, new) = (&old.daemon, &new.daemon);
    [
        ("daemon.state_directory", old.state_directory != new.state_directory),
        ("daemon.runtime_directory", old.runtime_directory != new.runtime_directory),
        ("daemon.socket", old.socket != new.socket),
        ("daemon.host_prefix", old.host_prefix != new.host_prefix),
        ("daemon.log_format", old.log_format != new.log_format),
        ("daemon.log_level", old.log_level != new.log_level),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// Names that are only in `old`, only in `new`, or in both but different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Only in the new one.
    pub added: Vec<String>,
    /// Only in the old one.
    pub removed: Vec<String>,
    /// In both, and different.
    pub changed: Vec<String>,
}

/// Compares two lists by a name.
pub fn by_name<'a, T: PartialEq + 'a>(
    old: impl IntoIterator<Item = &'a T>,
    new: impl IntoIterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
) -> Names {
    let old: Vec<&T> = old.into_iter().collect();
    let mut names = Names::default();
    let mut seen = Vec::new();
    for item in new {
        seen.push(name(item));
        match old.iter().find(|other| name(other) == name(item)) {
            None => names.added.push(name(item).to_owned()),
            Some(other) if *other != item => names.changed.push(name(item).to_owned()),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|item| !seen.contains(&name(item)));
    names.removed = gone.map(|item| name(item).to_owned()).collect();
    names
}

/// The difference in one line for the log; empty when there is none.
pub fn summary(old: &Settings, new: &Settings) -> String {
    let mut parts = Vec::new();
    let mut tell = |what: &str, names: &Names| {
        for (word, list) in
            [("added", &names.added), ("removed", &names.removed), ("changed", &names.changed)]
        {
            if !list.is_empty() {
                parts.push(format!("{what} {word}: {}", list.join(", ")));
            }
        }
    };
    tell("identity", &by_name(old.identities.values(), new.identities.values(), |spec| &spec.name));
    tell("registry", &by_name(&old.registries, &new.registries, |registry| &registry.name));
    tell("output", &by_name(&old.outputs, &new.outputs, |output| &output.name));
    tell("probe", &by_name(&old.probes, &new.probes, |probe| &probe.name));
    if old.probing != new.probing {
        parts.push("probing changed".to_owned());
    }
    if old.refresh != new.refresh {
        parts.push("refresh changed".to_owned());
    }
    if old.policy != new.policy {
        parts.push("policy changed".to_owned());
    }
    if old.audit != new.audit {
        parts.push("audit changed".to_owned());
    }
    if old.metrics != new.metrics {
        parts.push("metrics changed".to_owned());
    }
    parts.join("; ")
}
