//! What a job found: fine, not fine, or not known, and when to look again.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::reason::Reason;

/// A reason with what was observed in this case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The member of the catalogue.
    pub reason: Reason,
    /// What was seen: the object and the words of the other side. Never a secret.
    pub detail: String,
}

impl Problem {
    /// A problem with its observation.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            write!(f, "{} [{}]", self.reason.text(), self.reason.code())
        } else {
            write!(f, "{}: {} [{}]", self.reason.text(), self.detail, self.reason.code())
        }
    }
}

impl std::error::Error for Problem {}

impl Serialize for Problem {
    /// `{"code", "text", "remedy", "detail"}`: the shape of every `reason` in JSON output.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("code", self.reason.code())?;
        map.serialize_entry("text", self.reason.text())?;
        map.serialize_entry("remedy", self.reason.remedy())?;
        map.serialize_entry("detail", &self.detail)?;
        map.end()
    }
}

/// Three-valued: "could not look" never reads as "fine".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was looked at and is fine.
    Ok,
    /// It was looked at and is not fine.
    Bad(Problem),
    /// It could not be looked at.
    Unknown(Problem),
}

impl Verdict {
    /// `ok`, `bad` or `unknown`: the word in metrics and status.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad(_) => "bad",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The problem, unless it is fine.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Ok => None,
            Self::Bad(problem) | Self::Unknown(problem) => Some(problem),
        }
    }
}

/// When a job wants to run again, signals aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// After so long. Wall-clock jumps and suspends make the driver look at once anyway.
    In(Duration),
    /// After a pause that grows with each failure in a row, with full jitter, up to so long.
    BackOff(Duration),
    /// Only when it is signalled, or at the next tick of its cron schedule.
    OnSignal,
}

/// What one run of a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Fine, not fine, or not known.
    pub verdict: Verdict,
    /// What changed, in one line, when something did: it is logged. Silence otherwise.
    pub change: Option<String>,
    /// When to run again.
    pub again: Again,
}

impl Outcome {
    /// Fine, nothing changed.
    pub fn ok(again: Again) -> Self {
        Self { verdict: Verdict::Ok, change: None, again }
    }

    /// Fine, and this changed.
    pub fn changed(change: impl Into<String>, again: Again) -> Self {
        Self { verdict: Verdict::Ok, change: Some(change.into()), again }
    }

    /// Not fine.
    pub fn bad(problem: Problem, again: Again) -> Self {
        Self { verdict: Verdict::Bad(problem), change: None, again }
    }

    /// Could not look.
    pub fn unknown(problem: Problem, again: Again) -> Self {
        Self { verdict: Verdict::Unknown(problem), change: None, again }
    }
}
