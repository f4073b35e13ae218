//! Where what the jobs tell comes together: metrics, status, and the board of tokens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::{
    aws::CallObserver,
    model::{clock::Clock, outcome::Problem, reason::Reason, registry},
    observe::{history::History, metrics::Metrics, status},
    output::{
        Seen,
        job::{Board, OutputReport, OutputWatcher},
        socket::{Asked, DeskWatcher},
    },
    probe::{
        attempt::{Caller, Credential},
        capsule::RegistryFacts,
    },
    schedule::driver::{Recorder, Run},
    token::keeper::{KeeperKey, Report, Watcher},
};

/// A clock that is further off than this will soon be refused by AWS.
const WORRYING_SKEW: f64 = 60.0;

/// The hub.
pub(super) struct Hub {
    /// The metrics.
    pub(super) metrics: Arc<Metrics>,
    /// The status.
    pub(super) status: Arc<status::Board>,
    /// The test pulls' results.
    pub(super) history: Arc<History>,
    /// The wall clock.
    pub(super) clock: Arc<dyn Clock>,
    /// The tokens by registry host, for the outputs.
    pub(super) board: watch::Sender<Board>,
    /// Something changed that STATUS and READY depend on.
    pub(super) changed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reports: BTreeMap<KeeperKey, Report>,
    hosts: BTreeMap<KeeperKey, Vec<String>>,
    /// Registry names by host.
    names: BTreeMap<String, String>,
    /// What metrics were set for an output: registry names.
    shown: BTreeMap<String, Vec<String>>,
    skewed: bool,
    /// What metrics were set for a registry's policies: repositories.
    policies: BTreeMap<String, Vec<String>>,
    /// What policies predict and test pulls saw.
    foresight: super::policy::Foresight,
}

impl Hub {
    /// A hub that has been told nothing.
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            status: Arc::new(status::Board::new(clock.now())),
            history: Arc::default(),
            clock,
            board: watch::Sender::default(),
            changed: Notify::new(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the note of the policies for which metrics are set, by registry.
    pub(super) fn policies_shown<T>(
        &self,
        what: impl FnOnce(&mut BTreeMap<String, Vec<String>>) -> T,
    ) -> T {
        what(&mut self.state().policies)
    }

    /// Does something with what policies predict and test pulls saw.
    pub(super) fn foresight<T>(&self, what: impl FnOnce(&mut super::policy::Foresight) -> T) -> T {
        what(&mut self.state().foresight)
    }

    /// Takes over which hosts each keeper serves, and what their registries are called.
    pub(super) fn configure(
        &self,
        hosts: BTreeMap<KeeperKey, Vec<String>>,
        names: BTreeMap<String, String>,
    ) {
        let mut state = self.state();
        let gone: Vec<KeeperKey> =
            state.reports.keys().filter(|key| !hosts.contains_key(*key)).cloned().collect();
        for key in &gone {
            self.metrics.forget_token(&key.identity, key.region_label());
            if let Some(report) = state.reports.remove(key) {
                self.metrics.identity(&key.identity, report.principal.as_ref(), None, None);
            }
        }
        self.status.retain(
            |token| {
                hosts
                    .keys()
                    .any(|key| key.identity == token.identity && key.region_label() == token.region)
            },
            |_| true,
        );
        state.hosts = hosts;
        state.names = names;
        self.publish(&state);
    }

    /// Forgets an output that is no longer configured.
    pub(super) fn forget_output(&self, name: &str) {
        let shown = self.state().shown.remove(name).unwrap_or_default();
        for registry in shown {
            self.metrics.output(name, &registry, None, None);
        }
        self.status.retain(|_| true, |output| output.name != name);
    }

    /// Who pulls with a keeper's token. `None` while nothing is known of it yet, unless it is known
    /// `why` there is none.
    pub(super) fn caller(
        &self,
        key: &KeeperKey,
        registry: Option<RegistryFacts>,
        why: Option<Problem>,
    ) -> Option<Caller> {
        let state = self.state();
        let report = state.reports.get(key);
        let lacking = || report.and_then(|report| report.problem.clone()).or(why);
        let credential = match report.and_then(|report| report.token.clone()) {
            Some(token) => Credential::Token { token, region: key.region.clone() },
            None => Credential::Lacking(lacking()?),
        };
        let principal = report.and_then(|report| report.principal.as_ref());
        Some(Caller { registry, principal: principal.map(|who| who.arn.clone()), credential })
    }

    /// Forgets a test pull that is no longer configured.
    pub(super) fn forget_probe(&self, name: &str) {
        self.metrics.forget_probe(name);
        self.status.forget_probe(name);
        self.history.forget(name);
    }

    fn publish(&self, state: &State) {
        let mut board = Board::new();
        for (key, hosts) in &state.hosts {
            let token = state.reports.get(key).and_then(|report| report.token.as_ref());
            if let Some(token) = token {
                board.extend(hosts.iter().map(|host| (host.clone(), token.clone())));
            }
        }
        self.board.send_if_modified(|current| {
            let differs = *current != board;
            if differs {
                *current = board;
            }
            differs
        });
    }
}

/// The hub as the desk of one socket sees it.
pub(super) struct HubDesk {
    /// The hub.
    pub(super) hub: Arc<Hub>,
    /// The registry hosts that the socket serves.
    pub(super) hosts: Arc<Mutex<Vec<String>>>,
}

impl DeskWatcher for HubDesk {
    fn lacking(&self, host: &str) -> Option<Problem> {
        let ours = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let name = registry::find(ours.iter().map(String::as_str), host)?;
        let state = self.hub.state();
        let key = state.hosts.iter().find(|(_, hosts)| hosts.iter().any(|one| one == name));
        let report = key.and_then(|(key, _)| state.reports.get(key));
        let why = report.and_then(|report| report.problem.clone());
        Some(why.unwrap_or_else(|| Problem::new(Reason::OutputNoToken, host)))
    }

    fn asked(&self, what: Asked) {
        self.hub.metrics.helper_asked(what.word());
    }
}

impl Watcher for Hub {
    fn report(&self, key: &KeeperKey, report: &Report) {
        let region = key.region_label();
        let mut state = self.state();
        let before = state.reports.get(key).and_then(|report| report.principal.clone());
        self.metrics.token(&key.identity, region, report.token.as_ref().map(|token| token.expires));
        self.metrics.identity(
            &key.identity,
            before.as_ref(),
            report.principal.as_ref(),
            report.credentials_expire,
        );
        self.status.token(&key.identity, region, |line| {
            line.principal = report.principal.as_ref().map(|who| who.arn.clone());
            line.minted = report.token.as_ref().map(|token| token.minted);
            line.expires = report.token.as_ref().map(|token| token.expires);
            line.next_refresh = report.next_refresh;
            line.credentials_expire = report.credentials_expire;
            line.reason = report.problem.as_ref().map(Into::into);
            line.principal_reason = report.principal_problem.as_ref().map(Into::into);
        });
        state.reports.insert(key.clone(), report.clone());
        self.publish(&state);
    }

    fn refreshed(&self, key: &KeeperKey, result: Result<(), Reason>) {
        self.metrics.refreshed(&key.identity, key.region_label(), result, self.clock.now());
    }
}

impl OutputWatcher for Hub {
    fn report(&self, output: &str, report: &OutputReport) {
        let mut state = self.state();
        let mut by_registry: BTreeMap<String, (Option<jiff::Timestamp>, bool)> = BTreeMap::new();
        for (host, seen) in &report.hosts {
            let registry = state.names.get(host).cloned().unwrap_or_else(|| host.clone());
            let expires = match seen {
                Seen::Ours { expires } => Some(*expires),
                Seen::NotOurs(_) => None,
            };
            // The worst of a registry's host names counts.
            let entry = by_registry.entry(registry).or_insert((expires, true));
            entry.0 = entry.0.and_then(|earlier| Some(earlier.min(expires?)));
            entry.1 &= expires.is_some();
        }
        for gone in state.shown.remove(output).unwrap_or_default() {
            if !by_registry.contains_key(&gone) {
                self.metrics.output(output, &gone, None, None);
            }
        }
        for (registry, (expires, in_sync)) in &by_registry {
            self.metrics.output(output, registry, *expires, Some(*in_sync));
        }
        state.shown.insert(output.to_owned(), by_registry.into_keys().collect());
        drop(state);
        self.status.output(output, |line| {
            line.looked = true;
            line.reason = report.problem.as_ref().map(Into::into);
            line.warnings = report.warnings.iter().map(Into::into).collect();
            if report.problem.is_none() || !report.hosts.is_empty() {
                line.hosts = report
                    .hosts
                    .iter()
                    .map(|(host, seen)| {
                        let seen = match seen {
                            Seen::Ours { expires } => {
                                status::Host { expires: Some(*expires), reason: None }
                            }
                            Seen::NotOurs(problem) => {
                                status::Host { expires: None, reason: Some(problem.into()) }
                            }
                        };
                        (host.clone(), seen)
                    })
                    .collect();
            }
        });
    }

    fn wrote(&self, output: &str, result: Result<(), Reason>) {
        self.metrics.wrote(output, result);
    }

    fn repaired(&self, output: &str) {
        self.metrics.repaired(output);
    }
}

impl Recorder for Hub {
    fn started(&self, job: &str) {
        let now = self.clock.now();
        self.status.job(job, |line| line.running_since = Some(now));
    }

    fn ended(&self, run: &Run<'_>) {
        let now = self.clock.now();
        let word = run.verdict.word();
        self.metrics.job(run.job, word, run.took, now);
        self.status.job(run.job, |line| {
            line.running_since = None;
            line.verdict = Some(word.to_owned());
            line.last = Some(now);
            if word == "ok" {
                line.last_success = Some(now);
            }
            let next = run.next.and_then(|pause| jiff::SignedDuration::try_from(pause).ok());
            line.next = next.and_then(|pause| now.checked_add(pause).ok());
            line.failures = run.failures;
            line.reason = run.verdict.problem().map(Into::into);
        });
        self.changed.notify_one();
    }

    fn forgotten(&self, job: &str) {
        self.metrics.forget_job(job);
        self.status.forget_job(job);
    }
}

impl CallObserver for Hub {
    fn call(
        &self,
        service: &'static str,
        operation: &'static str,
        result: &'static str,
        took: Duration,
    ) {
        self.metrics.api(service, operation, result, took);
    }

    fn clock_skew(&self, ahead: f64) {
        self.metrics.clock_skew(ahead);
        let skewed = ahead.abs() >= WORRYING_SKEW;
        let before = std::mem::replace(&mut self.state().skewed, skewed);
        if skewed && !before {
            let reason = Reason::ClockSkew;
            warn!(
                reason = reason.code(),
                remedy = reason.remedy(),
                "this host's clock is {ahead:+.0} s off AWS's"
            );
        }
    }
}
