//! What is said: a table for people, and JSON.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Examination, Image, Way, trial::Tried};
use crate::model::{
    outcome::{Problem, Verdict},
    reason::Reason,
};

/// All of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The image as it was asked about.
    pub asked: String,
    /// The image.
    pub image: Image,
    /// The host's name.
    pub host: String,
    /// When it was tried.
    pub now: Timestamp,
    /// Each way with what became of it.
    pub rows: Vec<(Way, Tried)>,
    /// The tasks of an ECS host.
    pub ecs: Option<Examination>,
}

impl Report {
    /// The verdict over all consumers. One without any is none that is fine.
    pub fn verdict(&self) -> Verdict {
        let verdicts = || self.rows.iter().filter_map(|(_, tried)| tried.verdict.as_ref());
        let bad = verdicts().find(|verdict| matches!(verdict, Verdict::Bad(_)));
        let unknown = verdicts().find(|verdict| matches!(verdict, Verdict::Unknown(_)));
        match bad.or(unknown) {
            Some(verdict) => verdict.clone(),
            None if verdicts().next().is_none() => {
                Verdict::Unknown(Problem::new(Reason::NoConsumer, ""))
            }
            None => Verdict::Ok,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> u8 {
        match self.verdict() {
            Verdict::Ok => 0,
            Verdict::Bad(_) => 1,
            Verdict::Unknown(_) => 3,
        }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let mut consumers = Vec::new();
        for (way, tried) in &self.rows {
            for consumer in &way.consumers {
                let mut one = json!({
                    "consumer": consumer,
                    "user": way.user,
                    "verdict": tried.verdict.as_ref().map_or("by-hand", Verdict::word),
                    "from": tried.from,
                    "valid_from": tried.valid.map(|(from, _)| from),
                    "valid_until": tried.valid.map(|(_, until)| until),
                    "notes": tried.notes,
                });
                if let Some(problem) = tried.verdict.as_ref().and_then(Verdict::problem) {
                    one["reason"] = reason(problem, tried.remedy.as_deref());
                }
                consumers.push(one);
            }
        }
        let verdict = self.verdict();
        let mut whole = json!({
            "version": 1,
            "image": self.asked,
            "registry": self.image.host,
            "host": self.host,
            "time": self.now,
            "verdict": verdict.word(),
            "consumers": consumers,
        });
        if let Some(problem) = verdict.problem() {
            let same = |tried: &&Tried| tried.verdict.as_ref() == Some(&verdict);
            let remedy = self.rows.iter().map(|(_, tried)| tried).find(same);
            whole["reason"] = reason(problem, remedy.and_then(|tried| tried.remedy.as_deref()));
        }
        if let Some(ecs) = &self.ecs {
            whole["ecs"] = json!(ecs);
        }
        whole
    }

    /// As people paste it into tickets.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}", self.asked);
        let time = self.now.strftime("%F %H:%M UTC");
        let _ = writeln!(text, "{} at {time}: {}\n", self.host, self.summary());
        let rows: Vec<[String; 5]> =
            self.rows.iter().map(|(way, tried)| self.row(way, tried)).collect();
        if !rows.is_empty() {
            let head =
                ["CONSUMER", "USER", "WORKS", "VALID, BY ITS OWN WORDS (UTC)", "CREDENTIAL FROM"]
                    .map(str::to_owned);
            let mut widths = [0; 5];
            for row in std::iter::once(&head).chain(&rows) {
                for (width, cell) in widths.iter_mut().zip(row) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            for row in std::iter::once(&head).chain(&rows) {
                let cells: Vec<String> =
                    row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
                let _ = writeln!(text, "{}", cells.join("  ").trim_end());
            }
        }
        if self.rows.iter().any(|(_, tried)| tried.verdict.is_some()) {
            let _ = writeln!(
                text,
                "WORKS: what the registry says of it at GET /v2/. Whether it may pull this repository is another question."
            );
        }
        for (way, tried) in &self.rows {
            let problem = tried.verdict.as_ref().and_then(Verdict::problem);
            if problem.is_none() && tried.notes.is_empty() {
                continue;
            }
            let whose = way.user.as_ref().map(|user| format!(" ({user})")).unwrap_or_default();
            let _ = writeln!(text, "\n{}{whose}", way.consumers.join(", "));
            if let Some(problem) = problem {
                let _ = writeln!(text, "  {problem}");
                let _ = writeln!(
                    text,
                    "  -> {}",
                    tried.remedy.as_deref().unwrap_or(problem.reason.remedy())
                );
            }
            for note in &tried.notes {
                let _ = writeln!(text, "  note: {note}");
            }
        }
        if let Some(ecs) = &self.ecs {
            self.tell_ecs(&mut text, ecs);
        }
        if self.rows.is_empty() {
            let _ = writeln!(text, "-> {}", Reason::NoConsumer.remedy());
        }
        text
    }

    fn summary(&self) -> String {
        let count = |word: &str| -> usize {
            let of = |(way, tried): &(Way, Tried)| {
                tried
                    .verdict
                    .as_ref()
                    .is_some_and(|verdict| verdict.word() == word)
                    .then_some(way.consumers.len())
            };
            self.rows.iter().filter_map(of).sum()
        };
        let (ok, bad, unknown) = (count("ok"), count("bad"), count("unknown"));
        let all = ok + bad + unknown;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        if all == 0 {
            return "no consumer of registries was found".to_owned();
        }
        let mut said = Vec::new();
        if bad > 0 {
            said.push(format!(
                "{bad} of {all} consumers ha{} no working credential",
                if bad == 1 { "s" } else { "ve" }
            ));
        }
        if unknown > 0 {
            said.push(format!("{unknown} of {all} could not be told"));
        }
        if said.is_empty() {
            return format!("the registry accepts what {all} consumer{} would send", plural(all));
        }
        said.join(", ")
    }

    fn row(&self, way: &Way, tried: &Tried) -> [String; 5] {
        let works = match &tried.verdict {
            None => "by hand",
            Some(Verdict::Ok) => "yes",
            Some(Verdict::Bad(_)) => "NO",
            Some(Verdict::Unknown(_)) => "unknown",
        };
        let valid = match tried.valid {
            Some((from, until)) => {
                let same = from.strftime("%F").to_string() == until.strftime("%F").to_string();
                let until_shown = until.strftime(if same { "%H:%M" } else { "%m-%d %H:%M" });
                let away = distance(self.now, until);
                format!("{} to {until_shown} ({away})", from.strftime("%F %H:%M"))
            }
            None => "-".to_owned(),
        };
        let user = way.user.clone().unwrap_or_else(|| "-".to_owned());
        [way.consumers.join(", "), user, works.to_owned(), valid, tried.from.clone()]
    }

    fn tell_ecs(&self, text: &mut String, ecs: &Examination) {
        let _ = writeln!(text, "\nECS tasks on this host (execution roles: not asked)");
        for one in &ecs.containers {
            let image = one.image.as_deref().unwrap_or("image unknown");
            let here = if image.starts_with(&format!("{}/", self.image.host)) {
                "  <- this registry"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "  {} {} {}: {image}{here}",
                one.definition, one.status, one.container
            );
        }
        match &ecs.unseen {
            Some(unseen) => {
                let _ = writeln!(text, "  unknown: {unseen}");
            }
            None if ecs.containers.is_empty() => {
                let _ = writeln!(text, "  none");
            }
            None => {}
        }
    }
}

fn reason(problem: &Problem, remedy: Option<&str>) -> Value {
    #[derive(Serialize)]
    struct Told<'a> {
        code: &'a str,
        text: &'a str,
        remedy: &'a str,
        detail: &'a str,
    }
    let reason = problem.reason;
    json!(Told {
        code: reason.code(),
        text: reason.text(),
        remedy: remedy.unwrap_or(reason.remedy()),
        detail: &problem.detail,
    })
}

/// How far away the end is: `11 h 3 min left`, `dead for 2 d`.
fn distance(now: Timestamp, then: Timestamp) -> String {
    let left = then.duration_since(now);
    let minutes = left.abs().as_mins();
    let (days, hours) = (minutes / 1440, minutes / 60);
    let span = match minutes {
        0 => format!("{} s", left.abs().as_secs()),
        1..60 => format!("{minutes} min"),
        60..2880 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d"),
    };
    if left > SignedDuration::ZERO { format!("{span} left") } else { format!("dead for {span}") }
}
