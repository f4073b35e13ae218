//! What a scan says: a table for people, and JSON. Pure.

mod json;
mod table;

pub use table::{number, size};

use super::{
    examine::Counts,
    rules::{Rule, Severity},
    scan::Step,
    summary::{About, Group, Line, Summary, Use},
};
use crate::model::outcome::Problem;

/// The outcome of a scan.
pub struct Report {
    /// How much was read.
    pub done: Step,
    /// What came by.
    pub counts: Counts,
    /// Uses and findings.
    pub summary: Summary,
    /// Files that could not be read to their ends, and why.
    pub not_read: Vec<(String, Problem)>,
    /// How many of them there were.
    pub trouble: u64,
}

impl Report {
    /// Whether nothing at all could be read.
    pub fn is_void(&self) -> bool {
        let read = self.counts.records > self.counts.unread;
        !read && (self.done.files == 0 || self.trouble > 0 || self.counts.unread > 0)
    }

    /// Whether there is something to look at; what can't be read is such a thing.
    pub fn has_findings(&self) -> bool {
        !self.summary.findings.is_empty()
            || self.summary.beyond.1 > 0
            || self.trouble > 0
            || self.counts.unread > 0
    }

    /// 0: nothing to look at; 1: something is; 2: nothing could be read.
    pub fn exit(&self) -> u8 {
        if self.is_void() { 2 } else { u8::from(self.has_findings()) }
    }

    /// The groups of findings, the worst and then the latest first.
    fn findings(&self) -> Vec<(&About, &Group)> {
        let mut findings: Vec<_> = self.summary.findings.iter().collect();
        findings.sort_by(|(about, group), (other_about, other)| {
            (other.severity, other.times.last, about.rule, &about.who, &about.subject, &about.name)
                .cmp(&(
                    group.severity,
                    group.times.last,
                    other_about.rule,
                    &other_about.who,
                    &other_about.subject,
                    &other_about.name,
                ))
        });
        findings
    }

    /// The uses: denied ones first, then the most frequent.
    fn uses(&self) -> Vec<(&Use, &Line)> {
        let mut uses: Vec<_> = self.summary.uses.iter().collect();
        uses.sort_by(|(what, line), (other_what, other)| {
            (other.times.denied, other.times.count, *what).cmp(&(
                line.times.denied,
                line.times.count,
                *other_what,
            ))
        });
        uses
    }

    /// The reason of the whole: that of the worst finding, or of the first file not read.
    fn reason(&self) -> Option<Problem> {
        let worst = self.findings().into_iter().next().map(|(about, group)| {
            let detail = match about.rule {
                Rule::Denied => {
                    format!("{}: {} on {}: {}", about.who, about.name, about.subject, group.detail)
                }
                _ => format!("{}: {}", about.who, group.detail),
            };
            Problem::new(about.rule.reason(), detail)
        });
        let file = self.not_read.first().map(|(file, problem)| {
            Problem::new(problem.reason, format!("{file}: {}", problem.detail))
        });
        let record = self.summary.unread.first().map(|(beginning, why)| {
            Problem::new(Rule::RecordUnread.reason(), format!("{why}: {beginning}"))
        });
        let nothing = || {
            let none = self.done.files == 0;
            none.then(|| Problem::new(Rule::Unreadable.reason(), "there is no log file in it"))
        };
        let critical =
            self.findings().first().is_some_and(|(_, it)| it.severity > Severity::Notice);
        if critical { worst } else { file.or(worst).or(record).or_else(nothing) }
    }
}

#[cfg(test)]
mod tests;
