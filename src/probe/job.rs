//! The job of one configured test pull: waits for a place among those that run, pulls, and says what
//! the last results come to. Its verdict is the probe's state: one failure is noted and tried again
//! soon, and counts once `failures_to_alarm` of them came in a row.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    Depth,
    attempt::{Caller, Credential, attempt},
    baseline::{Baseline, Slow},
    budget::{Budget, Left},
    capsule::Capsule,
    diagnosis::{Diagnosis, diagnose},
    pull::{Allowance, Plan},
    push::{PushPlan, Rung, rehearse, verdict::judge},
    turn::{self, State},
};
use crate::{
    model::{
        clock::Clock,
        outcome::{Again, Outcome, Problem, Verdict},
        probe::ProbeSpec,
        reason::Reason,
        schedule::Schedule,
    },
    oci::{client::Client, trace::Record},
    schedule::job::Job,
};

/// A cron expression's interval is not known; a failure is then tried again as if it were this.
const SOME_INTERVAL: Duration = Duration::from_secs(900);

/// A fleet with a cron expression spreads over so long after it fires.
const SPREAD: Duration = Duration::from_secs(600);

/// How long a place may take to become free, with all others at their slowest.
const QUEUE: Duration = Duration::from_secs(3600);

/// How long the first token is waited for after a start.
const FIRST_TOKEN: Duration = Duration::from_secs(30);

/// What was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What our own client saw.
    pub capsule: Capsule,
    /// What it means, where more was done than our own client's pull.
    pub beyond: Option<Beyond>,
}

/// What an engine's trial or a rehearsed push means, which is not in the capsule alone.
#[derive(Clone, Debug)]
pub struct Beyond {
    /// The diagnosis.
    pub diagnosis: Diagnosis,
    /// How far down it came.
    pub reached: Option<Depth>,
    /// All of it, for whoever looks at it elsewhere.
    pub trace: serde_json::Value,
}

impl From<Capsule> for Tried {
    fn from(capsule: Capsule) -> Self {
        Self { capsule, beyond: None }
    }
}

/// Makes the pull; a trait, so that time can be simulated.
pub trait Puller: Send + Sync {
    /// One pull. `started` is now.
    fn pull<'a>(
        &'a self,
        plan: &'a Plan,
        started: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Tried> + Send + 'a>>;
}

/// Who pulls, once that is known; not waited for for ever.
pub async fn caller_of(callers: &dyn Callers, host: &str) -> Caller {
    let known = async {
        loop {
            match callers.caller() {
                Some(caller) => return caller,
                None => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    };
    let late = || Caller {
        registry: None,
        principal: None,
        credential: Credential::Lacking(Problem::new(Reason::OutputNoToken, host)),
    };
    tokio::time::timeout(FIRST_TOKEN, known).await.unwrap_or_else(|_| late())
}

/// Who pulls, asked before each pull: tokens are replaced.
pub trait Callers: Send + Sync {
    /// `None` while it is not known yet whether there is a token.
    fn caller(&self) -> Option<Caller>;
}

/// Pulls with our own client.
pub struct ClientPuller {
    /// The client.
    pub client: Arc<Client>,
    /// Who pulls.
    pub callers: Arc<dyn Callers>,
}

impl Puller for ClientPuller {
    fn pull<'a>(
        &'a self,
        plan: &'a Plan,
        started: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Tried> + Send + 'a>> {
        Box::pin(async move {
            let caller = caller_of(&*self.callers, &plan.image.host).await;
            let record = Arc::new(Record::default());
            attempt(&self.client, &caller, plan, &record, started).await.into()
        })
    }
}

/// Rehearses pushes.
pub struct PushPuller {
    /// The client.
    pub client: Arc<Client>,
    /// Who pushes.
    pub callers: Arc<dyn Callers>,
    /// How far.
    pub rung: Rung,
}

impl Puller for PushPuller {
    fn pull<'a>(
        &'a self,
        plan: &'a Plan,
        started: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Tried> + Send + 'a>> {
        Box::pin(async move {
            let caller = caller_of(&*self.callers, &plan.image.host).await;
            let plan = PushPlan {
                image: plan.image.clone(),
                rung: self.rung,
                platform: plan.platform.clone(),
                timeout: plan.timeout,
            };
            let record = Arc::new(Record::default());
            let rehearsal = rehearse(&self.client, &caller, &plan, &record, started).await;
            let beyond = Beyond {
                diagnosis: judge(&rehearsal).diagnosis,
                reached: None,
                trace: serde_json::to_value(&rehearsal).unwrap_or_default(),
            };
            Tried { capsule: rehearsal.seen, beyond: Some(beyond) }
        })
    }
}

/// One run, for metrics, status and history.
#[derive(Debug)]
pub struct Ran<'a> {
    /// What was seen; `None` when the budget was spent and nothing was asked.
    pub capsule: Option<&'a Capsule>,
    /// How far down it came.
    pub reached: Option<Depth>,
    /// All that was seen, where that is more than the capsule.
    pub trace: Option<&'a serde_json::Value>,
    /// What it means.
    pub diagnosis: &'a Diagnosis,
    /// When it began.
    pub started: Timestamp,
    /// What the last results come to.
    pub state: &'a State,
    /// A phase that took far longer than it usually does.
    pub slow: Option<Slow>,
    /// What is left of the host's budget.
    pub left: Left,
}

/// Who is told.
pub trait Watcher: Send + Sync {
    /// A run has ended.
    fn ran(&self, probe: &ProbeSpec, run: &Ran<'_>);
}

/// What a probe works with.
pub struct Tools {
    /// Makes the pull.
    pub puller: Arc<dyn Puller>,
    /// The places of all probes that run at once.
    pub places: Arc<Semaphore>,
    /// What all probes together may take.
    pub budget: Arc<Mutex<Budget>>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub watcher: Arc<dyn Watcher>,
    /// Ends a pull that runs, when the probe is taken out of the configuration.
    pub stop: CancellationToken,
}

/// The job.
pub struct ProbeJob {
    name: String,
    spec: ProbeSpec,
    /// This host's place in a fleet, in `[0, 1)`.
    place: f64,
    tools: Tools,
    state: State,
    baseline: Baseline,
    /// Whether something was slow in the last run.
    slow: bool,
    /// With a cron expression: it has fired, and this host's place in the minutes after it has come.
    due: bool,
}

impl ProbeJob {
    /// A probe that has not run yet.
    pub fn new(spec: ProbeSpec, place: f64, tools: Tools) -> Self {
        Self {
            name: format!("probe:{}", spec.name),
            state: State::new(spec.failures_to_alarm),
            spec,
            place,
            tools,
            baseline: Baseline::default(),
            slow: false,
            due: false,
        }
    }

    /// How long after a start the first run comes; with a cron expression, only with it.
    pub fn first(&self) -> Option<Duration> {
        match &self.spec.schedule {
            Schedule::Every(interval) => Some(turn::first(*interval, self.place)),
            Schedule::Cron(_) => None,
        }
    }

    async fn once(&mut self) -> Outcome {
        if matches!(self.spec.schedule, Schedule::Cron(_))
            && !std::mem::replace(&mut self.due, true)
        {
            // It fires everywhere at once.
            let again = Again::In(SPREAD.mul_f64(self.place));
            return Outcome { verdict: self.state.verdict.clone(), change: None, again };
        }
        let stopped = self.tools.stop.clone();
        let places = Arc::clone(&self.tools.places);
        let (tried, started) = tokio::select! {
            () = stopped.cancelled() => return Outcome::ok(Again::OnSignal),
            pulled = async {
                // It is never closed.
                let _place = places.acquire().await;
                let started = self.tools.clock.now();
                (self.pull(started).await, started)
            } => pulled,
        };
        let (capsule, beyond) = match tried {
            Some(Tried { capsule, beyond }) => (Some(capsule), beyond),
            None => (None, None),
        };
        let diagnosis = match (&capsule, &beyond) {
            (_, Some(beyond)) => beyond.diagnosis.clone(),
            (Some(capsule), None) => diagnose(capsule),
            (None, None) => Diagnosis::unknown(Problem::new(
                Reason::ProbeBudgetSpent,
                format!("{}: no requests are left", self.spec.image),
            )),
        };
        let now = self.tools.clock.now();
        self.state.take(&diagnosis.verdict, started);
        let fine = capsule.as_ref().filter(|_| diagnosis.verdict == Verdict::Ok);
        let slow = fine.and_then(|capsule| self.baseline.take(capsule));
        self.tools.watcher.ran(
            &self.spec,
            &Ran {
                capsule: capsule.as_ref(),
                reached: match &beyond {
                    Some(beyond) => beyond.reached,
                    None => capsule.as_ref().and_then(|capsule| capsule.reached),
                },
                trace: beyond.as_ref().map(|beyond| &beyond.trace),
                diagnosis: &diagnosis,
                started,
                state: &self.state,
                slow,
                left: self.budget().left(now),
            },
        );
        let again = self.again(now);
        let change = self.change(&diagnosis.verdict, slow, again);
        Outcome { verdict: self.state.verdict.clone(), change, again }
    }

    /// Pulls, if there are requests left.
    async fn pull(&self, started: Timestamp) -> Option<Tried> {
        if self.budget().left(started).requests < self.spec.requests(0) {
            return None;
        }
        let reserved = Arc::new(Mutex::new(0_u64));
        let (budget, aside, clock) =
            (Arc::clone(&self.tools.budget), Arc::clone(&reserved), Arc::clone(&self.tools.clock));
        let plan = Plan {
            image: self.spec.image.clone(),
            depth: self.spec.depth,
            platform: self.spec.platform(),
            timeout: self.spec.timeout,
            allowance: Allowance::by(move |bytes| {
                let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
                let granted = budget.reserve(clock.now(), bytes);
                if granted {
                    *aside.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
                }
                granted
            }),
        };
        let tried = self.tools.puller.pull(&plan, started).await;
        let capsule = &tried.capsule;
        let reserved = *reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let beyond = capsule.bytes.saturating_sub(reserved);
        self.budget().spend(self.tools.clock.now(), beyond, capsule.exchanges.len() as u64);
        Some(tried)
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.tools.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&mut self, now: Timestamp) -> Again {
        let failures = self.state.failures;
        // A retry is due when its time comes.
        self.due = failures > 0;
        match &self.spec.schedule {
            Schedule::Every(interval) => {
                let turn = turn::next(now, *interval, self.place);
                Again::In(if failures == 0 {
                    turn
                } else {
                    turn::retry(failures, turn, *interval, fastrand::f64())
                })
            }
            Schedule::Cron(_) if failures == 0 => Again::OnSignal,
            Schedule::Cron(_) => {
                Again::In(turn::retry(failures, SOME_INTERVAL, SOME_INTERVAL, fastrand::f64()))
            }
        }
    }

    /// What the log has to say beside the state, which the driver tells.
    fn change(&mut self, verdict: &Verdict, slow: Option<Slow>, again: Again) -> Option<String> {
        if let (Some(problem), 1, Verdict::Ok, Again::In(pause)) =
            (verdict.problem(), self.state.failures, &self.state.verdict, again)
        {
            return Some(format!(
                "failed once, tried again in {} s before it counts: {problem}",
                pause.as_secs()
            ));
        }
        let before = std::mem::replace(&mut self.slow, slow.is_some());
        match slow {
            Some(slow) if !before => {
                let reason = Reason::ProbeSlow;
                Some(format!("{}: {slow} [{}]", reason.text(), reason.code()))
            }
            _ => None,
        }
    }
}

impl Job for ProbeJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn deadline(&self) -> Duration {
        self.spec.timeout + FIRST_TOKEN + QUEUE
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.once())
    }
}

#[cfg(test)]
mod tests;
