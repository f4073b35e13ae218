//! The test pulls that the configuration names: built, run, told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Daemon,
    engine::{EngineHost, EnginePuller},
    hub::Hub,
};
use crate::{
    config::settings::{Registry, Settings},
    model::{
        identity::IdentitySpec,
        outcome::Verdict,
        probe::{ProbeSpec, Probing},
        reason::Reason,
        registry::RegistryId,
        schedule::Schedule,
    },
    observe::metrics::ProbeRun,
    oci::client::Client,
    probe::{
        attempt::Caller,
        budget::Budget,
        capsule::{Capsule, RegistryFacts},
        job::{Callers, ClientPuller, ProbeJob, Puller, PushPuller, Ran, Tools, Watcher},
        timeline::seconds_by_phase,
    },
    schedule::{cron::CronId, driver::Handle, wake::Wake},
    token::keeper::KeeperKey,
};

/// What runs.
#[derive(Default)]
pub(super) struct Probes {
    running: BTreeMap<String, Running>,
    shared: Option<Shared>,
}

/// What they share, as long as `[probing]` stays as it is.
struct Shared {
    probing: Probing,
    places: Arc<Semaphore>,
    budget: Arc<Mutex<Budget>>,
    /// One for each identity: a trust store is not small.
    clients: BTreeMap<String, (IdentitySpec, Arc<Client>)>,
}

impl Shared {
    fn new(probing: &Probing) -> Self {
        Self {
            places: Arc::new(Semaphore::new(probing.at_once as usize)),
            budget: Arc::new(Mutex::new(Budget::new(probing))),
            probing: probing.clone(),
            clients: BTreeMap::new(),
        }
    }

    fn client(&mut self, identity: &IdentitySpec) -> Arc<Client> {
        match self.clients.get(&identity.name) {
            Some((known, client)) if known == identity => Arc::clone(client),
            _ => {
                let (ca, proxy) = (identity.ca_file.as_deref(), identity.proxy.as_ref());
                let client = Arc::new(Client::new(ca, proxy));
                let entry = (identity.clone(), Arc::clone(&client));
                self.clients.insert(identity.name.clone(), entry);
                client
            }
        }
    }
}

struct Running {
    wanted: Wanted,
    handle: Handle,
    stop: CancellationToken,
    cron: Option<CronId>,
}

/// A probe with what it rests on; when any of it changes it begins anew.
#[derive(Clone, PartialEq)]
struct Wanted {
    spec: ProbeSpec,
    identity: IdentitySpec,
    key: KeeperKey,
    registry: Option<RegistryFacts>,
}

impl Daemon {
    /// Makes the probes that run those of the settings.
    pub(super) async fn apply_probes(&mut self) {
        let wanted: Vec<Wanted> =
            self.settings.probes.iter().filter_map(|spec| wanted(&self.settings, spec)).collect();
        let probing = &self.settings.probing;
        let anew = self.probes.shared.as_ref().is_none_or(|shared| shared.probing != *probing);
        let gone: Vec<String> = self
            .probes
            .running
            .iter()
            .filter(|(_, running)| anew || !wanted.contains(&running.wanted))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(running) = self.probes.running.remove(&name) {
                if let Some(cron) = running.cron {
                    self.cron.remove(cron).await;
                }
                // A pull in progress may have minutes to go.
                running.stop.cancel();
                running.handle.stop().await;
            }
            if !wanted.iter().any(|wanted| wanted.spec.name == name) {
                self.hub.forget_probe(&name);
                self.hub.probe_forgotten(&name);
            }
        }
        if anew {
            self.probes.shared = Some(Shared::new(probing));
        }
        for wanted in wanted {
            if !self.probes.running.contains_key(&wanted.spec.name) {
                self.start_probe(wanted).await;
            }
        }
    }

    async fn start_probe(&mut self, wanted: Wanted) {
        let Some(shared) = &mut self.probes.shared else {
            return;
        };
        let stop = CancellationToken::new();
        let callers = HubCallers {
            hub: Arc::clone(&self.hub),
            key: wanted.key.clone(),
            registry: wanted.registry.clone(),
        };
        let (client, callers) = (shared.client(&wanted.identity), Arc::new(callers));
        let puller: Arc<dyn Puller> = match (wanted.spec.engine, wanted.spec.push) {
            (Some(engine), _) => {
                let host = EngineHost::of(&self.settings.daemon);
                let socket = wanted.spec.socket.clone();
                Arc::new(EnginePuller { client, callers, engine, socket, host })
            }
            (None, Some(rung)) => Arc::new(PushPuller { client, callers, rung }),
            (None, None) => Arc::new(ClientPuller { client, callers }),
        };
        let tools = Tools {
            puller,
            places: Arc::clone(&shared.places),
            budget: Arc::clone(&shared.budget),
            clock: Arc::clone(&self.hub.clock),
            watcher: Arc::new(HubWatcher {
                hub: Arc::clone(&self.hub),
                keep: shared.probing.keep as usize,
            }),
            stop: stop.clone(),
        };
        let spec = wanted.spec.clone();
        self.hub.status.probe(&spec.name, |line| {
            line.image = spec.image.to_string();
            spec.depth.word().clone_into(&mut line.depth);
        });
        let place = self.host.spread(&format!("probe:{}", spec.name));
        let job = ProbeJob::new(spec, place, tools);
        let handle = self.driver.spawn_after(job.first(), Box::new(job), Wake::default(), None);
        let mut cron = None;
        if let Schedule::Cron(expression) = &wanted.spec.schedule {
            match self.cron.add(expression, handle.wake.clone()).await {
                Ok(id) => cron = Some(id),
                Err(error) => warn!(
                    reason = Reason::ConfigInvalid.code(),
                    "probe {}: schedule {expression:?}: {error}", wanted.spec.name
                ),
            }
        }
        let running = Running { wanted, handle, stop, cron };
        self.probes.running.insert(running.wanted.spec.name.clone(), running);
    }
}

/// Which identity's token a probe uses, and for which registry.
fn wanted(settings: &Settings, spec: &ProbeSpec) -> Option<Wanted> {
    let registry = registry_of(settings, spec)?;
    let name = spec.identity.as_ref().unwrap_or(&registry.identity);
    let identity = settings.identities.get(name)?.clone();
    Some(Wanted {
        spec: spec.clone(),
        identity,
        key: key_of(name, &registry.id),
        registry: facts_of(&registry.id),
    })
}

/// The registry that a probe's image is in.
pub(super) fn registry_of<'a>(settings: &'a Settings, spec: &ProbeSpec) -> Option<&'a Registry> {
    settings.registries.iter().find(|registry| registry.hosts.contains(&spec.image.host))
}

/// The keeper of an identity's token for a registry.
pub(super) fn key_of(identity: &str, registry: &RegistryId) -> KeeperKey {
    KeeperKey {
        identity: identity.to_owned(),
        region: registry.token_region().to_owned(),
        public: *registry == RegistryId::Public,
    }
}

/// What a probe knows of a registry.
pub(super) fn facts_of(registry: &RegistryId) -> Option<RegistryFacts> {
    match registry {
        RegistryId::Private { account, region } => {
            Some(RegistryFacts { account: account.clone(), region: region.clone() })
        }
        RegistryId::Public => None,
    }
}

struct HubCallers {
    hub: Arc<Hub>,
    key: KeeperKey,
    registry: Option<RegistryFacts>,
}

impl Callers for HubCallers {
    fn caller(&self) -> Option<Caller> {
        self.hub.caller(&self.key, self.registry.clone(), None)
    }
}

/// Tells metrics, status and history.
struct HubWatcher {
    hub: Arc<Hub>,
    keep: usize,
}

impl Watcher for HubWatcher {
    fn ran(&self, probe: &ProbeSpec, run: &Ran<'_>) {
        let now = self.hub.clock.now();
        self.hub.probe_saw(probe, &run.diagnosis.verdict);
        self.hub.metrics.probe(&probe.name, &measured(run, now));
        self.hub.status.probe(&probe.name, |line| {
            let verdict = &run.diagnosis.verdict;
            line.verdict = Some(run.state.verdict.word().to_owned());
            line.last = Some(run.started);
            line.failures = run.state.failures;
            line.failing_since = run.state.failing_since;
            line.reason = verdict.problem().map(Into::into);
            line.slow = run.slow.map(|slow| slow.to_string());
            if *verdict == Verdict::Ok {
                line.last_success = Some(run.started);
            }
            line.reached = run.reached.map(|depth| depth.word().to_owned());
            line.took = run.capsule.map_or(0.0, |capsule| capsule.took);
            line.bytes = run.capsule.map_or(0, |capsule| capsule.bytes);
            line.requests = run.capsule.map_or(0, |capsule| capsule.exchanges.len() as u64);
            for (hop, until) in run.capsule.map(certificates).unwrap_or_default() {
                line.certificates.insert(hop.to_owned(), until);
            }
        });
        let summary = json!({
            "started": run.started,
            "verdict": run.diagnosis.verdict.word(),
            "reason": run.diagnosis.verdict.problem(),
            "counts_as": run.state.verdict.word(),
            "reached": run.reached,
            "seconds": run.capsule.map(|capsule| capsule.took),
            "bytes": run.capsule.map(|capsule| capsule.bytes),
            "slow": run.slow.map(|slow| slow.to_string()),
        });
        let trace = match run.trace {
            Some(trace) => Some(trace.to_string()),
            None => run.capsule.and_then(|capsule| serde_json::to_string(capsule).ok()),
        };
        self.hub.history.add(&probe.name, self.keep, summary, trace);
    }
}

fn measured(run: &Ran<'_>, ended: jiff::Timestamp) -> ProbeRun {
    let mut one = ProbeRun {
        result: run.diagnosis.verdict.word(),
        reason: run.diagnosis.verdict.problem().map(|problem| problem.reason),
        alarm: match &run.state.verdict {
            Verdict::Bad(problem) => Some(problem.reason),
            Verdict::Ok | Verdict::Unknown(_) => None,
        },
        ended,
        slow: run.slow.map(|slow| (slow.hop.word(), slow.phase.word())),
        left: [run.left.bytes, run.left.requests],
        ..ProbeRun::default()
    };
    if let Some(capsule) = run.capsule {
        one.bytes = capsule.bytes;
        one.requests = capsule.exchanges.len() as u64;
        one.certificates = certificates(capsule);
        if let Some(layers) = &capsule.layers {
            one.throughput = [layers.together(), layers.alone];
        }
        for (hop, phases) in seconds_by_phase(capsule) {
            let phases = phases.into_iter();
            one.phases.extend(phases.map(|(phase, took)| (hop.word(), phase.word(), took)));
        }
    }
    one
}

/// When the first certificate of each hop expires, as far as one was shown.
fn certificates(capsule: &Capsule) -> Vec<(&'static str, jiff::Timestamp)> {
    let mut found: BTreeMap<&'static str, jiff::Timestamp> = BTreeMap::new();
    for exchange in &capsule.exchanges {
        if let Some(until) = exchange.certificate_until {
            let first = found.entry(exchange.hop.word()).or_insert(until);
            *first = until.min(*first);
        }
    }
    found.into_iter().collect()
}
