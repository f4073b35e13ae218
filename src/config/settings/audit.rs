//! `[audit]` and `[[audit.expect]]`.

use super::{Builder, Registry, Table, unknown};
use crate::model::audit::{AuditSource, AuditSpec, ExpectSpec, JournalTo, RULES};

impl Builder<'_> {
    pub(super) fn audit(&mut self, registries: &[Registry]) -> AuditSpec {
        let section = self.one("audit");
        let table = Table { section: &section };
        let normal = AuditSpec::default();
        let region = registries.first().map(|registry| registry.id.token_region().to_owned());
        let number = |key: &str, otherwise: u32| table.number(key).map_or(otherwise, whole);
        let or = |key: &str, otherwise: Vec<String>| {
            let given = table.list(key);
            if given.is_empty() { otherwise } else { given }
        };
        let spec = AuditSpec {
            source: match table.text("source").as_deref() {
                Some("files") => Some(AuditSource::Files),
                Some("s3") => Some(AuditSource::S3),
                Some("lookup-events") => Some(AuditSource::LookupEvents),
                _ => None,
            },
            identity: table.text("identity").unwrap_or(normal.identity),
            region: table.text("region").or(region),
            interval: table.duration("interval").unwrap_or(normal.interval),
            back: table.duration("back").unwrap_or(normal.back),
            folder: table.text("folder").map(Into::into),
            bucket: table.text("bucket"),
            prefix: table.text("prefix").unwrap_or_default(),
            queue: table.text("queue"),
            own_events: table.flag("own_events").unwrap_or(normal.own_events),
            fleet: number("fleet", normal.fleet),
            journal: match table.text("journal").as_deref() {
                Some("stdout") => JournalTo::Stdout,
                Some("log") => JournalTo::Log,
                _ => JournalTo::File,
            },
            journal_file: table.text("journal_file").map(Into::into),
            journal_bytes: u64::from(number("journal_megabytes", 64)) << 20,
            journal_keep: number("journal_keep", normal.journal_keep),
            journal_events: table.text("journal_events").as_deref() == Some("all"),
            journal_ecs: table.text("journal_fields").as_deref() == Some("ecs"),
            learn: table.duration("learn").unwrap_or(normal.learn),
            rules_off: table.list("rules_off"),
            accounts: table.list("accounts"),
            roles: table.list("roles"),
            hosts: or("hosts", normal.hosts),
            probe_repositories: table.list("probe_repositories"),
            kms_keys: table.list("kms_keys"),
            expect: self.expectations(),
        };
        for rule in &spec.rules_off {
            if !RULES.contains(&rule.as_str()) {
                let message = unknown("rule", rule, RULES.iter().copied());
                self.mistake(table.place("rules_off"), message);
            }
        }
        self.check_audit(&table, &spec);
        spec
    }

    fn check_audit(&mut self, table: &Table<'_>, spec: &AuditSpec) {
        let needs = |what: &str| format!("audit.{what}, which this source needs, is missing");
        let missing = match spec.source {
            Some(AuditSource::Files) if spec.folder.is_none() => Some(needs("folder")),
            Some(AuditSource::S3) if spec.queue.is_none() && spec.bucket.is_none() => Some(
                "source = \"s3\" needs bucket and prefix, or queue with the bucket's notifications"
                    .to_owned(),
            ),
            Some(AuditSource::S3) if spec.queue.is_none() && !is_prefix(&spec.prefix) => Some(
                "audit.prefix must go down to the region and end with /: \
                 \"AWSLogs/ACCOUNT/CloudTrail/REGION/\""
                    .to_owned(),
            ),
            Some(AuditSource::S3 | AuditSource::LookupEvents) if spec.region.is_none() => {
                Some(needs("region"))
            }
            _ => None,
        };
        if let Some(message) = missing {
            self.mistake(table.place("source"), message);
        }
        let known: Vec<String> = self.names_of("identity");
        if spec.identity != "default" && !known.contains(&spec.identity) {
            let message = unknown("identity", &spec.identity, known.iter().map(String::as_str));
            self.mistake(table.place("identity"), message);
        }
    }

    fn expectations(&mut self) -> Vec<ExpectSpec> {
        let mut built = Vec::new();
        for section in self.all("audit.expect") {
            let table = Table { section: &section };
            let spec = ExpectSpec {
                principals: table.list("principals"),
                actions: table.list("actions"),
                repositories: table.list("repositories"),
            };
            for (key, list) in [("principals", &spec.principals), ("actions", &spec.actions)] {
                if list.is_empty() {
                    let message = format!("audit.expect.{key} is missing: it would fit nothing");
                    self.mistake(section.place.clone(), message);
                }
            }
            built.push(spec);
        }
        built
    }

    fn names_of(&self, table: &str) -> Vec<String> {
        self.all(table).into_iter().filter_map(|section| section.name).collect()
    }
}

/// `.../REGION/`: the days stand below it.
fn is_prefix(prefix: &str) -> bool {
    prefix
        .strip_suffix('/')
        .and_then(|rest| rest.rsplit('/').next())
        .is_some_and(|region| crate::model::registry::partition_of_region(region).is_some())
}

/// The key's kind has bounds far below these.
fn whole(number: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = number.clamp(0.0, f64::from(u32::MAX)) as u32;
    whole
}
