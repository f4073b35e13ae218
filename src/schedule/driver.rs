//! Runs every job: deadlines, backoff, panics, drain. It alone turns outcomes into metrics,
//! status and log lines (through a [`Recorder`]).

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    backoff,
    job::Job,
    wake::{Trigger, Wake},
};
use crate::{
    model::{
        outcome::{Again, Outcome, Problem, Verdict},
        reason::Reason,
    },
    observe::pulse::Pulse,
};

/// What one run came to, for metrics and status.
#[derive(Debug)]
pub struct Run<'a> {
    /// The job's name.
    pub job: &'a str,
    /// Fine, not fine, or not known.
    pub verdict: &'a Verdict,
    /// How long it took.
    pub took: Duration,
    /// Until the next run; `None` if only a signal brings it.
    pub next: Option<Duration>,
    /// Runs in a row that were not fine.
    pub failures: u32,
}

/// Who is told of runs.
pub trait Recorder: Send + Sync {
    /// A run starts.
    fn started(&self, job: &str);
    /// A run has ended.
    fn ended(&self, run: &Run<'_>);
    /// The job is gone.
    fn forgotten(&self, job: &str);
}

/// Runs jobs.
#[derive(Clone)]
pub struct Driver {
    recorder: Arc<dyn Recorder>,
    pulse: Pulse,
    /// Changes after a suspend or a jump of the wall clock: every job looks at once.
    jumps: watch::Receiver<u64>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// A job that runs.
#[derive(Debug)]
pub struct Handle {
    /// Wakes it.
    pub wake: Wake,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Lets a run in progress end, then ends the job.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.ended.await;
    }
}

impl Driver {
    /// A driver without jobs. `stop` ends all of them.
    pub fn new(
        recorder: Arc<dyn Recorder>,
        pulse: Pulse,
        jumps: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Self {
        Self { recorder, pulse, jumps, tracker: TaskTracker::new(), stop }
    }

    /// Runs a job at once, and from then on as it asks, at `wake`, and whenever a trigger fires.
    pub fn spawn(
        &self,
        job: Box<dyn Job>,
        wake: Wake,
        trigger: Option<Box<dyn Trigger>>,
    ) -> Handle {
        self.spawn_after(Some(Duration::ZERO), job, wake, trigger)
    }

    /// The same with a first run after so long, or only with the first signal.
    pub fn spawn_after(
        &self,
        first: Option<Duration>,
        job: Box<dyn Job>,
        wake: Wake,
        trigger: Option<Box<dyn Trigger>>,
    ) -> Handle {
        let stop = self.stop.child_token();
        let task = Loop {
            recorder: Arc::clone(&self.recorder),
            beat: self.pulse.register(job.name()),
            jumps: self.jumps.clone(),
            stop: stop.clone(),
            wake: wake.clone(),
            trigger,
            job,
            first: first.map(|pause| Instant::now() + pause),
            failures: 0,
            last: Verdict::Ok,
        };
        let ended = self.tracker.spawn(task.run());
        Handle { wake, stop, ended }
    }

    /// Waits until every job has ended, but not longer than `grace`. `false` if some have not.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

/// One job's loop.
struct Loop {
    recorder: Arc<dyn Recorder>,
    beat: crate::observe::pulse::Beat,
    jumps: watch::Receiver<u64>,
    stop: CancellationToken,
    wake: Wake,
    trigger: Option<Box<dyn Trigger>>,
    job: Box<dyn Job>,
    first: Option<Instant>,
    failures: u32,
    last: Verdict,
}

impl Loop {
    async fn run(mut self) {
        let mut next = self.first;
        self.jumps.mark_unchanged();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.beat.asked() => {
                    fault(self.job.name()).await;
                    self.beat.answer();
                    continue;
                }
                () = at(next) => {}
                () = self.wake.woken() => {}
                () = fired(&mut self.trigger) => {}
                Ok(()) = self.jumps.changed() => {}
            }
            next = self.once().await.map(|pause| Instant::now() + pause);
        }
        self.recorder.forgotten(self.job.name());
    }

    /// One run; returns the pause until the next one.
    async fn once(&mut self) -> Option<Duration> {
        let started = Instant::now();
        self.recorder.started(self.job.name());
        let deadline = self.job.deadline();
        let outcome = {
            let run = async { tokio::time::timeout(deadline, self.job.run()).await };
            let mut run = pin!(AssertUnwindSafe(run).catch_unwind());
            loop {
                tokio::select! {
                    ended = &mut run => break ended,
                    // A run may wait for the network; its loop is alive meanwhile.
                    () = self.beat.asked() => self.beat.answer(),
                }
            }
        };
        let outcome = match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                let detail = format!("{} s", deadline.as_secs());
                Outcome::bad(Problem::new(Reason::JobTimeout, detail), Again::BackOff(deadline))
            }
            Err(panic) => Outcome::bad(
                Problem::new(Reason::JobPanicked, words(panic.as_ref())),
                Again::BackOff(Duration::from_secs(300)),
            ),
        };
        self.failures =
            if outcome.verdict == Verdict::Ok { 0 } else { self.failures.saturating_add(1) };
        let next = match outcome.again {
            Again::In(pause) => Some(pause),
            Again::BackOff(cap) => Some(backoff::pause(self.failures.max(1), cap, fastrand::f64())),
            Again::OnSignal => None,
        };
        self.log(&outcome);
        self.recorder.ended(&Run {
            job: self.job.name(),
            verdict: &outcome.verdict,
            took: started.elapsed(),
            next,
            failures: self.failures,
        });
        self.last = outcome.verdict;
        next
    }

    /// One line for each change, silence otherwise.
    fn log(&self, outcome: &Outcome) {
        let job = self.job.name();
        if let Some(change) = &outcome.change {
            info!(job, "{change}");
        }
        let before = self.last.problem().map(|problem| problem.reason);
        let now = outcome.verdict.problem().map(|problem| problem.reason);
        match (before, &outcome.verdict) {
            (Some(before), Verdict::Ok) => info!(job, reason = before.code(), "fine again"),
            (_, Verdict::Bad(problem) | Verdict::Unknown(problem)) if before != now => {
                warn!(
                    job,
                    reason = problem.reason.code(),
                    detail = problem.detail,
                    remedy = problem.reason.remedy(),
                    "{}",
                    problem.reason.text()
                );
            }
            _ => {}
        }
    }
}

async fn at(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

async fn fired(trigger: &mut Option<Box<dyn Trigger>>) {
    match trigger {
        Some(trigger) => trigger.fired().await,
        None => std::future::pending().await,
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A loop that is stuck while timers still run, for the watchdog's test: `block-loop:JOB`.
#[cfg(feature = "sandbox")]
async fn fault(job: &str) {
    let blocked = std::env::var("ECR_WARDEN_FAULT");
    if blocked.is_ok_and(|fault| fault.strip_prefix("block-loop:") == Some(job)) {
        std::future::pending::<()>().await;
    }
}

#[cfg(not(feature = "sandbox"))]
#[allow(clippy::unused_async)]
async fn fault(_job: &str) {}

#[cfg(test)]
mod tests;
