//! What one probe did and saw: a pull of our own, an engine's, or a rehearsed push.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    config::settings::Settings,
    daemon::engine::EngineHost,
    model::outcome::Verdict,
    oci::{client::Client, trace::Record},
    probe::{
        attempt::{Caller, attempt},
        capsule::Capsule,
        engine::{Engine, Trial, report::EngineReport},
        pull::Plan,
        push::{PushPlan, Rung, rehearse, report::PushReport, verdict::Rehearsal},
        report::Report,
    },
};

/// What is done in place of a pull of our own.
pub(super) struct How<'a> {
    pub(super) push: Option<Rung>,
    pub(super) engine: Option<Engine>,
    pub(super) socket: Option<&'a Path>,
}

impl How<'_> {
    /// Whether its bytes can be watched as they come.
    pub(super) const fn is_pull(&self) -> bool {
        self.push.is_none() && self.engine.is_none()
    }

    /// Does it.
    pub(super) async fn tried(
        &self,
        settings: &Settings,
        (client, caller): (&Arc<Client>, &Caller),
        plan: &Plan,
        record: &Arc<Record>,
        started: Timestamp,
    ) -> Seen {
        match (self.push, self.engine) {
            (Some(rung), _) => {
                let plan = PushPlan {
                    image: plan.image.clone(),
                    rung,
                    platform: plan.platform.clone(),
                    timeout: plan.timeout,
                };
                Seen::Push(Box::new(rehearse(client, caller, &plan, record, started).await))
            }
            (None, Some(engine)) => {
                let (host, asked) = (EngineHost::of(&settings.daemon), (engine, self.socket));
                let trial = host.trial(asked, (client, caller), plan, record, started).await;
                Seen::Engine(Box::new(trial))
            }
            (None, None) => {
                Seen::Pull(Box::new(attempt(client, caller, plan, record, started).await))
            }
        }
    }
}

/// What was seen, as a trace has it.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum Seen {
    Pull(Box<Capsule>),
    Push(Box<Rehearsal>),
    Engine(Box<Trial>),
}

impl Seen {
    /// Reads a trace.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(rehearsal) = Rehearsal::parse(text) {
            return Ok(Self::Push(Box::new(rehearsal)));
        }
        if let Some(trial) = Trial::parse(text) {
            return Ok(Self::Engine(Box::new(trial)));
        }
        let capsule = Capsule::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::Pull(Box::new(capsule)))
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Pull(capsule) => Report::of(capsule).text(),
            Self::Push(rehearsal) => PushReport::of(rehearsal).text(),
            Self::Engine(trial) => EngineReport::of(trial).text(),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Pull(capsule) => Report::of(capsule).json(),
            Self::Push(rehearsal) => PushReport::of(rehearsal).json(),
            Self::Engine(trial) => EngineReport::of(trial).json(),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Pull(capsule) => Report::of(capsule).diagnosis().verdict.clone(),
            Self::Push(rehearsal) => PushReport::of(rehearsal).verdict().clone(),
            Self::Engine(trial) => EngineReport::of(trial).judged().verdict.clone(),
        }
    }

    pub(super) fn exit(&self) -> u8 {
        match self.verdict() {
            Verdict::Ok => 0,
            Verdict::Bad(_) => 1,
            Verdict::Unknown(_) => 3,
        }
    }
}
