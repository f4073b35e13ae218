//! A rehearsal told: for people, and as JSON. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::verdict::{Judged, Rehearsal, Standing, judge};
use crate::{
    model::outcome::Verdict,
    probe::report::{Report, plain},
};

/// What is said of a rehearsal.
#[derive(Clone, Debug)]
pub struct PushReport<'a> {
    rehearsal: &'a Rehearsal,
    judged: Judged,
}

impl<'a> PushReport<'a> {
    /// Judges the rehearsal.
    pub fn of(rehearsal: &'a Rehearsal) -> Self {
        Self { rehearsal, judged: judge(rehearsal) }
    }

    /// Whether it can be pushed to, as far as asked.
    pub fn verdict(&self) -> &Verdict {
        &self.judged.diagnosis.verdict
    }

    fn report(&self) -> Report<'a> {
        Report::with(&self.rehearsal.seen, self.judged.diagnosis.clone())
    }

    /// As a probe's JSON, with `push` (how far), `actions` and `left`.
    pub fn json(&self) -> Value {
        let mut whole = self.report().json();
        whole["push"] = json!(self.rehearsal.push);
        whole["actions"] = json!(self.judged.standings);
        whole["left"] = json!(self.rehearsal.left);
        if let Some(whole) = whole.as_object_mut() {
            for of_a_pull in ["depth", "reached"] {
                whole.shift_remove(of_a_pull);
            }
        }
        whole
    }

    /// For people: the verdict, what mends it, each action, then how it went.
    pub fn text(&self) -> String {
        let rung = self.rehearsal.push.word();
        let headline = match &self.judged.diagnosis.verdict {
            Verdict::Ok => format!("can be pushed to, rehearsed as far as {rung}"),
            Verdict::Bad(problem) => {
                format!("can't be pushed to: {} [{}]", problem.reason.text(), problem.reason.code())
            }
            Verdict::Unknown(problem) => format!(
                "whether it can be pushed to was not to be told: {} [{}]",
                problem.reason.text(),
                problem.reason.code()
            ),
        };
        let mut table = String::new();
        for standing in &self.judged.standings {
            let _ = writeln!(table, "  {:<34}{}", standing.action, said(standing));
        }
        if let Some(left) = &self.rehearsal.left {
            let _ = writeln!(table, "  left in the repository: {left}");
        }
        self.report().text_with(&headline, &plain(&table))
    }
}

fn said(standing: &Standing) -> String {
    let mut said = standing.state.word().to_owned();
    if let Some(policy) = standing.policy {
        let _ = write!(said, " by {}", policy.words());
    }
    if let Some(problem) = &standing.reason {
        let _ = write!(said, " [{}]", problem.reason.code());
    }
    said
}
