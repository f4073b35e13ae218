//! The job that keeps one output as it should be.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};

use super::{
    Entries, Output, Ownership, Published, Seen,
    ledger::{Ledger, Page},
};
use crate::{
    model::{
        clock::Clock,
        outcome::{Again, Outcome, Problem, Verdict},
        output::{OutputKind, OutputSpec},
        reason::Reason,
        token::Token,
    },
    schedule::job::Job,
};

/// A filesystem that has not answered by then is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first token is waited for so long before its absence is said.
const FIRST_TOKEN: Duration = Duration::from_secs(5);

/// After a failure it is tried again after so long at the latest.
const RETRY: Duration = Duration::from_secs(60);

/// So many repairs within [`FIGHT_WITHIN`] are a fight with another program.
const FIGHT: usize = 5;
const FIGHT_WITHIN: Duration = Duration::from_secs(60);

/// After a fight the output is left alone so long, unless there is a new token for it.
const TRUCE: Duration = Duration::from_secs(60);

/// containerd's header goes so long before it dies, if no successor came: a push has no second
/// entry to go on to.
const HEADER_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// The tokens of now, by registry host.
pub type Board = Entries;

/// What is known of an output after a look at it.
#[derive(Clone, Debug, Default)]
pub struct OutputReport {
    /// What a consumer would see, by registry host.
    pub hosts: BTreeMap<String, Seen>,
    /// What should be looked at although it succeeded.
    pub warnings: Vec<Problem>,
    /// What is the matter with the output as a whole.
    pub problem: Option<Problem>,
}

/// Who is told what an output job does.
pub trait OutputWatcher: Send + Sync {
    /// The output was looked at.
    fn report(&self, output: &str, report: &OutputReport);
    /// It was written, or could not be.
    fn wrote(&self, output: &str, result: Result<(), Reason>);
    /// An entry of ours that somebody had removed or changed was put back.
    fn repaired(&self, output: &str);
}

/// What an output job works with.
pub struct Tools {
    /// The place.
    pub output: Arc<dyn Output>,
    /// What is ours.
    pub ledger: Arc<Mutex<Ledger>>,
    /// The tokens.
    pub board: watch::Receiver<Board>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub watcher: Arc<dyn OutputWatcher>,
    /// How often the output is read back.
    pub check: Duration,
}

type Answer = (Result<Published, Problem>, Result<BTreeMap<String, Seen>, Problem>);

/// One look, as it was begun: the hosts may be others when it ends.
struct Work {
    hosts: Vec<String>,
    wanted: Entries,
    answer: oneshot::Receiver<Answer>,
}

/// The job.
pub struct OutputJob {
    spec: OutputSpec,
    name: String,
    /// The registry hosts published here; changes with the configuration.
    hosts: Arc<Mutex<Vec<String>>>,
    tools: Tools,
    /// The work that is under way, perhaps on a filesystem that hangs.
    working: Option<Work>,
    last: Entries,
    /// When something was put back lately.
    repairs: VecDeque<Timestamp>,
    truce_until: Option<Timestamp>,
    /// The first token may be on its way until then; `None` before the first look.
    patient_until: Option<Timestamp>,
}

impl OutputJob {
    /// A job that has done nothing yet.
    pub fn new(spec: OutputSpec, hosts: Arc<Mutex<Vec<String>>>, tools: Tools) -> Self {
        let name = format!("output:{}", spec.name);
        Self {
            spec,
            name,
            hosts,
            tools,
            working: None,
            last: Entries::new(),
            repairs: VecDeque::new(),
            truce_until: None,
            patient_until: None,
        }
    }

    /// The unexpired tokens of these hosts.
    fn wanted(&mut self, hosts: &[String]) -> Entries {
        let now = self.deadline_of_expiry();
        let board = self.tools.board.borrow_and_update();
        let tokens = hosts.iter().filter_map(|host| {
            let token = board.get(host).filter(|token| !token.expired(now))?;
            Some((host.clone(), token.clone()))
        });
        tokens.collect()
    }

    /// What dies before this counts as dead.
    fn deadline_of_expiry(&self) -> Timestamp {
        let now = self.tools.clock.now();
        now.checked_add(self.margin()).unwrap_or(now)
    }

    fn margin(&self) -> SignedDuration {
        if self.spec.kind != OutputKind::ContainerdHosts {
            return SignedDuration::ZERO;
        }
        let hosts = self.configured();
        let board = self.tools.board.borrow();
        let lives = hosts.iter().filter_map(|host| board.get(host)).map(Token::life);
        lives.min().map_or(HEADER_MARGIN, |life| HEADER_MARGIN.min(life / 10))
    }

    /// Says at the first look already that there is no token.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.patient_until = Some(Timestamp::MIN);
        self
    }

    /// A command has its own time.
    fn patience(&self) -> Duration {
        match self.spec.kind {
            OutputKind::Command => PATIENCE + self.spec.timeout,
            _ => PATIENCE,
        }
    }

    /// How long the first token is still waited for without a word, whatever wakes this job.
    fn patience_left(&mut self, hosts: &[String], wanted: &Entries) -> Option<Duration> {
        let now = self.tools.clock.now();
        let first = SignedDuration::try_from(FIRST_TOKEN).unwrap_or(SignedDuration::ZERO);
        let until = *self.patient_until.get_or_insert(now.saturating_add(first).unwrap_or(now));
        let waits = wanted.is_empty() && !hosts.is_empty() && now < until;
        waits.then(|| Duration::try_from(until.duration_since(now)).unwrap_or_default())
    }

    fn configured(&self) -> Vec<String> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&mut self) -> Outcome {
        if self.working.is_none() {
            let hosts = self.configured();
            let wanted = self.wanted(&hosts);
            // A socket is there from the start: whoever asks it is told why there is nothing yet.
            if self.spec.kind != OutputKind::Socket
                && let Some(left) = self.patience_left(&hosts, &wanted)
            {
                return Outcome::ok(Again::In(left));
            }
            if let Some(left) = self.truce(&wanted) {
                return Outcome::bad(self.fight(), Again::In(left));
            }
            let (page, ours) = {
                let mut ledger = self.tools.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                let page = ledger.intend(&self.spec, &wanted);
                let mut ours = ledger.known(&self.spec, &wanted);
                ours.extend(ledger.withdrawable(&self.spec, &hosts, self.deadline_of_expiry()));
                (page, ours)
            };
            let answer = start(Arc::clone(&self.tools.output), wanted.clone(), ours, page);
            self.working = Some(Work { hosts, wanted, answer });
        }
        let Some(mut work) = self.working.take() else {
            return Outcome::ok(Again::In(RETRY));
        };
        let (published, seen) = match tokio::time::timeout(self.patience(), &mut work.answer).await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                let problem = Problem::new(Reason::JobPanicked, "the thread that writes ended");
                return self.failed(problem);
            }
            Err(_) => {
                // It goes on; no second one is started beside it.
                self.working = Some(work);
                let detail = format!("no answer within {} s", self.patience().as_secs());
                return self.failed(Problem::new(Reason::OutputStuck, detail));
            }
        };
        match published {
            Ok(published) => self.succeeded(&work, &published, seen),
            Err(problem) => {
                self.tools.watcher.wrote(&self.spec.name, Err(problem.reason));
                self.failed(problem)
            }
        }
    }

    fn succeeded(
        &mut self,
        work: &Work,
        published: &Published,
        seen: Result<BTreeMap<String, Seen>, Problem>,
    ) -> Outcome {
        let Work { hosts, wanted, .. } = work;
        let mut change = None;
        if published.written {
            self.tools.watcher.wrote(&self.spec.name, Ok(()));
            // The same tokens as before, and yet something had to be written: it was put back.
            let repaired = !published.set.is_empty() && self.last == *wanted;
            if repaired {
                self.tools.watcher.repaired(&self.spec.name);
                self.remember_repair();
            }
            change = Some(tell(&self.spec, published, wanted, repaired));
        }
        {
            let mut ledger = self.tools.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = ledger.settle(&self.spec.name, hosts);
        }
        self.last.clone_from(wanted);
        let patience = self.patience_left(hosts, wanted);
        let expected = hosts.len();
        let (hosts, mut problem) = match seen {
            Ok(hosts) => (hosts, None),
            Err(problem) => (BTreeMap::new(), Some(problem)),
        };
        let unseen = hosts.values().find_map(|seen| match seen {
            Seen::NotOurs(problem) => Some(problem.clone()),
            Seen::Ours { .. } => None,
        });
        problem = problem.or(unseen).or_else(|| {
            let lacking = expected - wanted.len().min(expected);
            (lacking > 0 && patience.is_none()).then(|| {
                let detail = format!("{lacking} of {expected} registry hosts");
                Problem::new(Reason::OutputNoToken, detail)
            })
        });
        let warning = published.warnings.first().cloned();
        let warnings = published.warnings.clone();
        let report = OutputReport { hosts, warnings, problem: problem.clone() };
        self.tools.watcher.report(&self.spec.name, &report);
        let mut again = Again::In(patience.unwrap_or_else(|| self.pause(wanted)));
        if let Some(left) = self.truce(wanted) {
            problem = problem.or(Some(self.fight()));
            again = Again::In(left);
        }
        let verdict = problem.or(warning).map_or(Verdict::Ok, Verdict::Bad);
        Outcome { verdict, change, again }
    }

    fn remember_repair(&mut self) {
        let now = self.tools.clock.now();
        let within = SignedDuration::try_from(FIGHT_WITHIN).unwrap_or(SignedDuration::ZERO);
        self.repairs.push_back(now);
        self.repairs.retain(|at| now.duration_since(*at) <= within);
        if self.repairs.len() >= FIGHT {
            self.repairs.clear();
            let truce = SignedDuration::try_from(TRUCE).unwrap_or(SignedDuration::ZERO);
            self.truce_until = now.saturating_add(truce).ok();
        }
    }

    /// How long the output is still left alone. A new token ends the truce.
    fn truce(&mut self, wanted: &Entries) -> Option<Duration> {
        let now = self.tools.clock.now();
        let until = self.truce_until.filter(|until| now < *until && self.last == *wanted);
        if until.is_none() {
            self.truce_until = None;
        }
        Duration::try_from(until?.duration_since(now)).ok()
    }

    fn fight(&self) -> Problem {
        let detail = format!(
            "{}: put back {FIGHT} times within {} s",
            self.spec.path.display(),
            FIGHT_WITHIN.as_secs()
        );
        Problem::new(Reason::OutputFight, detail)
    }

    fn failed(&self, problem: Problem) -> Outcome {
        let report = OutputReport { problem: Some(problem.clone()), ..OutputReport::default() };
        self.tools.watcher.report(&self.spec.name, &report);
        Outcome::bad(problem, Again::BackOff(RETRY))
    }

    /// Until the next look: the check, or the first expiry, which is when an entry is withdrawn.
    fn pause(&self, wanted: &Entries) -> Duration {
        let now = self.deadline_of_expiry();
        let left = |expires: Timestamp| {
            Duration::try_from(expires.duration_since(now)).unwrap_or_default()
                + Duration::from_secs(1)
        };
        wanted
            .values()
            .map(|token| left(token.expires))
            .min()
            .unwrap_or(self.tools.check)
            .min(self.tools.check)
    }
}

/// On a thread of its own: a filesystem that hangs holds neither the loops nor the shutdown.
fn start(
    output: Arc<dyn Output>,
    wanted: Entries,
    ours: Ownership,
    page: Option<Page>,
) -> oneshot::Receiver<Answer> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        // A ledger that can't be kept must not stop the publication; the store says it.
        let _ = page.map(|page| page.write());
        let published = output.publish(&wanted, &ours);
        let seen = output.read_back(&wanted);
        let _ = sender.send((published, seen));
    };
    // If no thread can be had the sender is dropped, which the receiver notices.
    let _ = std::thread::Builder::new().name("output".to_owned()).spawn(work);
    receiver
}

fn tell(spec: &OutputSpec, published: &Published, wanted: &Entries, repaired: bool) -> String {
    let path = spec.path.display();
    let mut parts = Vec::new();
    if !published.set.is_empty() {
        let until = published
            .set
            .iter()
            .filter_map(|host| wanted.get(host))
            .map(|token| token.expires)
            .min();
        let until = until.map(|until| format!(", valid until {until:.0}")).unwrap_or_default();
        let what = match published.set.as_slice() {
            [one] => one.clone(),
            many => format!("{} registry hosts", many.len()),
        };
        let how = match (repaired, published.absent.len() == published.set.len()) {
            (true, true) => ", which somebody had removed",
            (true, false) => ", which somebody had changed",
            (false, _) => "",
        };
        let verb = if repaired { "put back" } else { "published" };
        parts.push(format!("{verb} {what} in {path}{how}{until}"));
    }
    if !published.removed.is_empty() {
        parts.push(format!("withdrew {} from {path}", published.removed.join(", ")));
    }
    if parts.is_empty() {
        parts.push(format!("wrote {path}"));
    }
    parts.extend(published.notes.iter().cloned());
    parts.join("; ")
}

impl Job for OutputJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn deadline(&self) -> Duration {
        self.patience() + Duration::from_secs(10)
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.look())
    }
}

#[cfg(test)]
mod tests;
