//! The one place that knows every part: build, spawn, reload as a difference, stop.

mod audit;
pub mod engine;
mod hub;
mod listen;
pub mod policy;
mod probes;
mod repair;
mod stray;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    audit::RunningAudit,
    hub::{Hub, HubDesk},
    listen::Listen,
    policy::RunningPolicy,
    repair::Repair,
    stray::Strays,
};
use crate::{
    aws::client::Aws,
    config::{
        self, Mistake, diff,
        dropin::Sources,
        settings::{Loaded, Settings},
        watch::Watch,
    },
    host,
    model::{
        clock::{Clock, SystemClock},
        host_id::HostId,
        identity::IdentitySpec,
        outcome::{Problem, Verdict},
        output::OutputSpec,
        probe::ProbeSpec,
        reason::Reason,
        schedule::Schedule,
        token::Token,
    },
    observe::{http, metrics::Metrics, pulse::Pulse, status},
    oci,
    output::{
        self,
        job::{OutputJob, OutputWatcher},
        ledger::Ledger,
        socket::DeskWatcher,
    },
    probe::attempt::{Caller, Credential},
    schedule::{
        clock_watch::ClockWatch,
        cron::{Cron, CronId},
        driver::{Driver, Handle, Recorder},
        job::Job as _,
        wake::Wake,
    },
    systemd,
    token::{
        keeper::{self, Keeper, KeeperKey, Scope, Shared},
        schedule::{Check, Plan},
        store::Store,
    },
};

/// A run in progress may take so long after SIGTERM; systemd is told STOPPING meanwhile.
const GRACE: Duration = Duration::from_millis(700);

/// With a cron schedule, outputs are read back at least so often all the same.
const SELDOM: Duration = Duration::from_secs(86_400);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not valid.
    #[error("the configuration is not valid")]
    Config(Vec<Mistake>),
    /// Something that it can't do without.
    #[error("{0}")]
    Problem(Problem),
    /// The operating system refused.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// The parts that outlive a reload.
struct Daemon {
    settings: Settings,
    hub: Arc<Hub>,
    driver: Driver,
    aws: Arc<Aws>,
    host: HostId,
    shared: Shared,
    store: Store,
    ledger: Arc<Mutex<Ledger>>,
    configured: Arc<Mutex<Vec<OutputSpec>>>,
    site: Arc<http::Site>,
    cron: Cron,
    keepers: BTreeMap<KeeperKey, RunningKeeper>,
    outputs: BTreeMap<String, RunningOutput>,
    strays: Option<Handle>,
    audit: Option<RunningAudit>,
    probes: probes::Probes,
    policies: BTreeMap<String, RunningPolicy>,
    repair: Repair,
    listen: Option<(Handle, CancellationToken)>,
    /// Whether credentials are given out over a socket.
    serves: bool,
}

struct RunningKeeper {
    identity: IdentitySpec,
    plan: Plan,
    scope: Arc<Mutex<Scope>>,
    handle: Handle,
    cron: Option<CronId>,
}

struct RunningOutput {
    spec: OutputSpec,
    check: Schedule,
    hosts: Arc<Mutex<Vec<String>>>,
    handle: Handle,
    cron: Option<CronId>,
}

/// What a keeper is to do, out of the settings.
struct WantedKeeper {
    identity: IdentitySpec,
    hosts: Vec<String>,
    /// Hosts that only test pulls use it for: it is tried there, and published nowhere.
    probed: Vec<String>,
    patterns: Vec<String>,
    siblings: bool,
}

impl WantedKeeper {
    fn of(identity: &IdentitySpec) -> Self {
        Self {
            identity: identity.clone(),
            hosts: Vec::new(),
            probed: Vec::new(),
            patterns: Vec::new(),
            siblings: false,
        }
    }

    /// Where it is tried.
    fn scope(&self) -> Scope {
        let hosts = self.hosts.iter().chain(&self.probed).cloned().collect();
        Scope { hosts, siblings: self.siblings }
    }

    /// What its token is given out for.
    fn served(&self) -> Vec<String> {
        self.hosts.iter().chain(&self.patterns).cloned().collect()
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(sources: Sources, loaded: Loaded) -> Result<(), StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics =
        Metrics::new().map_err(|error| StartError::System(std::io::Error::other(error)))?;
    let hub = Hub::new(Arc::new(metrics), Arc::clone(&clock));
    let (stop, pulse) = (CancellationToken::new(), Pulse::default());
    let jumps = watch::Sender::new(0_u64);
    let site = Arc::new(http::Site {
        metrics: Arc::clone(&hub.metrics),
        board: Arc::clone(&hub.status),
        history: Arc::clone(&hub.history),
        pulse: pulse.clone(),
        clock,
    });
    let socket = http::bind_socket(&loaded.settings.daemon.socket).map_err(StartError::Problem)?;
    tokio::spawn(http::serve_socket(socket, Arc::clone(&site), stop.child_token()));

    let recorder = Arc::clone(&hub) as Arc<dyn Recorder>;
    let driver = Driver::new(recorder, pulse.clone(), jumps.subscribe(), stop.clone());
    let mut daemon = Daemon::build(&loaded, hub, driver, site, Repair::new(stop.child_token()));
    daemon.took_over(&loaded);
    daemon.apply(loaded.settings.clone()).await;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        host = daemon.host.as_str(),
        "started: {} registries, {} outputs",
        loaded.settings.registries.len(),
        loaded.settings.outputs.len()
    );
    tokio::spawn(systemd::feed_watchdog(pulse.clone(), stop.child_token()));
    let result = daemon.attend(sources, &pulse, &jumps).await;

    systemd::stopping();
    let drained = daemon.driver.drain(GRACE).await;
    stop.cancel();
    let _ = std::fs::remove_file(&daemon.settings.daemon.socket);
    info!("stopped{}", if drained { "" } else { "; a run in progress was left" });
    result
}

impl Daemon {
    fn build(
        loaded: &Loaded,
        hub: Arc<Hub>,
        driver: Driver,
        site: Arc<http::Site>,
        repair: Repair,
    ) -> Self {
        let settings = loaded.settings.clone();
        let host = host::identify(root(&settings));
        let (ledger, problem) = Ledger::load(&settings.daemon.state_directory);
        if let Some(problem) = problem {
            warn!(reason = problem.reason.code(), remedy = problem.reason.remedy(), "{problem}");
        }
        Self {
            aws: Aws::new(host.clone(), Arc::clone(&hub) as Arc<dyn crate::aws::CallObserver>),
            store: Store::new(&settings.daemon.state_directory, &host),
            host,
            hub,
            driver,
            shared: Shared::default(),
            ledger: Arc::new(Mutex::new(ledger)),
            configured: Arc::default(),
            site,
            cron: Cron::default(),
            keepers: BTreeMap::new(),
            outputs: BTreeMap::new(),
            strays: None,
            audit: None,
            probes: probes::Probes::default(),
            policies: BTreeMap::new(),
            repair,
            listen: None,
            serves: true,
            settings,
        }
    }

    /// The loop of the daemon itself: signals, configuration, clock, and what systemd is told.
    async fn attend(
        &mut self,
        sources: Sources,
        pulse: &Pulse,
        jumps: &watch::Sender<u64>,
    ) -> Result<(), StartError> {
        let mut beat = pulse.register("main");
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut clock_watch = ClockWatch::new()?;
        let mut files = Watch::new(sources.clone());
        let hub = Arc::clone(&self.hub);
        let mut told = Told::default();
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => {
                    systemd::reloading();
                    self.reload(&sources).await;
                    told.reloaded(&self.hub);
                }
                () = files.changed() => {
                    self.reload(&sources).await;
                }
                what = clock_watch.jumped() => {
                    info!("{what}: every job looks at once");
                    jumps.send_modify(|jumps| *jumps += 1);
                }
                () = beat.asked() => beat.answer(),
                () = hub.changed.notified() => {
                    told.update(&self.hub);
                    self.repair.follow();
                }
            }
        }
    }

    /// Takes over a new configuration if it is valid; else the old one stays in force.
    async fn reload(&mut self, sources: &Sources) {
        match config::load(sources) {
            Ok(loaded) => {
                let summary = diff::summary(&self.settings, &loaded.settings);
                let restart = diff::needs_restart(&self.settings, &loaded.settings);
                self.took_over(&loaded);
                self.hub.status.config(|config| {
                    config.needs_restart = restart.iter().map(|key| (*key).to_owned()).collect();
                });
                // The old [daemon] stays: what was built on it is.
                let settings = Settings { daemon: self.settings.daemon.clone(), ..loaded.settings };
                self.apply(settings).await;
                let summary = if summary.is_empty() { "nothing changed" } else { &summary };
                info!("configuration reloaded: {summary}");
                if !restart.is_empty() {
                    let reason = Reason::RestartRequired;
                    warn!(
                        reason = reason.code(),
                        keys = restart.join(", "),
                        remedy = reason.remedy(),
                        "{}",
                        reason.text()
                    );
                }
            }
            Err(mistakes) => {
                self.hub.metrics.config_read(false, self.hub.clock.now());
                let reason = Reason::ConfigInvalid;
                for mistake in &mistakes {
                    warn!(reason = reason.code(), "{mistake}");
                }
                warn!(
                    reason = reason.code(),
                    remedy = reason.remedy(),
                    "the new configuration is not in force: {} mistakes",
                    mistakes.len()
                );
                self.hub.status.config(|config| {
                    config.mistakes = mistakes.iter().map(ToString::to_string).collect();
                });
                self.hub.changed.notify_one();
            }
        }
    }

    fn took_over(&self, loaded: &Loaded) {
        let now = self.hub.clock.now();
        self.hub.metrics.config_read(true, now);
        self.hub.status.config(|config| {
            config.files = loaded.files.iter().map(|file| file.display().to_string()).collect();
            config.loaded = Some(now);
            config.mistakes.clear();
            config.needs_restart.clear();
        });
    }

    /// Makes what runs what the settings say, and leaves alone what they did not change.
    async fn apply(&mut self, settings: Settings) {
        let metrics_changed = self.listen.is_none() || self.settings.metrics != settings.metrics;
        self.settings = settings;
        self.apply_keepers().await;
        self.apply_outputs().await;
        self.apply_audit().await;
        self.apply_probes().await;
        self.apply_policies().await;
        let specs = self.settings.outputs.clone();
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = specs;
        if let Some(strays) = &self.strays {
            strays.wake.wake();
        } else {
            let job = Strays {
                ledger: Arc::clone(&self.ledger),
                configured: Arc::clone(&self.configured),
                prefix: self.settings.daemon.host_prefix.clone(),
                state: self.settings.daemon.state_directory.clone(),
            };
            self.strays = Some(self.driver.spawn(Box::new(job), Wake::default(), None));
        }
        if metrics_changed {
            if let Some((handle, stop)) = self.listen.take() {
                stop.cancel();
                handle.stop().await;
            }
            let stop = CancellationToken::new();
            let job = Listen {
                settings: self.settings.metrics.clone(),
                site: Arc::clone(&self.site),
                stop: stop.clone(),
            };
            self.listen = Some((self.driver.spawn(Box::new(job), Wake::default(), None), stop));
        }
    }

    async fn apply_keepers(&mut self) {
        let wanted = wanted_keepers(&self.settings);
        let gone: Vec<KeeperKey> = self
            .keepers
            .iter()
            .filter(|(key, running)| {
                let plan = plan(&self.settings, &self.host, key);
                wanted.get(*key).is_none_or(|wanted| {
                    wanted.identity != running.identity || plan != running.plan
                })
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(running) = self.keepers.remove(&key) {
                if let Some(cron) = running.cron {
                    self.cron.remove(cron).await;
                }
                running.handle.stop().await;
            }
            if !wanted.contains_key(&key) {
                self.store.forget(&key.job_name());
            }
        }
        let names = self.settings.registries.iter().flat_map(|registry| {
            let names = registry.hosts.iter().chain(&registry.patterns);
            names.map(|host| (host.clone(), registry.name.clone()))
        });
        let hosts = wanted.iter().map(|(key, wanted)| (key.clone(), wanted.served())).collect();
        self.hub.configure(hosts, names.collect());
        for (key, wanted) in wanted {
            let scope = wanted.scope();
            if let Some(running) = self.keepers.get(&key) {
                *running.scope.lock().unwrap_or_else(PoisonError::into_inner) = scope;
                continue;
            }
            let scope = Arc::new(Mutex::new(scope));
            let plan = plan(&self.settings, &self.host, &key);
            let keeper = self.keeper(&key, &wanted.identity, plan, Arc::clone(&scope));
            let handle = self.driver.spawn(Box::new(keeper), Wake::default(), None);
            let cron = self.schedule(&handle).await;
            self.keepers.insert(
                key,
                RunningKeeper { identity: wanted.identity, plan, scope, handle, cron },
            );
        }
    }

    fn keeper(
        &self,
        key: &KeeperKey,
        identity: &IdentitySpec,
        plan: Plan,
        scope: Arc<Mutex<Scope>>,
    ) -> Keeper {
        let tools = keeper::Tools {
            identity: self.aws.identity(identity, &key.region),
            mint: self.aws.mint(identity, &key.region, key.public),
            check: Arc::new(oci::client::Client::new(
                identity.ca_file.as_deref(),
                identity.proxy.as_ref(),
            )),
            clock: Arc::clone(&self.hub.clock),
            shared: self.shared.clone(),
            store: self.store.clone(),
            watcher: Arc::clone(&self.hub) as Arc<dyn keeper::Watcher>,
        };
        Keeper::new(key.clone(), plan, scope, tools)
    }

    async fn apply_outputs(&mut self) {
        let specs = self.settings.outputs.clone();
        let check = self.settings.refresh.check.clone();
        let gone: Vec<String> = self
            .outputs
            .iter()
            .filter(|(name, running)| {
                let same = specs.iter().find(|spec| spec.name == **name);
                running.check != check || same.is_none_or(|spec| !same_place(spec, &running.spec))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(running) = self.outputs.remove(&name) {
                if let Some(cron) = running.cron {
                    self.cron.remove(cron).await;
                }
                running.handle.stop().await;
            }
            self.hub.forget_output(&name);
            self.repair.forget(&name);
        }
        for spec in specs {
            let hosts = self.settings.hosts_of(&spec);
            self.hub.status.output(&spec.name, |line| {
                spec.kind.word().clone_into(&mut line.kind);
                line.path = spec.path.display().to_string();
                line.hosts.retain(|host, _| hosts.contains(host));
                for host in &hosts {
                    line.hosts.entry(host.clone()).or_default();
                }
            });
            if let Some(running) = self.outputs.get_mut(&spec.name) {
                let mut current = running.hosts.lock().unwrap_or_else(PoisonError::into_inner);
                if *current != hosts {
                    self.repair.hosts(&spec.name, hosts.clone());
                    *current = hosts;
                    running.handle.wake.wake();
                }
                drop(current);
                running.spec = spec;
                continue;
            }
            let shared = Arc::new(Mutex::new(hosts.clone()));
            let output = self.build_output(&spec, &shared);
            let job = self.output(&spec, Arc::clone(&output), Arc::clone(&shared));
            let trigger = Box::new(self.hub.board.subscribe());
            let handle = self.driver.spawn(Box::new(job), Wake::default(), Some(trigger));
            self.repair.watch(&spec.name, output, handle.wake.clone(), hosts);
            let hosts = shared;
            let cron = self.schedule(&handle).await;
            let running = RunningOutput { check: check.clone(), hosts, handle, cron, spec };
            self.outputs.insert(running.spec.name.clone(), running);
        }
    }

    fn build_output(
        &self,
        spec: &OutputSpec,
        hosts: &Arc<Mutex<Vec<String>>>,
    ) -> Arc<dyn output::Output> {
        let desk = HubDesk { hub: Arc::clone(&self.hub), hosts: Arc::clone(hosts) };
        let host = output::Host {
            prefix: &self.settings.daemon.host_prefix,
            state: &self.settings.daemon.state_directory,
            desk: self.serves.then(|| Arc::new(desk) as Arc<dyn DeskWatcher>),
        };
        Arc::from(output::build(spec, &host))
    }

    fn output(
        &self,
        spec: &OutputSpec,
        output: Arc<dyn output::Output>,
        hosts: Arc<Mutex<Vec<String>>>,
    ) -> OutputJob {
        let tools = output::job::Tools {
            output,
            ledger: Arc::clone(&self.ledger),
            board: self.hub.board.subscribe(),
            clock: Arc::clone(&self.hub.clock),
            watcher: Arc::clone(&self.hub) as Arc<dyn OutputWatcher>,
            check: match &self.settings.refresh.check {
                Schedule::Every(interval) => *interval,
                Schedule::Cron(_) => SELDOM,
            },
        };
        OutputJob::new(spec.clone(), hosts, tools)
    }

    /// Has a cron schedule of the settings wake a job.
    async fn schedule(&self, handle: &Handle) -> Option<CronId> {
        let Schedule::Cron(expression) = &self.settings.refresh.check else {
            return None;
        };
        match self.cron.add(expression, handle.wake.clone()).await {
            Ok(id) => Some(id),
            Err(error) => {
                warn!(
                    reason = Reason::ConfigInvalid.code(),
                    "refresh.check {expression:?}: {error}"
                );
                None
            }
        }
    }
}

/// What systemd was told last.
#[derive(Default)]
struct Told {
    ready: bool,
    line: String,
}

impl Told {
    /// READY once every output holds a credential, or once it is known why one does not.
    fn update(&mut self, hub: &Hub) {
        let now = hub.clock.now();
        let status = hub.status.snapshot(now);
        let lacking = status::unready(&status, now);
        let line = match (&status.reason, lacking.len()) {
            (None, _) => {
                let until = status.tokens.iter().filter_map(|token| token.expires).min();
                let until =
                    until.map(|until| format!(", valid until {until:.0}")).unwrap_or_default();
                format!("fine: {} outputs hold their credentials{until}", status.outputs.len())
            }
            (Some(reason), _) => format!("{}: {} [{}]", reason.text, reason.detail, reason.code),
        };
        let explained = !lacking
            .iter()
            .any(|(_, reason)| reason.code == "starting" || reason.code == "output_no_token")
            && status.jobs.iter().all(|job| {
                job.verdict.is_some() || ["audit", "listen"].contains(&job.name.as_str())
            });
        if !self.ready && (lacking.is_empty() || explained) {
            self.ready = true;
            systemd::ready(&line);
        } else if line != self.line {
            systemd::status(&line);
        }
        self.line = line;
    }

    /// The end of a reload that began with RELOADING.
    fn reloaded(&mut self, hub: &Hub) {
        self.update(hub);
        systemd::ready(&self.line);
    }
}

/// The token for one of the configured registry hosts: the kept one, or a new one when it is due.
pub async fn token(loaded: &Loaded, host: &str) -> Result<Result<Token, Problem>, StartError> {
    let (daemon, done) = mint_once(loaded).await?;
    let token = daemon.hub.board.borrow().get(host).cloned();
    let why = done.into_iter().find_map(|(_, verdict, _)| verdict.problem().cloned());
    Ok(token.ok_or_else(|| why.unwrap_or_else(|| Problem::new(Reason::OutputNoToken, host))))
}

/// Who pulls from one of the configured registry hosts, and with what: the kept token, or a new one
/// when it is due.
pub async fn caller(loaded: &Loaded, host: &str) -> Result<Caller, StartError> {
    let mut loaded = loaded.clone();
    // Their identities' tokens are not asked for here.
    loaded.settings.probes.clear();
    let (daemon, done) = mint_once(&loaded).await?;
    let why = done.into_iter().find_map(|(_, verdict, _)| verdict.problem().cloned());
    let registry =
        daemon.settings.registries.iter().find(|one| one.hosts.iter().any(|h| h == host));
    let lacking = || Problem::new(Reason::OutputNoToken, host);
    let caller = registry.and_then(|registry| {
        let key = probes::key_of(&registry.identity, &registry.id);
        let why = why.clone().or_else(|| Some(lacking()));
        daemon.hub.caller(&key, probes::facts_of(&registry.id), why)
    });
    Ok(caller.unwrap_or_else(|| Caller {
        registry: None,
        principal: None,
        credential: Credential::Lacking(why.unwrap_or_else(lacking)),
    }))
}

/// The same for a configured test pull, with the identity that it names.
pub async fn caller_of(loaded: &Loaded, probe: &ProbeSpec) -> Result<Caller, StartError> {
    let mut loaded = loaded.clone();
    loaded.settings.registries.retain(|registry| registry.hosts.contains(&probe.image.host));
    if let (Some(registry), Some(identity)) =
        (loaded.settings.registries.first_mut(), &probe.identity)
    {
        registry.identity.clone_from(identity);
    }
    caller(&loaded, &probe.image.host).await
}

/// What a job came to: its name, its verdict, and what it changed.
type Done = Vec<(String, Verdict, Option<String>)>;

/// Once: every token that is due is minted, every output published. The problems that remain.
pub async fn refresh(loaded: &Loaded) -> Result<Done, StartError> {
    let (daemon, mut done) = mint_once(loaded).await?;
    for spec in &daemon.settings.outputs {
        let hosts = Arc::new(Mutex::new(daemon.settings.hosts_of(spec)));
        let output = daemon.build_output(spec, &hosts);
        let mut job = daemon.output(spec, output, hosts).impatient();
        let outcome = job.run().await;
        done.push((job.name().to_owned(), outcome.verdict, outcome.change));
    }
    Ok(done)
}

/// Every keeper once, without a driver.
async fn mint_once(loaded: &Loaded) -> Result<(Daemon, Done), StartError> {
    let daemon = once(loaded)?;
    let wanted = wanted_keepers(&daemon.settings);
    let hosts = wanted.iter().map(|(key, wanted)| (key.clone(), wanted.served())).collect();
    daemon.hub.configure(hosts, BTreeMap::new());
    let mut done = Vec::new();
    for (key, wanted) in wanted {
        let plan = plan(&daemon.settings, &daemon.host, &key);
        let scope = Arc::new(Mutex::new(wanted.scope()));
        let outcome = daemon.keeper(&key, &wanted.identity, plan, scope).doubting().run().await;
        done.push((key.job_name(), outcome.verdict, outcome.change));
    }
    Ok((daemon, done))
}

/// A daemon of which nothing runs.
fn once(loaded: &Loaded) -> Result<Daemon, StartError> {
    let metrics =
        Metrics::new().map_err(|error| StartError::System(std::io::Error::other(error)))?;
    let hub = Hub::new(Arc::new(metrics), Arc::new(SystemClock));
    let pulse = Pulse::default();
    let site = Arc::new(http::Site {
        metrics: Arc::clone(&hub.metrics),
        board: Arc::clone(&hub.status),
        history: Arc::clone(&hub.history),
        pulse: pulse.clone(),
        clock: Arc::clone(&hub.clock),
    });
    let jumps = watch::Sender::new(0);
    let recorder = Arc::clone(&hub) as Arc<dyn Recorder>;
    let driver = Driver::new(recorder, pulse, jumps.subscribe(), CancellationToken::new());
    let repair = Repair::new(CancellationToken::new());
    let mut daemon = Daemon::build(loaded, hub, driver, site, repair);
    daemon.serves = false;
    Ok(daemon)
}

/// One keeper for each identity and region.
fn wanted_keepers(settings: &Settings) -> BTreeMap<KeeperKey, WantedKeeper> {
    let mut wanted: BTreeMap<KeeperKey, WantedKeeper> = BTreeMap::new();
    for registry in &settings.registries {
        let Some(identity) = settings.identities.get(&registry.identity) else {
            continue;
        };
        let key = probes::key_of(&registry.identity, &registry.id);
        let keeper = wanted.entry(key).or_insert_with(|| WantedKeeper::of(identity));
        keeper.hosts.extend(registry.hosts.iter().cloned());
        keeper.patterns.extend(registry.patterns.iter().cloned());
    }
    for probe in &settings.probes {
        let Some(registry) = probes::registry_of(settings, probe) else {
            continue;
        };
        let name = probe.identity.as_ref().unwrap_or(&registry.identity);
        let Some(identity) = settings.identities.get(name) else {
            continue;
        };
        let key = probes::key_of(name, &registry.id);
        let keeper = wanted.entry(key).or_insert_with(|| WantedKeeper::of(identity));
        if !keeper.hosts.contains(&probe.image.host) && !keeper.probed.contains(&probe.image.host) {
            keeper.probed.push(probe.image.host.clone());
        }
    }
    let keys: Vec<KeeperKey> = wanted.keys().cloned().collect();
    for (key, keeper) in &mut wanted {
        keeper.siblings = keys
            .iter()
            .any(|other| other != key && other.region == key.region && other.public == key.public);
    }
    wanted
}

fn plan(settings: &Settings, host: &HostId, key: &KeeperKey) -> Plan {
    Plan {
        at: settings.refresh.at,
        spread: settings.refresh.spread,
        check: match &settings.refresh.check {
            Schedule::Every(interval) => Check::Every(*interval),
            Schedule::Cron(_) => Check::WhenWoken,
        },
        verify: settings.refresh.verify,
        place: host.spread(&key.job_name()),
    }
}

/// Whether two settings of an output differ in nothing but their registries.
fn same_place(one: &OutputSpec, other: &OutputSpec) -> bool {
    OutputSpec { registries: Vec::new(), ..one.clone() }
        == OutputSpec { registries: Vec::new(), ..other.clone() }
}

/// The root of the host that is looked after.
fn root(settings: &Settings) -> &Path {
    let prefix = &settings.daemon.host_prefix;
    if prefix.as_os_str().is_empty() { Path::new("/") } else { prefix }
}

/// Where the control socket is, for those that ask the daemon.
pub fn socket_of(loaded: &Loaded) -> PathBuf {
    loaded.settings.daemon.socket.clone()
}
