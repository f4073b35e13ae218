//! `[policy]` and `[[policy.baseline]]`.

use super::{Builder, Registry, Section, Table, unknown};
use crate::model::{
    policy::{BaselineSpec, Grants, Mode, PolicySpec},
    registry::RegistryId,
};

impl Builder<'_> {
    pub(super) fn policy(&mut self, registries: &[Registry]) -> PolicySpec {
        let section = self.one("policy");
        let table = Table { section: &section };
        let normal = PolicySpec::default();
        let spec = PolicySpec {
            interval: table.duration("interval").unwrap_or(normal.interval),
            audit_identity: table.text("audit_identity"),
            repositories: table.list("repositories"),
            baselines: self.baselines(registries),
        };
        if let Some(identity) = &spec.audit_identity {
            let known: Vec<String> =
                self.all("identity").into_iter().filter_map(|section| section.name).collect();
            if !known.contains(identity) {
                let message = unknown("identity", identity, known.iter().map(String::as_str));
                self.mistake(table.place("audit_identity"), message);
            }
        }
        for repository in &spec.repositories {
            let registry = repository.split_once('/').map(|(registry, _)| registry);
            let known = registries.iter().map(|registry| registry.name.as_str());
            if registry.is_none_or(|registry| !known.clone().any(|name| name == registry)) {
                let what = registry.unwrap_or(repository);
                let message =
                    format!("{}; expected REGISTRY/REPOSITORY", unknown("registry", what, known));
                self.mistake(table.place("repositories"), message);
            } else if repository.contains(['*', '?']) {
                let message = format!(
                    "{repository:?}: patterns belong in [[policy.baseline]]; here each repository is named"
                );
                self.mistake(table.place("repositories"), message);
            }
        }
        spec
    }

    fn baselines(&mut self, registries: &[Registry]) -> Vec<BaselineSpec> {
        let mut built = Vec::new();
        for section in self.all("policy.baseline") {
            if let Some(spec) = self.baseline(&section, registries) {
                built.push(spec);
            }
        }
        built
    }

    fn baseline(&mut self, section: &Section, registries: &[Registry]) -> Option<BaselineSpec> {
        let table = Table { section };
        let private: Vec<&str> = registries
            .iter()
            .filter(|registry| matches!(registry.id, RegistryId::Private { .. }))
            .map(|registry| registry.name.as_str())
            .collect();
        let registry = match (table.text("registry"), private.as_slice()) {
            (Some(name), _) if private.contains(&name.as_str()) => name,
            (Some(name), _) => {
                let message = unknown("registry", &name, private.iter().copied());
                self.mistake(table.place("registry"), message);
                return None;
            }
            (None, [only]) => (*only).to_owned(),
            (None, _) => {
                let message = "policy.baseline.registry is missing: there are several registries";
                self.mistake(section.place.clone(), message);
                return None;
            }
        };
        let (pull, push) = (table.list("pull"), table.list("push"));
        let grants = match (table.text("file"), pull.is_empty() && push.is_empty()) {
            (Some(file), true) => Grants::File(file.into()),
            (None, _) => Grants::Lists { pull, push },
            (Some(_), false) => {
                let message = "file and pull or push exclude each other: a baseline says it once";
                self.mistake(table.place("file"), message);
                return None;
            }
        };
        let mode = table.text("mode").and_then(|word| Mode::of(&word)).unwrap_or(Mode::AtLeast);
        if mode == Mode::AtLeast
            && matches!(&grants, Grants::Lists { pull, push } if pull.is_empty() && push.is_empty())
        {
            let message = "this baseline asks for nothing: give it file, pull or push";
            self.mistake(section.place.clone(), message);
            return None;
        }
        Some(BaselineSpec { registry, repositories: table.list("repositories"), grants, mode })
    }
}
