//! `[[probe]]` and `[probing]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Builder, Registry, Table, unknown};
use crate::model::{
    identity::IdentitySpec,
    image::{ImageRef, Platform},
    probe::{Depth, Engine, ProbeSpec, Probing, Rung, parse_bytes},
    schedule::Schedule,
};

impl Builder<'_> {
    pub(super) fn probing(&self) -> Probing {
        let section = self.one("probing");
        let table = Table { section: &section };
        let default = Probing::default();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = |key: &str| table.number(key).map(|number| number as u32);
        let bytes = table.text("bytes_per_day").and_then(|text| parse_bytes(&text));
        Probing {
            at_once: count("at_once").unwrap_or(default.at_once),
            keep: count("keep").unwrap_or(default.keep),
            bytes_per_day: bytes.unwrap_or(default.bytes_per_day),
            requests_per_day: count("requests_per_day").map_or(default.requests_per_day, u64::from),
            price_per_gb: table.number("price_per_gb").unwrap_or(default.price_per_gb),
        }
    }

    pub(super) fn probes(
        &mut self,
        registries: &[Registry],
        identities: &BTreeMap<String, IdentitySpec>,
    ) -> Vec<ProbeSpec> {
        let mut built: Vec<ProbeSpec> = Vec::new();
        for section in self.all("probe") {
            let table = Table { section: &section };
            let Some(image) = table.text("image") else {
                self.mistake(section.place.clone(), "probe.image is missing");
                continue;
            };
            let image = match ImageRef::parse(&image) {
                Ok(image) => image,
                Err(why) => {
                    self.mistake(table.place("image"), format!("probe.image: {why}"));
                    continue;
                }
            };
            let hosts = || registries.iter().flat_map(|registry| &registry.hosts);
            if !hosts().any(|host| *host == image.host) {
                let message = unknown("registry host", &image.host, hosts().map(String::as_str));
                self.mistake(table.place("image"), message);
            }
            let identity = table.text("identity");
            if let Some(name) = identity.as_deref().filter(|name| !identities.contains_key(*name)) {
                let message = unknown("identity", name, identities.keys().map(String::as_str));
                self.mistake(table.place("identity"), message);
            }
            let depth = table.text("depth").and_then(|word| Depth::of(&word));
            let (engine, push) = self.instead(&table, depth);
            let depth = depth.unwrap_or(match (engine, push) {
                (None, None) => Depth::FirstByte,
                _ => Depth::Manifest,
            });
            let schedule = table.text("schedule").and_then(|text| Schedule::parse(&text).ok());
            let name = section.name.clone().unwrap_or_else(|| image.to_string());
            if built.iter().any(|other| other.name == name) {
                let message = format!("two probes are called {name}; give them names");
                self.mistake(section.place.clone(), message);
                continue;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let failures = table.number("failures_to_alarm").map(|number| number as u32);
            built.push(ProbeSpec {
                name,
                depth,
                engine,
                socket: table.text("socket").map(PathBuf::from),
                push,
                platform: table.text("platform").and_then(|text| Platform::parse(&text)),
                schedule: schedule.unwrap_or(Schedule::Every(Duration::from_secs(900))),
                timeout: table.duration("timeout").unwrap_or(depth.patience()),
                failures_to_alarm: failures.unwrap_or(2),
                identity,
                canary: table.flag("canary").unwrap_or(false),
                image,
            });
        }
        built
    }

    /// Who does it in place of our own client, or what is done in place of a pull.
    fn instead(
        &mut self,
        table: &Table<'_>,
        depth: Option<Depth>,
    ) -> (Option<Engine>, Option<Rung>) {
        let engine = table.text("engine").and_then(|word| Engine::of(&word));
        let push = table.text("push").and_then(|word| Rung::of(&word));
        if engine.is_none() && table.text("socket").is_some() {
            let why = "probe.socket: it is an engine's, and no engine is named";
            self.mistake(table.place("socket"), why);
        }
        let mistake = match (engine, push, depth) {
            (Some(_), Some(_), _) => {
                Some(("push", "engine and push exclude each other: make two probes"))
            }
            (None, Some(_), Some(_)) => {
                Some(("depth", "depth is of pulls: push says how far a push goes"))
            }
            (Some(_), _, Some(Depth::FirstByte)) => {
                Some(("depth", "an engine can't be asked for a byte: \"manifest\" or \"full\""))
            }
            (Some(Engine::Podman), _, None | Some(Depth::Manifest)) => {
                Some(("engine", "podman can only be asked to pull: depth = \"full\""))
            }
            _ => None,
        };
        if let Some((key, why)) = mistake {
            self.mistake(table.place(key), format!("probe.{key}: {why}"));
        }
        (engine, push)
    }
}
