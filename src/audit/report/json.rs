//! For programs.

use serde_json::{Value, json};

use super::Report;
use crate::{
    audit::{
        rules::Rule,
        summary::{About, Group, Line, Times, Use},
    },
    model::outcome::Problem,
};

impl Report {
    /// Everything; `version` changes when a field goes or changes its meaning.
    pub fn json(&self, findings_only: bool) -> Value {
        let verdict = match self.exit() {
            0 => "ok",
            1 => "bad",
            _ => "unknown",
        };
        let counts = &self.counts;
        let findings: Vec<Value> =
            self.findings().into_iter().map(|(about, group)| finding(about, group)).collect();
        let not_read: Vec<Value> = self
            .not_read
            .iter()
            .map(|(file, problem)| json!({ "file": file, "reason": problem }))
            .collect();
        let unread: Vec<Value> = self
            .summary
            .unread
            .iter()
            .map(|(beginning, why)| {
                let reason = Problem::new(Rule::RecordUnread.reason(), why.clone());
                json!({ "beginning": beginning, "reason": reason })
            })
            .collect();
        let trails: Vec<Value> = self
            .summary
            .trails
            .iter()
            .map(|((account, region), events)| {
                json!({ "account": account, "region": region, "events": events })
            })
            .collect();
        let mut whole = json!({
            "version": 1,
            "verdict": verdict,
            "files": self.done.files,
            "bytes": self.done.bytes.given,
            "records": counts.records,
            "events": counts.events,
            "copies": counts.copies,
            "older_than_asked_for": counts.earlier,
            "own_probes": counts.probes,
            "records_not_read": counts.unread,
            "first": self.summary.span.map(|(first, _)| first),
            "last": self.summary.span.map(|(_, last)| last),
            "trails": trails,
            "findings": findings,
            "findings_not_told_apart": self.summary.beyond.1,
            "files_not_read": not_read,
            "unread": unread,
        });
        if let Some(problem) = self.reason().filter(|_| verdict != "ok") {
            whole["reason"] = json!(problem);
        }
        if !findings_only {
            let uses: Vec<Value> =
                self.uses().into_iter().map(|(what, line)| used(what, line)).collect();
            whole["uses"] = Value::from(uses);
            whole["events_not_told_apart"] = json!(self.summary.beyond.0);
        }
        whole
    }
}

fn finding(about: &About, group: &Group) -> Value {
    let rule = about.rule;
    let (session, event_id) = &group.example;
    json!({
        "rule": rule.name(),
        "severity": group.severity.word(),
        "vantage": rule.vantage().word(),
        "reason": Problem::new(rule.reason(), group.detail.clone()),
        "who": about.who,
        "call": about.name,
        "on": about.subject,
        "times": times(&group.times),
        "last_session": session,
        "last_event_id": event_id,
        "last_message": group.words,
    })
}

fn used(what: &Use, line: &Line) -> Value {
    json!({
        "who": what.who,
        "does": what.operation.word(),
        "on": what.subject,
        "registry": { "account": what.registry.0, "region": what.registry.1 },
        "times": times(&line.times),
        "sessions": line.sessions(),
    })
}

fn times(times: &Times) -> Value {
    json!({
        "count": times.count,
        "denied": times.denied,
        "failed": times.failed,
        "first": times.first,
        "last": times.last,
    })
}
