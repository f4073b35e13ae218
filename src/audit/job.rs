//! The job: parcels from a source, through the rules, into the journal; then the checkpoint.
//!
//! A parcel is given back only after its lines are on the disk, and whatever fails in between makes
//! the job begin again at the last checkpoint: nothing is lost, and what comes again is known by
//! its eventID.

use std::{
    collections::BTreeMap,
    fs::File,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    action,
    checkpoint::{Checkpoint, CheckpointFile},
    examine::{Examiner, Witness},
    input,
    journal::{Entry, Journal},
    record::Record,
    rules::{Finding, Ground, Rule, Rules, Severity},
    source::{Body, Fetched, Parcel, Source},
};
use crate::{
    model::{
        audit::AuditSpec,
        clock::Clock,
        outcome::{Again, Outcome, Problem},
        reason::Reason,
    },
    schedule::job::Job,
};

/// A run ends after so long, and the next one follows at once: a backlog must not look like a hang.
const STINT: Duration = Duration::from_secs(60);

/// A checkpoint is written at least so often.
const SAVED: Duration = Duration::from_secs(10);

/// What a run came by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events by API name and outcome.
    pub events: BTreeMap<(&'static str, &'static str), u64>,
    /// Findings by rule and severity.
    pub findings: BTreeMap<(&'static str, &'static str), u64>,
    /// The worst finding in one line.
    pub worst: Option<(Severity, String)>,
    /// The last event's time.
    latest: Option<Timestamp>,
}

/// Who is told.
pub trait Watcher: Send + Sync {
    /// A run has ended: what it came by, and until when everything is looked at.
    fn audited(&self, tally: &Tally, covered: Option<Timestamp>);
}

/// What the job is made of.
pub struct Tools {
    /// Makes the source, at the beginning again after a failure.
    pub source: Box<dyn Fn() -> Box<dyn Source> + Send>,
    /// The state directory.
    pub state: PathBuf,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub watcher: Arc<dyn Watcher>,
    /// Ends a stint after the parcel in hand: a reload does not wait for a backlog.
    pub stop: CancellationToken,
}

/// The job.
pub struct AuditJob {
    spec: AuditSpec,
    tools: Tools,
    live: Option<Live>,
}

/// What is at hand between two runs.
struct Live {
    source: Box<dyn Source>,
    desk: Desk,
    checkpoint: Checkpoint,
    file: CheckpointFile,
    saved: Instant,
}

/// What goes to another thread for the work.
struct Desk {
    examiner: Examiner,
    scribe: Scribe,
}

/// Writes what the examiner finds.
struct Scribe {
    journal: Journal,
    tally: Tally,
    log: String,
}

impl Scribe {
    fn found(&mut self, rule: Rule, severity: Severity, line: impl FnOnce() -> String) {
        *self.tally.findings.entry((rule.name(), severity.word())).or_default() += 1;
        if self.tally.worst.as_ref().is_none_or(|(worst, _)| *worst < severity) {
            self.tally.worst = Some((severity, line()));
        }
    }

    fn trouble(&mut self, log: &str, problem: &Problem) {
        self.journal.add(&Entry::Trouble { log, problem });
        let rule = if problem.reason == Reason::AuditGap { Rule::Gap } else { Rule::Unreadable };
        self.found(rule, rule.severity(), || format!("{log}: {problem}"));
    }
}

impl Witness for Scribe {
    fn event(&mut self, record: &Record, raw: &[u8], findings: &[Finding], again: bool) {
        self.tally.latest = self.tally.latest.max(Some(record.time));
        if !again {
            let key = (action::label(&record.name), record.outcome());
            *self.tally.events.entry(key).or_default() += 1;
        }
        if self.journal.events {
            self.journal.add(&Entry::Event(record, raw));
        }
        for finding in findings {
            if self.journal.add(&Entry::Finding(record, finding)) {
                self.found(finding.rule, finding.severity, || {
                    format!("{}: {}: {}", finding.rule.name(), record.actor.short(), finding.detail)
                });
            }
        }
    }

    fn unread(&mut self, beginning: &[u8], why: &str) {
        let log = self.log.clone();
        self.journal.add(&Entry::Unread { log: &log, beginning, why });
        let rule = Rule::RecordUnread;
        self.found(rule, rule.severity(), || format!("{log}: {why}"));
    }
}

impl Desk {
    /// Reads a parcel into the journal.
    fn read(&mut self, parcel: &Parcel) -> Result<(), Problem> {
        let Self { examiner, scribe } = self;
        scribe.log.clone_from(&parcel.name);
        scribe.tally.latest = None;
        let mut sink = |piece: super::splitter::Piece<'_>| examiner.take(piece, scribe);
        let read = match &parcel.body {
            Body::Bytes(bytes) => input::read(bytes.as_slice(), &mut sink, &mut |_| ()),
            Body::File(path) => match File::open(path) {
                Ok(file) => input::read(file, &mut sink, &mut |_| ()),
                Err(error) => Err(Problem::new(Reason::AuditUnreadable, error.to_string())),
            },
        };
        if let Err(problem) = read {
            scribe.trouble(&parcel.name, &problem);
        }
        scribe.journal.flush()
    }
}

impl AuditJob {
    /// The job of this configuration.
    pub fn new(spec: AuditSpec, tools: Tools) -> Self {
        Self { spec, tools, live: None }
    }

    fn begin(&self) -> Result<(Live, Option<Problem>), Problem> {
        let mut source = (self.tools.source)();
        let file = CheckpointFile::new(&self.tools.state);
        let (checkpoint, problem) = file.load(&source.name(), self.tools.clock.now())?;
        source.go_to(&checkpoint.place);
        let learn = SignedDuration::try_from(self.spec.learn).unwrap_or_default();
        let learned = checkpoint.began.checked_add(learn).unwrap_or(Timestamp::MAX);
        let rules = Rules::new(Ground::of(&self.spec, Some(learned)));
        let examiner = Examiner::new(rules.remembering(checkpoint.memory.clone()), None);
        let journal = Journal::open(&self.spec, &self.tools.state)?;
        let scribe = Scribe { journal, tally: Tally::default(), log: String::new() };
        let desk = Desk { examiner, scribe };
        Ok((Live { source, desk, checkpoint, file, saved: Instant::now() }, problem))
    }

    async fn work(&mut self) -> Result<(Tally, Option<Duration>), Problem> {
        let mut live = if let Some(live) = self.live.take() {
            live
        } else {
            let (live, problem) = self.begin()?;
            if let Some(problem) = problem {
                tracing::warn!(reason = problem.reason.code(), "{problem}");
            }
            live
        };
        let began = Instant::now();
        let pause = loop {
            if began.elapsed() > STINT || self.tools.stop.is_cancelled() {
                break Some(Duration::ZERO);
            }
            let receipt = match live.source.fetch(self.tools.clock.now()).await {
                Ok(Fetched::Nothing { pause }) => break pause,
                Ok(Fetched::Trouble { name, problem, receipt }) => {
                    live.desk.scribe.trouble(&name, &problem);
                    live.desk.scribe.journal.flush()?;
                    receipt
                }
                Ok(Fetched::Parcel(parcel)) => {
                    let mut desk = live.desk;
                    let worked = tokio::task::spawn_blocking(move || {
                        let read = desk.read(&parcel);
                        (desk, read, parcel.receipt)
                    });
                    let (desk, read, receipt) = worked
                        .await
                        .map_err(|error| Problem::new(Reason::JobPanicked, error.to_string()))?;
                    live.desk = desk;
                    read?;
                    receipt
                }
                // The source could not be asked: what came before it counts and is kept.
                Err(problem) => {
                    live.save()?;
                    let tally = std::mem::take(&mut live.desk.scribe.tally);
                    self.tools.watcher.audited(&tally, live.source.covered());
                    self.live = Some(live);
                    return Err(problem);
                }
            };
            let latest = live.desk.scribe.tally.latest;
            live.source.done(&receipt, latest).await?;
            if live.saved.elapsed() > SAVED {
                live.save()?;
            }
        };
        live.save()?;
        let tally = std::mem::take(&mut live.desk.scribe.tally);
        self.tools.watcher.audited(&tally, live.source.covered());
        self.live = Some(live);
        Ok((tally, pause))
    }
}

impl Live {
    fn save(&mut self) -> Result<(), Problem> {
        self.checkpoint.place = self.source.place();
        self.checkpoint.memory = self.desk.examiner.memory();
        self.saved = Instant::now();
        self.file.save(&self.checkpoint)
    }
}

impl Job for AuditJob {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async {
            let interval = self.spec.interval;
            match self.work().await {
                Ok((tally, pause)) => {
                    let again = Again::In(pause.unwrap_or(interval));
                    match change(&tally) {
                        Some(change) => Outcome::changed(change, again),
                        None => Outcome::ok(again),
                    }
                }
                Err(problem) => Outcome::bad(problem, Again::BackOff(interval)),
            }
        })
    }
}

/// What a run found, in one line.
fn change(tally: &Tally) -> Option<String> {
    let (_, worst) = tally.worst.as_ref()?;
    let count: u64 = tally.findings.values().sum();
    let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
    Some(format!("finding: {worst}{more}"))
}

#[cfg(test)]
mod tests;
