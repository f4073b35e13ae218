//! The checks of policies, one job a registry, and where what they tell goes.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Daemon, StartError, hub::Hub};
use crate::{
    config::settings::{Loaded, Registry, Settings},
    model::{
        host_id::HostId,
        identity::IdentitySpec,
        outcome::{Problem, Verdict},
        probe::ProbeSpec,
        registry::{RegistryId, partition_of_region},
    },
    observe::status,
    policy::{
        Access,
        job::{PolicyJob, Report, Scope, Tools, Watcher},
        judge::{CLASSES, Can, Standing},
        prediction::{Seen, agrees, disagreement},
    },
    schedule::{driver::Handle, wake::Wake},
};

/// What `status` tells of, at most.
const TOLD: usize = 20;

/// What the last checks of policies predict and the last test pulls saw.
#[derive(Default)]
pub(super) struct Foresight {
    /// Whether this host can pull, by registry host and repository.
    predicted: BTreeMap<(String, String), Option<bool>>,
    /// By probe: the registry host, the repository and what was seen.
    seen: BTreeMap<String, (String, String, Seen)>,
    /// By probe: what was told last.
    told: BTreeMap<String, Option<bool>>,
}

/// What is predicted, and what was seen.
type Compared = (Option<bool>, Seen);

impl Foresight {
    /// What is predicted for a probe, and what it saw.
    fn of(&self, probe: &str) -> Option<Compared> {
        let (host, repository, seen) = self.seen.get(probe)?;
        let key = (host.clone(), repository.clone());
        Some((self.predicted.get(&key).copied().flatten(), *seen))
    }
}

/// A job with what it was built on.
pub(super) struct RunningPolicy {
    scope: Scope,
    identities: [Option<IdentitySpec>; 2],
    stop: CancellationToken,
    handle: Handle,
}

/// The registries whose policies are checked.
fn wanted(settings: &Settings, host: &HostId) -> BTreeMap<String, (Registry, Scope)> {
    let spec = &settings.policy;
    if spec.is_off() {
        return BTreeMap::new();
    }
    let mut wanted = BTreeMap::new();
    for registry in &settings.registries {
        let RegistryId::Private { account, region } = &registry.id else { continue };
        let partition = partition_of_region(region).map_or("aws", |partition| partition.name);
        let named = spec.repositories.iter().filter_map(|one| one.split_once('/'));
        let mut used: Vec<String> = named
            .filter(|(name, _)| *name == registry.name)
            .map(|(_, repository)| repository.to_owned())
            .collect();
        // What is pulled for a test is used.
        let probed = settings.probes.iter().map(|probe| &probe.image);
        let probed = probed.filter(|image| registry.hosts.contains(&image.host));
        used.extend(probed.map(|image| image.repository.clone()));
        let baselines: Vec<_> =
            spec.baselines.iter().filter(|one| one.registry == registry.name).cloned().collect();
        if used.is_empty() && baselines.is_empty() {
            continue;
        }
        let scope = Scope {
            name: registry.name.clone(),
            hosts: registry.hosts.clone(),
            arn: format!("arn:{partition}:ecr:{region}:{account}:repository/"),
            names: used,
            baselines,
            interval: spec.interval,
            place: host.spread(&format!("policy:{}", registry.name)),
        };
        wanted.insert(registry.name.clone(), (registry.clone(), scope));
    }
    wanted
}

impl Daemon {
    /// Starts, stops or replaces the checks, where their settings say so.
    pub(super) async fn apply_policies(&mut self) {
        let wanted = wanted(&self.settings, &self.host);
        let mut gone = Vec::new();
        for (name, running) in &self.policies {
            let same = wanted.get(name).is_some_and(|(registry, scope)| {
                *scope == running.scope && self.policy_identities(registry) == running.identities
            });
            if !same {
                gone.push(name.clone());
            }
        }
        for name in gone {
            if let Some(running) = self.policies.remove(&name) {
                running.stop.cancel();
                running.handle.stop().await;
                self.hub.forget_policies(&running.scope);
            }
        }
        for (name, (registry, scope)) in wanted {
            if self.policies.contains_key(&name) {
                continue;
            }
            let Some(job) = self.policy_job(&registry, scope.clone()) else { continue };
            let identities = self.policy_identities(&registry);
            let (stop, first) = (job.stop(), job.first_run());
            let handle = self.driver.spawn_after(Some(first), Box::new(job), Wake::default(), None);
            self.policies.insert(name, RunningPolicy { scope, identities, stop, handle });
        }
    }

    fn policy_identities(&self, registry: &Registry) -> [Option<IdentitySpec>; 2] {
        let identities = &self.settings.identities;
        let audit = self.settings.policy.audit_identity.as_ref();
        [
            identities.get(&registry.identity).cloned(),
            audit.and_then(|name| identities.get(name)).cloned(),
        ]
    }

    fn policy_job(&self, registry: &Registry, scope: Scope) -> Option<PolicyJob> {
        let [own, audit] = self.policy_identities(registry);
        let own = own?;
        let RegistryId::Private { account, region } = &registry.id else { return None };
        let tools = Tools {
            own: self.aws.policies(&own, region, account),
            audit: audit.as_ref().map(|audit| self.aws.policies(audit, region, account)),
            history: audit.as_ref().map(|audit| self.aws.history(audit, region)),
            clock: Arc::clone(&self.hub.clock),
            stop: CancellationToken::new(),
            identity: self.aws.identity(&own, region),
            watcher: Arc::clone(&self.hub) as Arc<dyn Watcher>,
        };
        Some(PolicyJob::new(scope, tools))
    }
}

/// What is known of each registry's repositories, or why it can't be said.
pub type Checked = BTreeMap<String, Result<BTreeMap<String, Report>, Problem>>;

/// Every policy once, now.
pub async fn check(loaded: &Loaded) -> Result<Checked, StartError> {
    let daemon = super::once(loaded)?;
    let mut checked = Checked::new();
    for (name, (registry, scope)) in wanted(&daemon.settings, &daemon.host) {
        let Some(mut job) = daemon.policy_job(&registry, scope) else { continue };
        checked.insert(name, job.whole().await.cloned());
    }
    Ok(checked)
}

fn flag(can: Option<&Can>) -> Option<bool> {
    match can?.access {
        Access::Allowed => Some(true),
        Access::Denied | Access::NotGranted => Some(false),
        Access::Undecided => None,
    }
}

impl Watcher for Hub {
    fn checked(&self, scope: &Scope, reports: &BTreeMap<String, Report>, whole: bool) {
        let (registry, hosts) = (scope.name.as_str(), scope.hosts.as_slice());
        let now = self.clock.now();
        let names: Vec<String> = reports.keys().cloned().collect();
        let before = self.policies_shown(|shown| shown.insert(registry.to_owned(), names));
        let gone = before.into_iter().flatten().filter(|name| !reports.contains_key(name));
        for name in gone {
            self.policy_metric(registry, &name, None);
        }
        for (name, report) in reports {
            self.policy_metric(registry, name, Some(report));
        }
        if whole {
            self.metrics.policies_checked(registry, Some(now));
        }
        let disagreements = self.foretold(hosts, reports);
        let of_repositories = || reports.iter().filter(|(name, _)| !name.is_empty());
        let problems = reports.iter().filter_map(|(name, report)| report.problem(name));
        let line = status::Policies {
            registry: registry.to_owned(),
            repositories: of_repositories().count(),
            can_pull: of_repositories()
                .filter(|(_, report)| flag(report.pull.as_ref()) == Some(true))
                .count(),
            unreadable: reports.values().filter(|report| report.unreadable.is_some()).count(),
            checked: whole.then_some(now),
            findings: problems
                .chain(disagreements)
                .take(TOLD)
                .map(|problem| (&problem).into())
                .collect(),
        };
        self.status.policies(registry, Some(line));
    }
}

impl Hub {
    fn policy_metric(&self, registry: &str, repository: &str, report: Option<&Report>) {
        let class = report.and_then(|report| report.standing.as_ref()).map(Standing::class);
        let classes = CLASSES.map(|one| (one, class == Some(one)));
        let readable = report.map(|report| report.unreadable.is_none());
        let access = [
            report.and_then(|report| flag(report.pull.as_ref())),
            report.and_then(|report| flag(report.push.as_ref())),
        ];
        self.metrics.policy(registry, repository, &classes, readable, access);
    }

    /// Takes over what is predicted; the probes that disagree.
    fn foretold(&self, hosts: &[String], reports: &BTreeMap<String, Report>) -> Vec<Problem> {
        let told: Vec<(String, Option<Compared>)> = self.foresight(|foresight| {
            for (repository, report) in reports {
                for host in hosts {
                    let key = (host.clone(), repository.clone());
                    foresight.predicted.insert(key, flag(report.pull.as_ref()));
                }
            }
            foresight.predicted.retain(|(host, repository), _| {
                !hosts.contains(host) || reports.contains_key(repository)
            });
            let of_these = foresight.seen.iter().filter(|(_, (host, ..))| hosts.contains(host));
            of_these.map(|(probe, _)| (probe.clone(), foresight.of(probe))).collect()
        });
        let mut disagreements = Vec::new();
        for (probe, both) in told {
            let Some((predicted, seen)) = both else { continue };
            disagreements.extend(self.compared(&probe, predicted, seen));
        }
        disagreements
    }

    /// A test pull has ended.
    pub(super) fn probe_saw(&self, probe: &ProbeSpec, verdict: &Verdict) {
        let image = &probe.image;
        let seen = (image.host.clone(), image.repository.clone(), Seen::of(verdict));
        let both = self.foresight(|foresight| {
            foresight.seen.insert(probe.name.clone(), seen);
            foresight.of(&probe.name)
        });
        if let Some((predicted, seen)) = both {
            self.compared(&probe.name, predicted, seen);
        }
    }

    /// Tells of an agreement or a disagreement; in the log when it is new.
    fn compared(&self, probe: &str, predicted: Option<bool>, seen: Seen) -> Option<Problem> {
        let agree = agrees(predicted, seen);
        let before = self.foresight(|foresight| foresight.told.insert(probe.to_owned(), agree));
        self.metrics.policy_agrees(probe, agree);
        let problem = disagreement(probe, predicted, seen)?;
        if before != Some(agree) {
            let (reason, remedy) = (problem.reason, problem.reason.remedy());
            warn!(reason = reason.code(), detail = problem.detail, remedy, "{}", reason.text());
        }
        Some(problem)
    }

    /// A test pull is no longer made.
    pub(super) fn probe_forgotten(&self, probe: &str) {
        self.foresight(|foresight| {
            foresight.seen.remove(probe);
            foresight.told.remove(probe);
        });
        self.metrics.policy_agrees(probe, None);
    }

    fn forget_policies(&self, scope: &Scope) {
        let registry = scope.name.as_str();
        // What is no longer read predicts nothing.
        self.foretold(&scope.hosts, &BTreeMap::new());
        let shown = self.policies_shown(|shown| shown.remove(registry)).unwrap_or_default();
        for name in shown {
            self.policy_metric(registry, &name, None);
        }
        self.metrics.policies_checked(registry, None);
        self.status.policies(registry, None);
    }
}
