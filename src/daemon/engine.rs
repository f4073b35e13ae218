//! Engines of this host: where they are, the credential that their client would send (found by
//! `explain`'s rules), and the trial of one beside our own client.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use jiff::Timestamp;

use crate::{
    config::settings,
    consumer::containerd::FILE,
    explain::{self, Credential, Image, Way, look::Tree},
    model::{
        outcome::{Problem, Verdict},
        reason::Reason,
    },
    oci::{client::Client, trace::Record},
    probe::{
        Depth,
        attempt::{Caller, attempt_and_find},
        diagnosis::Diagnosis,
        engine::{Engine, EnginePlan, Offered, Seen, Trial, look, views::judge},
        job::{Beyond, Callers, Puller, Tried, caller_of},
        pull::Plan,
    },
};

/// Bytes that must be free beyond what an image takes.
const LEAST_FREE: u64 = 2 << 30;

/// This host, as far as its engines are concerned.
#[derive(Clone, Debug)]
pub struct EngineHost {
    prefix: PathBuf,
    scratch: PathBuf,
    notes: Option<PathBuf>,
}

impl EngineHost {
    /// By the settings. Files for an engine go where the daemon's own short-lived ones are, which
    /// the engine can see, other than a private /tmp.
    pub fn of(daemon: &settings::Daemon) -> Self {
        let (runtime, temporary) = (&daemon.runtime_directory, std::env::temp_dir());
        let scratch = if runtime.is_dir() { runtime.clone() } else { temporary };
        let notes = Some(daemon.state_directory.clone()).filter(|folder| folder.is_dir());
        Self { prefix: Path::new("/").join(&daemon.host_prefix), scratch, notes }
    }

    /// The usual socket of an engine, as this process can reach it.
    pub fn socket(&self, engine: Engine) -> PathBuf {
        self.prefix.join(engine.socket().trim_start_matches('/'))
    }

    /// Our own client first, then the engine. `None` in place of the engine if the image is larger
    /// than the allowance.
    pub async fn trial(
        &self,
        (engine, socket): (Engine, Option<&Path>),
        (client, caller): (&Arc<Client>, &Caller),
        plan: &Plan,
        record: &Arc<Record>,
        started: Timestamp,
    ) -> Trial {
        // A byte of a layer tells the storage's half from the engine's.
        let own = Plan { depth: plan.depth.min(Depth::FirstByte), ..plan.clone() };
        let (seen, wanted) = attempt_and_find(client, caller, &own, record, started).await;
        let bytes = wanted.as_ref().map_or(0, |wanted| wanted.bytes);
        if plan.depth == Depth::Full && !plan.allowance.allows(bytes) {
            let detail = format!("{}: its {bytes} bytes are more than is left", plan.image);
            let unreachable = Some(Problem::new(Reason::ProbeBudgetSpent, detail).into());
            let engine = Seen { engine: engine.word().to_owned(), unreachable, ..Seen::default() };
            return Trial { engine, seen };
        }
        let image =
            Image { host: plan.image.host.clone(), repository: plan.image.repository.clone() };
        let prefix = self.prefix.clone();
        let found = tokio::task::spawn_blocking(move || {
            let tree = Tree::open(&prefix)
                .map_err(|why| lacking("nowhere", Problem::new(Reason::EngineUnreachable, why)));
            match tree {
                Ok(tree) => {
                    let hosts = (engine == Engine::Containerd).then(|| hosts_folder(&tree));
                    (offered(&tree, &image, engine), hosts.flatten())
                }
                Err(offered) => (offered, None),
            }
        });
        let (offered, hosts_folder) = found.await.unwrap_or_else(|error| {
            (lacking("nowhere", Problem::new(Reason::EngineUnreachable, error.to_string())), None)
        });
        let plan = EnginePlan {
            engine,
            socket: socket.map_or_else(|| self.socket(engine), Path::to_owned),
            prefix: self.prefix.clone(),
            image: plan.image.clone(),
            depth: plan.depth,
            platform: plan.platform.clone(),
            wanted,
            timeout: plan.timeout,
            least_free: LEAST_FREE,
            hosts_folder,
            scratch: self.scratch.clone(),
            notes: self.notes.clone(),
        };
        Trial { engine: look(&plan, &offered).await, seen }
    }
}

/// Has an engine pull.
pub(super) struct EnginePuller {
    pub(super) client: Arc<Client>,
    pub(super) callers: Arc<dyn Callers>,
    pub(super) engine: Engine,
    pub(super) socket: Option<PathBuf>,
    pub(super) host: EngineHost,
}

impl Puller for EnginePuller {
    fn pull<'a>(
        &'a self,
        plan: &'a Plan,
        started: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Tried> + Send + 'a>> {
        Box::pin(async move {
            let caller = caller_of(&*self.callers, &plan.image.host).await;
            let (ours, record) = ((&self.client, &caller), Arc::new(Record::default()));
            let asked = (self.engine, self.socket.as_deref());
            let trial = self.host.trial(asked, ours, plan, &record, started).await;
            let judged = judge(&trial);
            let mut diagnosis = Diagnosis::of_engine(judged.verdict);
            if let (Verdict::Bad(problem), Some(located)) = (&mut diagnosis.verdict, judged.located)
            {
                problem.detail = format!("{}; the fault is {located}", problem.detail);
            }
            let beyond = Beyond {
                diagnosis,
                reached: trial.engine.reached(),
                trace: serde_json::to_value(&trial).unwrap_or_default(),
            };
            Tried { capsule: trial.seen, beyond: Some(beyond) }
        })
    }
}

/// Finds it. May block: files are read and helpers run.
pub fn offered(tree: &Tree, image: &Image, engine: Engine) -> Offered {
    explain::client(tree, image, engine.word()).map_or_else(
        || {
            let detail = format!("no client of {} was found on this host", engine.word());
            lacking("nowhere", Problem::new(Reason::CredentialAbsent, detail))
        },
        |way| of_way(&way),
    )
}

/// containerd's folder of hosts, as this process can name it. May block.
pub fn hosts_folder(tree: &Tree) -> Option<PathBuf> {
    explain::hosts_folder(tree).map(|folder| tree.here(&folder))
}

/// The first place that has one: whether the registry takes it is what the probe finds out.
fn of_way(way: &Way) -> Offered {
    for step in &way.steps {
        if let Credential::Token(token) = &step.credential {
            let (from, token) = (step.from.clone(), Some(token.clone()));
            let stands_in_hosts = from.contains(FILE);
            return Offered { from, token, lacking: None, stands_in_hosts };
        }
    }
    for step in &way.steps {
        if let Credential::Bad(trouble) | Credential::Unknown(trouble) = &step.credential {
            return lacking(&step.from, trouble.problem.clone());
        }
    }
    let detail = way.by_hand.clone().unwrap_or_default();
    lacking("nowhere", Problem::new(Reason::CredentialAbsent, detail))
}

fn lacking(from: &str, problem: Problem) -> Offered {
    let (from, lacking) = (from.to_owned(), Some(problem));
    Offered { from, token: None, lacking, stands_in_hosts: false }
}
