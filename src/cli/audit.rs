//! `ecr-warden audit scan`: log files of CloudTrail in, who uses the images out.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::check;
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};

use crate::{
    audit::{
        examine::Examiner,
        report,
        rules::{Ground, Rules},
        scan::{self, Step},
        walk::Walk,
    },
    config::{self, dropin::Sources},
    model::{audit::AuditSpec, schedule::parse_duration},
};

/// Who uses the images, and was it us.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// CloudTrail log files in, a summary and findings out; no AWS is asked, and of the
    /// configuration only [audit] counts, where there is one.
    Scan(ScanArgs),
}

/// The flags of `audit scan`.
#[derive(Debug, clap::Args)]
pub struct ScanArgs {
    /// Log files, .json or .json.gz, or folders of them; - is standard input. Also read: answers of
    /// `aws cloudtrail lookup-events`, events of EventBridge, and JSON lines.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave out older events: a duration (24h, 7d), a date, or a time such as 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Leave out who did what that is no finding.
    #[arg(long)]
    pub findings_only: bool,
}

/// Reads `--since`.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = parse_duration(text) {
        let ago = SignedDuration::try_from(ago).map_err(|error| error.to_string())?;
        return Timestamp::now().checked_sub(ago).map_err(|error| error.to_string());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let midnight = format!("{text}T00:00:00Z").parse::<Timestamp>();
    midnight.map_err(|_| {
        "expected a duration (24h, 7d), a date (2026-11-20), or a time with its zone (2026-11-20T10:00:00Z)".to_owned()
    })
}

/// 0: no findings; 1: findings, of which what could not be read is one; 2: nothing could be read.
pub fn run(
    command: &AuditCommand,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let AuditCommand::Scan(args) = command;
    let named = !paths.is_empty();
    // Rules out of half a configuration would be silent where they should not.
    let (loaded, mistakes) = config::load_anyway(&Sources::new(paths));
    if !mistakes.is_empty() && named {
        check::report(&mistakes, false, err)?;
        return Ok(2);
    }
    let spec = if mistakes.is_empty() { loaded.settings.audit } else { AuditSpec::default() };
    if !mistakes.is_empty() {
        writeln!(
            err,
            "ecr-warden: the configuration has mistakes and does not count here; `ecr-warden check` lists them"
        )?;
    }
    let examiner = Examiner::new(Rules::new(Ground::of(&spec, None)), args.since);
    let mut progress = io::stderr().is_terminal().then(|| Meter::new(&args.files));
    let mut step = |step: Step| {
        if let Some(meter) = &mut progress {
            meter.tell(step, err);
        }
    };
    let report = scan::scan(&args.files, examiner, &mut io::stdin().lock(), &mut step);
    if let Some(meter) = progress {
        meter.clear(err);
    }
    if args.json {
        writeln!(out, "{:#}", report.json(args.findings_only))?;
    } else {
        write!(out, "{}", report.table(args.findings_only))?;
    }
    Ok(report.exit())
}

/// A line on the terminal for scans that take longer than a moment.
struct Meter {
    paths: Vec<PathBuf>,
    /// Bytes of all files, counted when the first line is due.
    total: Option<u64>,
    last: Instant,
    shown: bool,
}

impl Meter {
    fn new(paths: &[PathBuf]) -> Self {
        Self { paths: paths.to_vec(), total: None, last: Instant::now(), shown: false }
    }

    fn tell(&mut self, step: Step, err: &mut dyn Write) {
        if self.last.elapsed() < Duration::from_millis(500) {
            return;
        }
        let paths = &self.paths;
        let total = *self.total.get_or_insert_with(|| {
            let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |about| about.len());
            Walk::new(paths).flatten().map(length).sum()
        });
        let part = match (step.bytes.taken * 100).checked_div(total) {
            Some(percent) => format!("{} %", percent.min(100)),
            None => report::size(step.bytes.taken),
        };
        let records = report::number(step.records);
        let _ = write!(err, "\r\x1b[K{part}, {} files, {records} records", step.files);
        let _ = err.flush();
        self.last = Instant::now();
        self.shown = true;
    }

    fn clear(self, err: &mut dyn Write) {
        if self.shown {
            let _ = write!(err, "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_written_as_people_write_it() {
        assert_eq!(since("2026-11-20").unwrap().to_string(), "2026-11-20T00:00:00Z");
        assert_eq!(since("2026-11-20T10:00:00+02:00").unwrap().to_string(), "2026-11-20T08:00:00Z");
        assert!(since("24h").unwrap() < Timestamp::now());
        assert!(since("yesterday").unwrap_err().contains("expected"));
    }
}
