//! The check of one registry's policies: what is live against the baselines, and what this host can
//! do by it. A round goes over every repository once an interval, some at a time, so that calls
//! depend on time and not on when a fleet was started.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use wildmatch::WildMatch;

use super::{
    Access, Caller, Document, Finding, Kind, Place, RegistryScope, Severity, change, granting,
    judge::{self, Can, Known, Standing},
    lint,
};
use crate::{
    aws::{EventHistory, HistoryFilter, HistoryQuery, Identity, PolicyReader},
    model::{
        clock::Clock,
        outcome::{Again, Outcome, Problem, Verdict},
        policy::{BaselineSpec, Grants},
        reason::Reason,
    },
    schedule::job::Job,
};

/// Repositories looked at in one run.
const BATCH: usize = 20;

/// Policies are eventually consistent: a drift is told when it is still there so long after.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// A round that is late is caught up with at this pace.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

/// After a failure that concerns the whole registry.
const RETRY: Duration = Duration::from_secs(300);

/// How far back it is looked for who changed a policy.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// More repositories than any account has; a listing that never ends is left.
const MOST: usize = 100_000;

/// The registry that is checked, and against what.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// Its configured name.
    pub name: String,
    /// The host names by which it is asked.
    pub hosts: Vec<String>,
    /// `arn:PARTITION:ecr:REGION:ACCOUNT:repository/`, to which a repository's name is added.
    pub arn: String,
    /// Repositories named one by one.
    pub names: Vec<String>,
    /// The baselines of this registry, in order.
    pub baselines: Vec<BaselineSpec>,
    /// Every repository is looked at so often.
    pub interval: Duration,
    /// Where in the interval this host's rounds begin, in `[0, 1)`.
    pub place: f64,
}

impl Scope {
    /// Whether a baseline speaks of repositories by a pattern, so that they must be listed.
    pub fn has_patterns(&self) -> bool {
        self.baselines.iter().flat_map(|one| &one.repositories).any(|name| is_pattern(name))
    }
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// What is known of one repository, or under the empty name of the registry's own policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why its policy is not known.
    pub unreadable: Option<Problem>,
    /// How it stands to its baseline, where there is one.
    pub standing: Option<Standing>,
    /// What is wrong with the policy as it stands.
    pub findings: Vec<Finding>,
    /// What this host can do, as far as the primary account decides it.
    pub pull: Option<Can>,
    /// The same for a push.
    pub push: Option<Can>,
    /// Where the policy is not as it should be: who last changed it, in words.
    pub changed: Option<String>,
}

impl Report {
    /// What is the matter, the gravest alone.
    pub fn matter(&self, repository: &str) -> Option<(Gravity, Problem)> {
        let whose = if repository.is_empty() { "the registry's own policy" } else { repository };
        let changed = self.changed.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        let told = |gravity, reason, detail: &str| {
            Some((gravity, Problem::new(reason, format!("{whose}: {detail}{changed}"))))
        };
        if let Some(problem) = &self.unreadable {
            let known = matches!(problem.reason, Reason::PolicyMalformed | Reason::RepositoryGone);
            let gravity = if known { Gravity::Finding } else { Gravity::Unknown };
            return told(gravity, problem.reason, &problem.detail);
        }
        if let Some(pull) = &self.pull
            && matches!(pull.access, Access::Denied | Access::NotGranted)
        {
            let detail = format!("this host can't pull: {}", pull.because);
            return told(Gravity::Stopped, Reason::PolicyPullDenied, &detail);
        }
        if let Some(Standing::Drifted { relation, rows }) = &self.standing {
            let mut words: Vec<String> = rows.iter().take(3).map(judge::in_words).collect();
            if rows.len() > words.len() {
                words.push(format!("and {} more", rows.len() - words.len()));
            }
            let detail = words.join("; ");
            return if *relation == super::Relation::Broader {
                told(Gravity::Gained, Reason::PolicyGrantsGained, &detail)
            } else {
                told(Gravity::Lost, Reason::PolicyGrantsLost, &detail)
            };
        }
        if let Some(finding) = self.findings.iter().find(|one| one.severity == Severity::Error) {
            return told(Gravity::Finding, finding.reason, &finding.detail);
        }
        match self.standing.as_ref()? {
            Standing::Undecided(why) => told(Gravity::Unknown, Reason::PolicyUndecided, why),
            Standing::Fine | Standing::Drifted { .. } => None,
        }
    }

    /// Whether both say the same of the policy, whoever changed it.
    fn is_like(&self, other: &Self) -> bool {
        let bare = |report: &Self| Self { changed: None, ..report.clone() };
        bare(self) == bare(other)
    }

    /// The reason of [`matter`](Self::matter).
    pub fn problem(&self, repository: &str) -> Option<Problem> {
        self.matter(repository).map(|(_, problem)| problem)
    }
}

/// How grave something is: what stops this host comes first, what is not known last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// It is not known whether anything is the matter.
    Unknown,
    /// Something in a policy does not do what it seems to.
    Finding,
    /// Somebody can do more than expected.
    Gained,
    /// Somebody can do less than expected.
    Lost,
    /// This host can't pull.
    Stopped,
}

/// Who is told.
pub trait Watcher: Send + Sync {
    /// A run has ended: all that is known now of a registry's repositories. `whole`: a round has.
    fn checked(&self, scope: &Scope, reports: &BTreeMap<String, Report>, whole: bool);
}

/// What the job is made of.
pub struct Tools {
    /// Reads as this host does.
    pub own: Arc<dyn PolicyReader>,
    /// Reads as somebody of the primary account does, where there is such an identity.
    pub audit: Option<Arc<dyn PolicyReader>>,
    /// Who this host is.
    pub identity: Arc<dyn Identity>,
    /// The primary account's event history, where there is such an identity.
    pub history: Option<Arc<dyn EventHistory>>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub watcher: Arc<dyn Watcher>,
    /// Ends a run wherever it is: a reload does not wait for a second look.
    pub stop: CancellationToken,
}

/// The job.
pub struct PolicyJob {
    name: String,
    scope: Scope,
    tools: Tools,
    reports: BTreeMap<String, Report>,
    round: Option<Round>,
}

/// What holds for one round.
struct Round {
    caller: Option<Caller>,
    /// This host's role: its unique id and its name.
    own_role: Option<(String, String)>,
    registry: Result<Document, Problem>,
    registry_scope: RegistryScope,
    baselines: Vec<(BaselineSpec, Result<Document, Problem>)>,
    left: VecDeque<String>,
    /// Those that changed under our eyes: they are looked at once more.
    again: BTreeSet<String>,
    total: usize,
}

impl PolicyJob {
    /// A job that has looked at nothing yet.
    pub fn new(scope: Scope, tools: Tools) -> Self {
        let name = format!("policy:{}", scope.name);
        Self { name, scope, tools, reports: BTreeMap::new(), round: None }
    }

    /// What ends it.
    pub fn stop(&self) -> CancellationToken {
        self.tools.stop.clone()
    }

    /// When the first run is due: a fleet that was started at once does not ask at once.
    pub fn first_run(&self) -> Duration {
        Duration::from_secs(60).min(self.scope.interval).mul_f64(self.scope.place.clamp(0.0, 1.0))
    }

    /// Everything at once, for whoever waits for it.
    pub async fn whole(&mut self) -> Result<&BTreeMap<String, Report>, Problem> {
        let mut round = self.begin().await?;
        while !round.left.is_empty() {
            self.some(&mut round).await;
        }
        Ok(&self.reports)
    }

    async fn look(&mut self) -> Outcome {
        let mut round = match self.round.take() {
            Some(round) => round,
            None => match self.begin().await {
                Ok(round) => round,
                Err(problem) => return Outcome::unknown(problem, Again::BackOff(RETRY)),
            },
        };
        self.some(&mut round).await;
        let whole = round.left.is_empty();
        self.tools.watcher.checked(&self.scope, &self.reports, whole);
        let runs = u32::try_from(round.total.div_ceil(BATCH).max(1)).unwrap_or(u32::MAX);
        let pause = (self.scope.interval / runs).max(SHORTEST_PAUSE);
        if !whole {
            self.round = Some(round);
        }
        Outcome { verdict: self.verdict(), change: None, again: Again::In(pause) }
    }

    /// The gravest of all that is known, with how many more there are.
    fn verdict(&self) -> Verdict {
        let matters = self.reports.iter().filter_map(|(name, report)| report.matter(name));
        let mut matters: Vec<(Gravity, Problem)> = matters.collect();
        matters.sort_by_key(|(gravity, _)| std::cmp::Reverse(*gravity));
        let more = matters.len().saturating_sub(1);
        let Some((gravity, mut worst)) = matters.into_iter().next() else { return Verdict::Ok };
        if more > 0 {
            worst.detail = format!("{} (and {more} more)", worst.detail);
        }
        if gravity == Gravity::Unknown { Verdict::Unknown(worst) } else { Verdict::Bad(worst) }
    }

    /// What a round needs to know before it looks at repositories.
    async fn begin(&mut self) -> Result<Round, Problem> {
        let who = self.tools.identity.principal().await.ok();
        let caller = who
            .as_ref()
            .and_then(|who| Some(Caller::parse(&who.arn).ok()?.with_unique_id(&who.unique_id)));
        let own_role = who.as_ref().and_then(|who| {
            let role = who.arn.split_once(":assumed-role/")?.1.split('/').next()?;
            Some((who.key().to_owned(), role.to_owned()))
        });
        let (registry, registry_scope) = self.registry().await;
        let baselines: Vec<_> = self
            .scope
            .baselines
            .iter()
            .map(|spec| (spec.clone(), document(spec, &self.scope.arn)))
            .collect();
        let names = self.names().await?;
        self.reports.retain(|name, _| name.is_empty() || names.contains(name));
        let round = Round {
            caller,
            own_role,
            registry,
            registry_scope,
            baselines,
            total: names.len(),
            left: names.into(),
            again: BTreeSet::new(),
        };
        self.registry_report(&round).await;
        Ok(round)
    }

    fn findings(&self, round: &Round, live: Option<&Document>) -> Vec<Finding> {
        let Some(live) = live else { return Vec::new() };
        let mut parts = self.scope.arn.split(':').skip(1);
        let registry = match (parts.next(), parts.nth(1), parts.next()) {
            (Some(partition), Some(region), Some(account)) => Some((partition, region, account)),
            _ => None,
        };
        let own = round.own_role.as_ref().map(|(id, name)| (id.as_str(), name.as_str()));
        lint(live, &Place { registry, scope: round.registry_scope, own_role: own })
    }

    /// The registry's own policy, which only its own account can read.
    async fn registry(&self) -> (Result<Document, Problem>, RegistryScope) {
        let Some(audit) = &self.tools.audit else {
            let detail = "there is no audit_identity in the primary account";
            let unread = Problem::new(Reason::PolicyUnreadable, detail);
            return (Err(unread), RegistryScope::Unknown);
        };
        let text = audit.registry_policy().await;
        let document = text.and_then(|text| judge::read(Kind::Registry, text.as_deref()));
        let scope = match audit.registry_scope().await.ok().flatten().as_deref() {
            Some("V1") => RegistryScope::V1,
            Some("V2") => RegistryScope::V2,
            _ => RegistryScope::Unknown,
        };
        (document, scope)
    }

    async fn registry_report(&mut self, round: &Round) {
        let baseline = round.baselines.iter().find(|(spec, _)| spec.repositories.is_empty());
        if baseline.is_none() && self.tools.audit.is_none() {
            self.reports.remove("");
            return;
        }
        let resource = format!("{}*", self.scope.arn);
        let look = |live: &Result<Document, Problem>| match (baseline, live) {
            (_, Err(problem)) | (Some((_, Err(problem))), _) => Err(problem.clone()),
            (Some((spec, Ok(baseline))), Ok(live)) => {
                Ok(Some(judge::standing(baseline, live, spec.mode, &resource)))
            }
            (None, Ok(_)) => Ok(None),
        };
        let mut seen = look(&round.registry);
        if matches!(&seen, Ok(Some(standing)) if *standing != Standing::Fine) {
            tokio::time::sleep(SECOND_LOOK).await;
            let again = look(&self.registry().await.0);
            if again != seen {
                return;
            }
            seen = again;
        }
        let mut report = Report {
            unreadable: seen.as_ref().err().cloned(),
            standing: seen.ok().flatten(),
            findings: self.findings(round, round.registry.as_ref().ok()),
            pull: None,
            push: None,
            changed: None,
        };
        self.attribute("", &mut report).await;
        self.reports.insert(String::new(), report);
    }

    /// The repositories of the round.
    async fn names(&self) -> Result<Vec<String>, Problem> {
        let mut names = self.scope.names.clone();
        let given = self.scope.baselines.iter().flat_map(|one| &one.repositories);
        names.extend(given.filter(|name| !is_pattern(name)).cloned());
        if self.scope.has_patterns() {
            let reader = self.tools.audit.as_ref().unwrap_or(&self.tools.own);
            let mut next = None;
            loop {
                let (page, following) = reader.repositories(next).await?;
                let fits =
                    |name: &String| self.scope.baselines.iter().any(|spec| covers(spec, name));
                names.extend(page.into_iter().filter(fits));
                next = following;
                if next.is_none() || names.len() > MOST {
                    break;
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The next repositories of a round.
    async fn some(&mut self, round: &mut Round) {
        let batch = round.left.len().min(BATCH);
        let batch: Vec<String> = round.left.drain(..batch).collect();
        let mut doubtful = Vec::new();
        for name in batch {
            let report = self.report(round, &name).await;
            let bad = report.matter(&name).is_some_and(|(gravity, _)| gravity > Gravity::Unknown);
            let before = self.reports.get(&name).filter(|before| before.is_like(&report)).cloned();
            if let Some(before) = before {
                self.reports.insert(name, before);
            } else if bad {
                doubtful.push((name, report));
            } else {
                self.reports.insert(name, report);
            }
        }
        if doubtful.is_empty() {
            return;
        }
        tokio::time::sleep(SECOND_LOOK).await;
        for (name, before) in doubtful {
            let mut again = self.report(round, &name).await;
            if again.is_like(&before) || again.problem(&name).is_none() {
                self.attribute(&name, &mut again).await;
                self.reports.insert(name, again);
            } else if round.again.insert(name.clone()) {
                // It changes under our eyes: until it is looked at again the old one counts.
                round.left.push_back(name);
            }
        }
    }

    /// Adds who last changed a policy that is not as it should be.
    async fn attribute(&self, name: &str, report: &mut Report) {
        if report.matter(name).is_none_or(|(gravity, _)| gravity == Gravity::Unknown) {
            return;
        }
        let Some(history) = &self.tools.history else {
            report.changed = Some("who changed it is not visible: no audit_identity".to_owned());
            return;
        };
        let now = self.tools.clock.now();
        let calls = if name.is_empty() { change::OF_REGISTRY } else { change::OF_REPOSITORY };
        let mut records = Vec::new();
        for call in calls {
            let query = HistoryQuery {
                from: now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN),
                until: now,
                filter: HistoryFilter::Name(call.to_owned()),
            };
            // The quota is the account's, not ours.
            tokio::time::sleep(Duration::from_secs(1)).await;
            match history.page(&query, None).await {
                Ok(page) => records.extend(page.records),
                Err(problem) => {
                    report.changed = Some(format!("who changed it is not visible: {problem}"));
                    return;
                }
            }
        }
        let last = change::latest(records.iter().map(String::as_str), name);
        report.changed = Some(last.map_or_else(
            || "who changed it is not visible: no such event in seven days".to_owned(),
            |change| format!("last change: {change}"),
        ));
    }

    async fn report(&self, round: &Round, name: &str) -> Report {
        let resource = format!("{}{name}", self.scope.arn);
        let live = self.repository(name).await;
        let baseline = round.baselines.iter().find(|(spec, _)| covers(spec, name));
        let standing = match (&live, baseline) {
            (Ok(live), Some((spec, Ok(baseline)))) => {
                Some(judge::standing(baseline, live, spec.mode, &resource))
            }
            _ => None,
        };
        let unreadable = match (&live, baseline) {
            (Err(problem), _) | (_, Some((_, Err(problem)))) => Some(problem.clone()),
            _ => None,
        };
        let known = Known {
            resource: &resource,
            repository: live.as_ref().ok(),
            registry: round.registry.as_ref().ok(),
            scope: round.registry_scope,
        };
        let caller = round.caller.as_ref();
        Report {
            unreadable,
            standing,
            findings: self.findings(round, live.as_ref().ok()),
            pull: caller.map(|caller| judge::can_pull(caller, &known)),
            push: caller.map(|caller| judge::can_push(caller, &known)),
            changed: None,
        }
    }

    /// A repository's policy: as this host reads it, else as the auditor does.
    async fn repository(&self, name: &str) -> Result<Document, Problem> {
        let own = self.tools.own.repository_policy(name).await;
        let text = match (own, &self.tools.audit) {
            (Err(problem), Some(audit)) if problem.reason == Reason::PolicyUnreadable => {
                audit.repository_policy(name).await?
            }
            (own, _) => own?,
        };
        judge::read(Kind::Repository, text.as_deref())
    }
}

fn covers(spec: &BaselineSpec, name: &str) -> bool {
    spec.repositories.iter().any(|pattern| WildMatch::new(pattern).matches(name))
}

/// A baseline's document.
fn document(spec: &BaselineSpec, arn: &str) -> Result<Document, Problem> {
    let kind = if spec.repositories.is_empty() { Kind::Registry } else { Kind::Repository };
    match &spec.grants {
        Grants::File(path) => {
            let failed = |why: String| {
                Problem::new(Reason::PolicyMalformed, format!("{}: {why}", path.display()))
            };
            let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
            judge::read(kind, Some(&text)).map_err(|problem| failed(problem.detail))
        }
        Grants::Lists { pull, push } => {
            let every = format!("{arn}*");
            let resource = (kind == Kind::Registry).then_some(every.as_str());
            granting(kind, pull, push, resource).map_err(|mistakes| {
                let what = mistakes.into_iter().next().map(|first| first.what).unwrap_or_default();
                Problem::new(Reason::PolicyMalformed, format!("the baseline: {what}"))
            })
        }
    }
}

impl Job for PolicyJob {
    fn name(&self) -> &str {
        &self.name
    }

    fn deadline(&self) -> Duration {
        // Twenty calls of at most fifteen seconds, twice, and the pause in between.
        Duration::from_secs(660)
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        let stop = self.tools.stop.clone();
        Box::pin(async move {
            tokio::select! {
                outcome = self.look() => outcome,
                () = stop.cancelled() => Outcome::ok(Again::OnSignal),
            }
        })
    }
}

#[cfg(test)]
mod tests;
