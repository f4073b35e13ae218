//! `probe --running`: would what runs here start again? Each image by its digest, for this platform.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::caller;
use crate::{
    cli::client,
    config::settings::Loaded,
    model::{
        image::ImageRef,
        outcome::{Problem, Verdict},
    },
    oci::trace::Record,
    probe::{
        attempt::{Caller, attempt},
        capsule::Capsule,
        engine::{
            Engine,
            running::{Running, running},
        },
        pull::Plan,
        report::Report,
    },
};

/// Images asked for at once: their registry may be one, and its limits are the account's.
const AT_ONCE: usize = 4;

/// What was found.
pub(super) struct Census {
    /// By engine: what runs there, or why that is not known.
    engines: BTreeMap<&'static str, Result<(), Problem>>,
    found: Running,
    /// Of the images in registries that are configured.
    tried: Vec<(String, usize, Capsule)>,
}

/// Asks the engines, then the registries. `plan` says how; its image does not count.
pub(super) async fn census(
    loaded: &Loaded,
    engines: &[(Engine, PathBuf)],
    plan: impl Fn(ImageRef) -> Plan,
) -> io::Result<Census> {
    let mut census =
        Census { engines: BTreeMap::new(), found: Running::default(), tried: Vec::new() };
    for (engine, socket) in engines {
        let looked = running(*engine, socket).await;
        census.engines.insert(engine.word(), looked.map(|found| census.found.add(found)));
    }
    let hosts = |host: &str| {
        loaded.settings.registries.iter().any(|one| one.hosts.iter().any(|own| own == host))
    };
    let ours: Vec<(ImageRef, usize)> = census
        .found
        .images
        .iter()
        .filter_map(|(name, count)| Some((ImageRef::parse(name).ok()?, *count)))
        .filter(|(image, _)| hosts(&image.host))
        .collect();
    let mut callers: BTreeMap<String, Caller> = BTreeMap::new();
    for (image, _) in &ours {
        if !callers.contains_key(&image.host) {
            callers.insert(image.host.clone(), caller(loaded, &image.host).await?);
        }
    }
    let waiting = ours.into_iter().map(async |(image, count)| {
        let client = Arc::new(client(&loaded.settings, &image.host));
        let record = Arc::new(Record::default());
        let caller = callers.get(&image.host)?;
        let name = image.to_string();
        let plan = plan(image);
        let capsule = attempt(&client, caller, &plan, &record, Timestamp::now()).await;
        Some((name, count, capsule))
    });
    let tried: Vec<_> = stream::iter(waiting).buffered(AT_ONCE).collect().await;
    census.tried = tried.into_iter().flatten().collect();
    Ok(census)
}

impl Census {
    /// 0: all of it would; 1: something would not; 3: something was not to be told.
    pub(super) fn exit(&self) -> u8 {
        let exits = || self.tried.iter().map(|(_, _, capsule)| Report::of(capsule).exit());
        if exits().any(|exit| exit == 1) {
            1
        } else if exits().any(|exit| exit != 0) || self.engines.values().all(Result::is_err) {
            3
        } else {
            0
        }
    }

    fn elsewhere(&self) -> BTreeMap<&String, &usize> {
        let asked = |name: &String| self.tried.iter().any(|(own, ..)| own == name);
        self.found.images.iter().filter(|(name, _)| !asked(name)).collect()
    }

    pub(super) fn json(&self) -> Value {
        let images: Vec<Value> = self
            .tried
            .iter()
            .map(|(name, count, capsule)| {
                let mut one = Report::of(capsule).json();
                one["image"] = json!(name);
                one["containers"] = json!(count);
                one
            })
            .collect();
        let engines: BTreeMap<&str, Value> = self
            .engines
            .iter()
            .map(|(engine, looked)| match looked {
                Ok(()) => (*engine, json!({ "verdict": "ok" })),
                Err(problem) => (*engine, json!({ "verdict": "unknown", "reason": problem })),
            })
            .collect();
        json!({
            "version": 1,
            "verdict": match self.exit() { 0 => "ok", 1 => "bad", _ => "unknown" },
            "engines": engines,
            "images": images,
            "not_asked": self.elsewhere(),
            "known_to_no_registry": self.found.local,
        })
    }

    pub(super) fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        for (engine, looked) in &self.engines {
            if let Err(problem) = looked {
                writeln!(out, "{engine}: {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
        for (name, count, capsule) in &self.tried {
            let report = Report::of(capsule);
            let word = match &report.diagnosis().verdict {
                Verdict::Ok => "would start again",
                Verdict::Bad(_) => "would NOT start again",
                Verdict::Unknown(_) => "not to be told",
            };
            writeln!(out, "{word:<22} {name}  {count} running")?;
            if let Some(problem) = report.diagnosis().verdict.problem() {
                writeln!(out, "  {problem}\n  -> {}", problem.reason.remedy())?;
            }
        }
        let count = |images: usize| {
            if images == 1 { "1 image".to_owned() } else { format!("{images} images") }
        };
        let (elsewhere, local) = (self.elsewhere(), &self.found.local);
        if !elsewhere.is_empty() {
            writeln!(
                out,
                "{} of registries that are not configured: not asked",
                count(elsewhere.len())
            )?;
        }
        for name in local.keys() {
            writeln!(out, "{name}: built or loaded here, no registry knows it by its digest")?;
        }
        if self.engines.is_empty() {
            writeln!(out, "no engine of this host could be asked; --engine and --socket name one")?;
        }
        if self.tried.is_empty() && self.engines.values().any(Result::is_ok) {
            writeln!(out, "nothing of a configured registry runs here")?;
        }
        Ok(())
    }
}
