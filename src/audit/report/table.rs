//! For people.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;

use super::Report;
use crate::{
    audit::{
        rules::Rule,
        summary::{About, Group, Line, Times, Use},
    },
    model::reason::Reason,
};

/// So many lines of each kind are shown; JSON has all.
const SHOWN: usize = 40;

impl Report {
    /// As people paste it into tickets.
    pub fn table(&self, findings_only: bool) -> String {
        let mut text = String::new();
        self.head(&mut text);
        self.tell_findings(&mut text);
        self.tell_unread(&mut text);
        if !findings_only {
            self.tell_uses(&mut text);
        }
        text
    }

    fn head(&self, text: &mut String) {
        let counts = &self.counts;
        let files = plural(self.done.files, "file");
        let records = plural(counts.records, "record");
        let _ = write!(text, "{files}, {}, {records}: ", size(self.done.bytes.given));
        if counts.events == 0 {
            let _ = write!(text, "no event of ECR");
        } else {
            let _ = write!(text, "{} of ECR", plural(counts.events, "event"));
        }
        if let Some((first, last)) = self.summary.span {
            let _ = write!(text, ", {} to {} UTC", minute(first), minute(last));
        }
        text.push('\n');
        if !self.summary.trails.is_empty() {
            let trails: Vec<String> = self
                .summary
                .trails
                .keys()
                .take(8)
                .map(|(account, region)| clean(&format!("{account} {region}")))
                .collect();
            let more = self.summary.trails.len().saturating_sub(trails.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = writeln!(text, "trails of {}{more}", trails.join(", "));
        }
        let asides = [
            (counts.copies, "there more than once"),
            (counts.earlier, "older than asked for"),
            (counts.probes, "our own probes' pulls"),
            (counts.unread, "not readable"),
        ];
        let said: Vec<String> = asides
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", number(count)))
            .collect();
        if !said.is_empty() {
            let _ = writeln!(text, "left out: {}", said.join(", "));
        }
    }

    fn tell_findings(&self, text: &mut String) {
        let findings = self.findings();
        if findings.is_empty() {
            let _ = writeln!(text, "\nno findings");
            return;
        }
        let _ = writeln!(text);
        let head = ["SEVERITY", "RULE", "WHO", "CALL", "ON", "TIMES", "FIRST (UTC)", "LAST (UTC)"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(findings.iter().take(SHOWN).map(|(about, group)| finding_row(about, group)));
        let lines = aligned(&rows, &[5]);
        let _ = writeln!(text, "{}", lines[0]);
        for (line, (_, group)) in lines[1..].iter().zip(&findings) {
            let _ = writeln!(text, "{line}");
            let _ = writeln!(text, "    {}{}", clean(&group.detail), clue(group));
        }
        more(text, findings.len(), "finding");
        let beyond = self.summary.beyond.1;
        if beyond > 0 {
            let _ =
                writeln!(text, "{} more that are not told apart: too many kinds", number(beyond));
        }
        let rules: BTreeSet<Rule> = findings.iter().map(|(about, _)| about.rule).collect();
        for rule in rules {
            tell(text, rule.name(), rule.reason());
        }
    }

    fn tell_unread(&self, text: &mut String) {
        if self.trouble > 0 {
            let _ = writeln!(text, "\nNOT READ TO THE END");
            for (file, problem) in self.not_read.iter().take(SHOWN) {
                let _ = writeln!(text, "  {}: {}", clean(file), clean(&problem.to_string()));
            }
            more(text, usize::try_from(self.trouble).unwrap_or(usize::MAX), "file");
            let reasons: BTreeSet<Reason> =
                self.not_read.iter().map(|(_, problem)| problem.reason).collect();
            for reason in reasons {
                let _ = writeln!(text, "  -> {}", reason.remedy());
            }
        }
        if self.counts.unread > 0 {
            let reason = Rule::RecordUnread.reason();
            let _ = writeln!(text, "\n{} [{}]", reason.text(), reason.code());
            for (beginning, why) in &self.summary.unread {
                let _ = writeln!(text, "  {why}: {}", clean(beginning));
            }
            more(text, usize::try_from(self.counts.unread).unwrap_or(usize::MAX), "record");
            let _ = writeln!(text, "  -> {}", reason.remedy());
        }
        if self.done.files == 0 {
            let _ = writeln!(
                text,
                "there is no log file (*.json, *.json.gz, *.jsonl) in what was named"
            );
        }
    }

    fn tell_uses(&self, text: &mut String) {
        let uses = self.uses();
        if uses.is_empty() {
            return;
        }
        let _ = writeln!(text);
        let head = [
            "WHO",
            "DOES",
            "ON",
            "TIMES",
            "DENIED",
            "FAILED",
            "SESSIONS",
            "FIRST (UTC)",
            "LAST (UTC)",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(uses.iter().take(SHOWN).map(|(what, line)| use_row(what, line)));
        for line in aligned(&rows, &[3, 4, 5, 6]) {
            let _ = writeln!(text, "{line}");
        }
        more(text, uses.len(), "line");
        let beyond = self.summary.beyond.0;
        if beyond > 0 {
            let _ = writeln!(
                text,
                "{} more that are not told apart: too many kinds",
                plural(beyond, "event")
            );
        }
    }
}

fn finding_row(about: &About, group: &Group) -> [String; 8] {
    [
        group.severity.word().to_owned(),
        about.rule.name().to_owned(),
        clean(&about.who),
        clean(&about.name),
        dash(&about.subject),
        number(group.times.count),
        minute(group.times.first),
        last(&group.times),
    ]
}

fn use_row(what: &Use, line: &Line) -> [String; 9] {
    let on = if what.subject.is_empty() { "-".to_owned() } else { clean(&what.subject) };
    let nothing = |count: u64| if count == 0 { "-".to_owned() } else { number(count) };
    [
        clean(&what.who),
        what.operation.word().to_owned(),
        on,
        number(line.times.count),
        nothing(line.times.denied),
        nothing(line.times.failed),
        nothing(line.sessions() as u64),
        minute(line.times.first),
        last(&line.times),
    ]
}

/// Where to begin to look.
fn clue(group: &Group) -> String {
    let (session, event) = &group.example;
    let by = if session.is_empty() { String::new() } else { format!(" by {session}") };
    let last = if group.times.count > 1 { "the last" } else { "it" };
    clean(&format!("; {last} was event {event}{by}"))
}

fn tell(text: &mut String, name: &str, reason: Reason) {
    let _ = writeln!(text, "\n{name}: {}", reason.text());
    let _ = writeln!(text, "  -> {}", reason.remedy());
}

fn more(text: &mut String, all: usize, what: &str) {
    if all > SHOWN {
        let left = (all - SHOWN) as u64;
        let _ = writeln!(text, "and {}; --json has all", plural(left, &format!("more {what}")));
    }
}

/// Cells under each other, numbers to the right.
fn aligned<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let cell = |(at, cell): (usize, &String)| {
        let width = widths[at];
        if right.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    };
    rows.iter()
        .map(|row| {
            row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { clean(text) }
}

/// Without what would steer a terminal: names in a trail are chosen by whoever calls.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn minute(at: Timestamp) -> String {
    at.strftime("%F %H:%M").to_string()
}

/// The last time, with its day only when that is another one.
fn last(times: &Times) -> String {
    let day = |at: Timestamp| at.strftime("%F").to_string();
    let same = day(times.first) == day(times.last);
    times.last.strftime(if same { "%H:%M" } else { "%F %H:%M" }).to_string()
}

fn plural(count: u64, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With thousands set apart.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people say them.
pub fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let bytes_float = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes_float / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", bytes_float / 1e6),
        _ => format!("{:.1} GB", bytes_float / 1e9),
    }
}
