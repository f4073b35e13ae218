//! The checks of policies, one job a registry, and where what they tell goes.

use std::{collections::BTreeMap, sync::Arc};

use super::{Daemon, StartError, hub::Hub};
use crate::{
    config::settings::{Loaded, Registry, Settings},
    model::{
        host_id::HostId,
        identity::IdentitySpec,
        outcome::Problem,
        registry::{RegistryId, partition_of_region},
    },
    observe::status,
    policy::{
        Access,
        job::{PolicyJob, Report, Scope, Tools, Watcher},
        judge::{CLASSES, Can, Standing},
    },
    schedule::{driver::Handle, wake::Wake},
};

/// What `status` tells of, at most.
const TOLD: usize = 20;

/// A job with what it was built on.
pub(super) struct RunningPolicy {
    scope: Scope,
    identities: [Option<IdentitySpec>; 2],
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
        let used: Vec<String> = named
            .filter(|(name, _)| *name == registry.name)
            .map(|(_, repository)| repository.to_owned())
            .collect();
        let baselines: Vec<_> =
            spec.baselines.iter().filter(|one| one.registry == registry.name).cloned().collect();
        if used.is_empty() && baselines.is_empty() {
            continue;
        }
        let scope = Scope {
            name: registry.name.clone(),
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
                running.handle.stop().await;
                self.hub.forget_policies(&name);
            }
        }
        for (name, (registry, scope)) in wanted {
            if self.policies.contains_key(&name) {
                continue;
            }
            let Some(job) = self.policy_job(&registry, scope.clone()) else { continue };
            let identities = self.policy_identities(&registry);
            let handle = self.driver.spawn(Box::new(job), Wake::default(), None);
            self.policies.insert(name, RunningPolicy { scope, identities, handle });
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
            audit: audit.map(|audit| self.aws.policies(&audit, region, account)),
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
    fn checked(&self, registry: &str, reports: &BTreeMap<String, Report>, whole: bool) {
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
            findings: problems.take(TOLD).map(|problem| (&problem).into()).collect(),
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

    fn forget_policies(&self, registry: &str) {
        let shown = self.policies_shown(|shown| shown.remove(registry)).unwrap_or_default();
        for name in shown {
            self.policy_metric(registry, &name, None);
        }
        self.metrics.policies_checked(registry, None);
        self.status.policies(registry, None);
    }
}
