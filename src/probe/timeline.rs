//! Where the time of a test pull went: by hop and phase, and request by request. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use super::capsule::Capsule;
use crate::oci::{
    phases::{Hop, Phase},
    trace::{Exchange, Step},
};

/// More requests than this of one kind are told as one line.
const MOST_LINES: usize = 6;

/// Seconds by hop and phase, added up over the requests; streams at once make more of it than the
/// clock. Phases that did not happen are absent.
pub fn seconds_by_phase(capsule: &Capsule) -> BTreeMap<Hop, BTreeMap<Phase, f64>> {
    let mut all: BTreeMap<Hop, BTreeMap<Phase, f64>> = BTreeMap::new();
    for exchange in &capsule.exchanges {
        let hop = all.entry(exchange.hop).or_default();
        for (phase, seconds) in exchange.timings.iter() {
            *hop.entry(phase).or_default() += seconds;
        }
    }
    all
}

/// One line of the table.
struct Line {
    after: f64,
    what: String,
    from: Hop,
    answer: String,
    seconds: BTreeMap<Phase, f64>,
    bytes: u64,
}

impl Line {
    fn of(exchange: &Exchange) -> Self {
        let head = if exchange.method == "GET" { "" } else { "HEAD " };
        let answer = match (&exchange.failure, &exchange.answer) {
            (Some(_), None) => "failed".to_owned(),
            (Some(_), Some(answer)) => format!("{} cut", answer.status),
            (None, Some(answer)) => answer.status.to_string(),
            (None, None) => "none".to_owned(),
        };
        Self {
            after: exchange.after,
            what: format!("{head}{}", exchange.step.word()),
            from: exchange.hop,
            answer,
            seconds: exchange.timings.iter().collect(),
            bytes: exchange.received,
        }
    }

    /// Several of one kind, added up.
    fn together(exchanges: &[&Exchange]) -> Option<Self> {
        let mut line = Self::of(exchanges.first()?);
        line.after = exchanges.iter().map(|one| one.after).fold(f64::INFINITY, f64::min);
        line.what = format!("{} x{}", line.what, exchanges.len());
        (line.seconds, line.bytes) = (BTreeMap::new(), 0);
        for exchange in exchanges {
            line.bytes = line.bytes.saturating_add(exchange.received);
            for (phase, seconds) in exchange.timings.iter() {
                *line.seconds.entry(phase).or_default() += seconds;
            }
        }
        Some(line)
    }
}

/// A phase's column.
fn width(phase: Phase) -> usize {
    phase.word().len().max(7)
}

/// A line for each request, in the order in which they began; many layers are one line, those that
/// failed are not in it.
pub fn table(capsule: &Capsule) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let is_layer = |exchange: &&Exchange| {
        exchange.step == Step::Layer
            && exchange.failure.is_none()
            && exchange.answer.as_ref().is_some_and(|answer| answer.status < 400)
    };
    let (layers, others): (Vec<&Exchange>, Vec<&Exchange>) =
        capsule.exchanges.iter().partition(is_layer);
    lines.extend(others.into_iter().map(Line::of));
    let many = layers.len() > MOST_LINES;
    for hop in [Hop::Registry, Hop::Storage] {
        let at: Vec<&Exchange> =
            layers.iter().copied().filter(|exchange| exchange.hop == hop).collect();
        if many {
            lines.extend(Line::together(&at));
        } else {
            lines.extend(at.into_iter().map(Line::of));
        }
    }
    lines.sort_by(|one, other| one.after.total_cmp(&other.after));

    let mut text = format!("{:>8}  {:<17}  {:<8}  {:<7}", "AT", "WHAT", "FROM", "ANSWER");
    for phase in Phase::ALL {
        let _ = write!(text, "  {:>1$}", phase.word(), width(phase));
    }
    let _ = writeln!(text, "  {:>11}", "bytes");
    for line in &lines {
        let at = format!("+{:.3} s", line.after);
        let _ =
            write!(text, "{at:>8}  {:<17}  {:<8}  {:<7}", line.what, line.from.word(), line.answer);
        for phase in Phase::ALL {
            let took = line.seconds.get(&phase).map(|took| format!("{:.1}", took * 1e3));
            let _ = write!(text, "  {:>1$}", took.as_deref().unwrap_or("-"), width(phase));
        }
        let _ = writeln!(text, "  {:>11}", line.bytes);
    }
    let summed = if many { "; lines with x are sums over streams that ran at once" } else { "" };
    let _ = writeln!(
        text,
        "(phases in milliseconds; - did not happen, as on a connection used again{summed})"
    );
    text
}
