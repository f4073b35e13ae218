//! An engine's trial told: for people, and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Cleaned, Pull, Trial,
    views::{Judged, judge},
};
use crate::{
    model::outcome::{Problem, Verdict},
    probe::{Depth, report::plain},
};

/// What is said of a trial.
#[derive(Clone, Debug)]
pub struct EngineReport<'a> {
    trial: &'a Trial,
    judged: Judged,
}

impl<'a> EngineReport<'a> {
    /// Judges the trial.
    pub fn of(trial: &'a Trial) -> Self {
        Self { trial, judged: judge(trial) }
    }

    /// What it means.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// As JSON, version 1.
    pub fn json(&self) -> Value {
        let Judged { verdict, own, manifest, pull, located } = &self.judged;
        let engine = &self.trial.engine;
        let mut whole = json!({
            "version": 1,
            "image": self.trial.seen.image,
            "engine": engine.engine,
            "verdict": verdict.word(),
        });
        if let Some(problem) = verdict.problem() {
            whole["reason"] = json!(problem);
        }
        whole["located"] = json!(located);
        whole["reached"] = json!(engine.reached());
        let view = |verdict: Option<&Verdict>| {
            let mut view = json!({ "verdict": verdict.map_or("not_asked", Verdict::word) });
            if let Some(problem) = verdict.and_then(Verdict::problem) {
                view["reason"] = json!(problem);
            }
            view
        };
        whole["views"] = json!({
            "own": view(Some(&own.verdict)),
            "manifest": view(manifest.as_ref()),
            "pull": view(pull.as_ref()),
        });
        whole["trial"] = json!(self.trial);
        whole
    }

    /// For people: the verdict, what mends it, the views, what was left.
    pub fn text(&self) -> String {
        let engine = &self.trial.engine;
        let mut text = format!("{}\n{}\n", self.trial.seen.image, self.headline());
        if let Some(problem) = self.judged.verdict.problem() {
            let _ = writeln!(text, "  {}", problem.detail);
            let _ = writeln!(text, "  -> {}", problem.reason.remedy());
        }
        if let Some(located) = &self.judged.located {
            let _ = writeln!(text, "  the fault is {located}");
        }
        let said =
            |problem: &Problem| format!("{} [{}]", problem.reason.text(), problem.reason.code());
        let view = |verdict: &Verdict| verdict.problem().map_or("fine".to_owned(), said);
        let seconds =
            |took: Option<f64>| took.map(|took| format!(", in {took:.2} s")).unwrap_or_default();
        let _ = writeln!(text, "\n{:<22}{}", "ecr-warden's client", view(&self.judged.own.verdict));
        let name = &engine.engine;
        if let Some(manifest) = &self.judged.manifest {
            let (view, took) = (view(manifest), seconds(engine.manifest_took));
            let _ = writeln!(text, "{:<22}{view}{took}", format!("{name}'s manifest"));
        }
        if let Some(pull) = &engine.pull {
            let told = match pull {
                Pull::WasThere => "not made: the image is on this host already".to_owned(),
                Pull::NoSpace(why) => format!("not made: {why}"),
                Pull::Done { fetched, shared } => format!(
                    "fine, {fetched} layers fetched, {shared} were there already{}",
                    seconds(engine.pull_took)
                ),
                Pull::Failed(_) => self.judged.pull.as_ref().map(view).unwrap_or_default(),
            };
            let _ = writeln!(text, "{:<22}{told}", format!("{name}'s pull"));
        }
        if let Some(cleaned) = &engine.cleaned {
            let told = match cleaned {
                Cleaned::Nothing => "nothing to remove".to_owned(),
                Cleaned::Removed => "what the pull brought was removed".to_owned(),
                Cleaned::Kept(why) => format!("kept: {why}"),
                Cleaned::Left(words) => format!("LEFT: {}", words.words),
            };
            let _ = writeln!(text, "{:<22}{told}", "clean-up");
        }
        let lacking = engine.no_credential.as_ref();
        let from = lacking.map_or(&engine.credential, |lacking| &lacking.words);
        let _ = writeln!(text, "{:<22}{from}", "credential");
        if let Some(version) = &engine.version {
            let proxy = engine.proxy.as_ref().map(|proxy| format!(", through {proxy}"));
            let _ = writeln!(text, "{name:<22}{version}{}", proxy.unwrap_or_default());
        }
        plain(&text)
    }

    fn headline(&self) -> String {
        let engine = &self.trial.engine.engine;
        match (&self.judged.verdict, self.trial.engine.reached()) {
            (Verdict::Ok, Some(Depth::Full)) => format!("{engine} pulls it, every layer"),
            (Verdict::Ok, Some(Depth::FirstByte)) => {
                format!("{engine} pulls it; some of its layers were there already")
            }
            (Verdict::Ok, _) => format!("{engine} gets its manifest; layers were not fetched"),
            (Verdict::Bad(problem), _) => {
                format!("{engine}: {} [{}]", problem.reason.text(), problem.reason.code())
            }
            (Verdict::Unknown(problem), _) => format!(
                "whether {engine} can pull it was not to be told: {} [{}]",
                problem.reason.text(),
                problem.reason.code()
            ),
        }
    }
}
