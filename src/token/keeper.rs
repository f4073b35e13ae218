//! The token keeper: one job for each (identity, region). It does what `schedule` decides.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use super::{
    schedule::{self, Facts, Plan, Settled, Standing, Step, Trouble, Why},
    store::{Kept, Store},
};
use crate::{
    aws::{CredentialsInfo, Identity, TokenMint},
    model::{
        clock::Clock,
        outcome::{Again, Outcome, Problem, Verdict},
        principal::Principal,
        reason::Reason,
        token::Token,
    },
    oci::{Acceptance, TokenCheck},
    schedule::job::Job,
};

/// So many host names are asked about a token at the most.
const HOSTS_ASKED: usize = 3;

/// What a keeper keeps a token for: the names are the configuration's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeeperKey {
    /// The identity's name.
    pub identity: String,
    /// The registry's region; `us-east-1` for ECR Public.
    pub region: String,
    /// ECR Public has tokens of its own.
    pub public: bool,
}

impl KeeperKey {
    /// The job's name.
    pub fn job_name(&self) -> String {
        let kind = if self.public { "public-token" } else { "token" };
        format!("{kind}:{}:{}", self.identity, self.region)
    }

    /// The region as metrics and status show it; ECR Public has its own word.
    pub fn region_label(&self) -> &str {
        if self.public { "public" } else { &self.region }
    }
}

/// What a keeper knows, after each change.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The token to publish; `None` when there is none, or the last one has expired.
    pub token: Option<Token>,
    /// Whom STS says the identity is.
    pub principal: Option<Principal>,
    /// When the source credentials expire.
    pub credentials_expire: Option<Timestamp>,
    /// When the token is to be replaced.
    pub next_refresh: Option<Timestamp>,
    /// What is the matter, if anything is.
    pub problem: Option<Problem>,
    /// Why it is not known whom the identity is. Tokens don't depend on it.
    pub principal_problem: Option<Problem>,
}

/// What a keeper's token serves; changes with the configuration, while the keeper goes on.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The host names that the token is good for; the first one is asked.
    pub hosts: Vec<String>,
    /// Another identity serves the same region: it may be the same principal.
    pub siblings: bool,
}

/// Who is told what a keeper does.
pub trait Watcher: Send + Sync {
    /// The state changed, or was looked at.
    fn report(&self, key: &KeeperKey, report: &Report);

    /// A refresh was attempted.
    fn refreshed(&self, key: &KeeperKey, result: Result<(), Reason>);
}

/// Tokens by principal and region, so that two identities that are the same principal share one.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<HashMap<SharedKey, Slot>>>);

/// Principal, region, and whether it is for ECR Public.
type SharedKey = (String, String, bool);

type Slot = Arc<AsyncMutex<Option<Token>>>;

impl Shared {
    fn slot(&self, principal: &Principal, key: &KeeperKey) -> Slot {
        let at = (principal.key().to_owned(), key.region.clone(), key.public);
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(at).or_default())
    }
}

/// What a keeper works with.
pub struct Tools {
    /// Where credentials come from.
    pub identity: Arc<dyn Identity>,
    /// GetAuthorizationToken.
    pub mint: Arc<dyn TokenMint>,
    /// The registry's `/v2/`.
    pub check: Arc<dyn TokenCheck>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The tokens of other keepers.
    pub shared: Shared,
    /// The state directory's tokens.
    pub store: Store,
    /// Who is told.
    pub watcher: Arc<dyn Watcher>,
}

/// The job.
pub struct Keeper {
    key: KeeperKey,
    name: String,
    plan: Plan,
    tools: Tools,
    scope: Arc<Mutex<Scope>>,
    restored: bool,
    /// What was kept is tried before it is relied on, however lately it was accepted.
    doubts: bool,
    held: Option<(Token, Standing)>,
    candidate: Option<(Token, Standing)>,
    implausible: Option<Problem>,
    /// The token that is on its way replaces a refused one.
    replacing: bool,
    credentials: Option<CredentialsInfo>,
    /// The credentials that STS was asked with, and whom it named.
    principal: Option<(String, Principal)>,
    principal_problem: Option<Problem>,
    /// The credentials and the principal that the held token was last tried under.
    tried_under: Option<(String, Option<String>)>,
}

impl Keeper {
    /// A keeper that has done nothing yet.
    pub fn new(key: KeeperKey, plan: Plan, scope: Arc<Mutex<Scope>>, tools: Tools) -> Self {
        Self {
            name: key.job_name(),
            key,
            plan,
            tools,
            scope,
            restored: false,
            doubts: false,
            held: None,
            candidate: None,
            implausible: None,
            replacing: false,
            credentials: None,
            principal: None,
            principal_problem: None,
            tried_under: None,
        }
    }

    /// For a single look: a token that was revoked since it was last tried is not handed out.
    #[must_use]
    pub const fn doubting(mut self) -> Self {
        self.doubts = true;
        self
    }

    /// One look: do what is to be done, until the decision is to rest.
    async fn look(&mut self) -> Outcome {
        let mut notes = Vec::new();
        let mut problem = None;
        self.restore(&mut notes, &mut problem);
        let mut trouble = None;
        if let Err(found) = self.look_at_credentials(&mut notes).await {
            if self.held.is_none() {
                self.tools.watcher.refreshed(&self.key, Err(found.reason));
            }
            trouble = Some(Trouble::Mint);
            problem = Some(Verdict::Bad(found));
        }
        let again = loop {
            let facts = self.facts(trouble);
            match schedule::decide(self.tools.clock.now(), &self.plan, &facts) {
                Step::Mint(why) => match self.mint(why, &mut notes).await {
                    Ok(()) => {}
                    Err((kind, found)) => {
                        self.tools.watcher.refreshed(&self.key, Err(found.reason));
                        trouble = Some(kind);
                        problem = Some(Verdict::Bad(found));
                    }
                },
                Step::TryCandidate => {
                    if let Err((kind, found)) = self.try_candidate(&mut notes).await {
                        trouble = Some(kind);
                        problem = Some(found);
                    }
                }
                Step::TryHeld(why) => {
                    if let Err(found) = self.try_held(why, &mut notes).await {
                        if matches!(found, Verdict::Unknown(_)) {
                            trouble = Some(Trouble::Registry);
                        }
                        problem = Some(found);
                    }
                }
                Step::Rest(pause) => break Again::In(pause),
                Step::BackOff(pause) => break Again::BackOff(pause),
            }
        };
        // A refusal that was answered with a token that works is a change, not a problem.
        if matches!(&problem, Some(Verdict::Bad(found)) if found.reason == Reason::TokenRefused)
            && trouble.is_none()
        {
            problem = None;
        }
        // Last, so that a token never waits for STS.
        self.ask_principal(&mut notes).await;
        let verdict =
            problem.or_else(|| self.implausible.clone().map(Verdict::Bad)).unwrap_or(Verdict::Ok);
        self.report(verdict.problem());
        let change = (!notes.is_empty()).then(|| notes.join("; "));
        Outcome { verdict, change, again }
    }

    /// Publishes what was kept, before anything is asked of anybody.
    fn restore(&mut self, notes: &mut Vec<String>, problem: &mut Option<Verdict>) {
        if std::mem::replace(&mut self.restored, true) {
            return;
        }
        let (kept, trouble) = self.tools.store.load(&self.name);
        if let Some(trouble) = trouble {
            // Said once; a new token is minted, so nothing is broken.
            notes.push(trouble.to_string());
            if trouble.reason == Reason::StateUnreadable {
                *problem = Some(Verdict::Unknown(trouble));
            }
        }
        let Some(kept) = kept.filter(|kept| !kept.token.expired(self.tools.clock.now())) else {
            return;
        };
        notes.push(format!("kept token published again, valid until {:.0}", kept.token.expires));
        let accepted = kept.accepted.filter(|_| !self.doubts);
        let standing = accepted.map_or(Standing::Untried, Standing::Accepted);
        self.tried_under = kept.credentials.clone().map(|credentials| {
            (credentials, kept.principal.as_ref().map(|who| who.key().to_owned()))
        });
        self.principal = kept.credentials.zip(kept.principal);
        self.held = Some((kept.token, standing));
        self.report(None);
    }

    /// Notices rotated credentials and, through them, a changed principal.
    async fn look_at_credentials(&mut self, notes: &mut Vec<String>) -> Result<(), Problem> {
        self.credentials = Some(self.tools.identity.credentials().await?);
        // The first token does not wait for STS, unless another keeper may have one to share.
        if self.held.is_some() || self.scope().siblings {
            self.ask_principal(notes).await;
        }
        Ok(())
    }

    /// Asks STS once for each set of credentials.
    async fn ask_principal(&mut self, notes: &mut Vec<String>) {
        let Some(fingerprint) = self.credentials.as_ref().map(|found| found.fingerprint.clone())
        else {
            return;
        };
        if self.principal.as_ref().is_some_and(|(asked_with, _)| *asked_with == fingerprint) {
            return;
        }
        match self.tools.identity.principal().await {
            Ok(who) => {
                match &self.principal {
                    Some((_, before)) if before.key() != who.key() => notes.push(format!(
                        "the principal changed: {} ({}), before {} ({})",
                        who.arn, who.unique_id, before.arn, before.unique_id
                    )),
                    Some(_) => {}
                    None => notes.push(format!("the identity is {}", who.arn)),
                }
                // Tried under these very credentials, before it was known whose they are.
                if let Some((credentials, known @ None)) = &mut self.tried_under
                    && *credentials == fingerprint
                {
                    *known = Some(who.key().to_owned());
                }
                self.principal = Some((fingerprint, who));
                self.principal_problem = None;
                self.keep(notes);
            }
            Err(found) => {
                let found = Problem::new(Reason::PrincipalUnknown, found.to_string());
                if self.principal_problem.as_ref() != Some(&found) {
                    notes.push(found.to_string());
                }
                self.principal_problem = Some(found);
            }
        }
    }

    fn scope(&self) -> Scope {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn facts(&self, trouble: Option<Trouble>) -> Facts {
        Facts {
            held: self
                .held
                .as_ref()
                .map(|(token, standing)| (token.minted, token.expires, *standing)),
            candidate: self.candidate.as_ref().map(|(_, standing)| *standing),
            source_changed: self.source().is_some_and(|source| {
                self.tried_under.as_ref().is_some_and(|tried| *tried != source)
            }),
            credentials_expire: self
                .credentials
                .as_ref()
                .and_then(|credentials| credentials.expires),
            trouble,
        }
    }

    /// The credentials and the principal of this moment.
    fn source(&self) -> Option<(String, Option<String>)> {
        let credentials = self.credentials.as_ref()?.fingerprint.clone();
        Some((credentials, self.principal.as_ref().map(|(_, who)| who.key().to_owned())))
    }

    /// Gets a new token: from a sibling that is the same principal, or from AWS.
    async fn mint(&mut self, why: Why, notes: &mut Vec<String>) -> Result<(), (Trouble, Problem)> {
        let slot = self.principal.as_ref().map(|(_, who)| self.tools.shared.slot(who, &self.key));
        let mut shared = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        let now = self.tools.clock.now();
        if let Some(theirs) = shared.as_deref().and_then(Option::as_ref)
            && self.better(theirs, now)
        {
            let theirs = theirs.clone();
            drop(shared);
            notes.push("took the token of another identity that is the same principal".to_owned());
            self.candidate = Some((theirs, Standing::Untried));
            return Ok(());
        }
        let minted = self.tools.mint.mint().await.map_err(|problem| (Trouble::Mint, problem))?;
        let arrived = self.tools.clock.now();
        let (expires, plausible) = schedule::plausible_expiry(arrived, minted.expires_at);
        self.implausible = (!plausible).then(|| {
            let stated = minted
                .expires_at
                .map_or_else(|| "none".to_owned(), |stated| format!("{stated:.0}"));
            Problem::new(
                Reason::TokenExpiryImplausible,
                format!("expiresAt {stated}, arrived {arrived:.0} by this host's clock"),
            )
        });
        let token = Token { secret: minted.secret, minted: arrived, expires };
        if let Some(shared) = shared.as_deref_mut() {
            *shared = Some(token.clone());
        }
        drop(shared);
        self.replacing = why == Why::Refused;
        if self.plan.verify {
            self.candidate = Some((token, Standing::Untried));
        } else {
            self.publish(token, Standing::Unknown, notes);
        }
        Ok(())
    }

    /// Whether a sibling's token is worth more than the own one.
    fn better(&self, theirs: &Token, now: Timestamp) -> bool {
        let fresh = now < schedule::refresh_at(&self.plan, theirs.minted, theirs.expires);
        fresh && self.held.as_ref().is_none_or(|(held, _)| held.secret != theirs.secret)
    }

    async fn try_candidate(&mut self, notes: &mut Vec<String>) -> Result<(), (Trouble, Verdict)> {
        let Some((token, _)) = self.candidate.take() else {
            return Ok(());
        };
        let now = self.tools.clock.now();
        let (standing, found) = self.ask_registry(&token).await;
        let held =
            self.held.as_ref().map(|(token, standing)| (token.minted, token.expires, *standing));
        match schedule::settle(now, standing, held) {
            Settled::Publish => self.publish(token, standing, notes),
            Settled::Hold => self.candidate = Some((token, standing)),
            Settled::Drop => self.forget_shared(&token).await,
        }
        match found {
            None => Ok(()),
            Some(Verdict::Bad(problem)) => {
                self.tools.watcher.refreshed(&self.key, Err(problem.reason));
                Err((Trouble::FreshRefused, Verdict::Bad(problem)))
            }
            Some(verdict) => Err((Trouble::Registry, verdict)),
        }
    }

    async fn try_held(&mut self, why: Why, notes: &mut Vec<String>) -> Result<(), Verdict> {
        let Some((token, _)) = self.held.clone() else {
            return Ok(());
        };
        let (standing, found) = self.ask_registry(&token).await;
        self.held = Some((token.clone(), standing));
        if standing == Standing::Unknown {
            return found.map_or(Ok(()), Err);
        }
        if why == Why::SourceChanged {
            let word = if standing == Standing::Refused { "is refused now" } else { "still works" };
            notes.push(format!("the source credentials changed; the token {word}"));
        }
        self.tried_under = self.source();
        if standing == Standing::Refused {
            self.forget_shared(&token).await;
        } else {
            self.keep(notes);
        }
        found.map_or(Ok(()), Err)
    }

    /// Asks the registry, in the schedule's terms. Where one host name can't be asked (an alias
    /// without a name, a private endpoint), the next may know: any of them judges the token.
    async fn ask_registry(&self, token: &Token) -> (Standing, Option<Verdict>) {
        let mut unknown = None;
        for host in self.scope().hosts.iter().take(HOSTS_ASKED) {
            match self.tools.check.check(host, &token.secret).await {
                Acceptance::Accepted => {
                    return (Standing::Accepted(self.tools.clock.now()), None);
                }
                Acceptance::Refused(problem) => {
                    return (Standing::Refused, Some(Verdict::Bad(problem)));
                }
                Acceptance::Unknown(problem) => unknown = unknown.or(Some(problem)),
            }
        }
        let problem = unknown.unwrap_or_else(|| {
            Problem::new(Reason::RegistryUnreachable, "no registry host is configured")
        });
        (Standing::Unknown, Some(Verdict::Unknown(problem)))
    }

    fn publish(&mut self, token: Token, standing: Standing, notes: &mut Vec<String>) {
        let place = if self.replacing { " in place of the refused one" } else { "" };
        notes.push(format!("new token{place}, valid until {:.0}", token.expires));
        self.replacing = false;
        self.held = Some((token, standing));
        self.tried_under = self.source();
        self.tools.watcher.refreshed(&self.key, Ok(()));
        // Published first: the state directory's disk may be slow.
        self.report(self.implausible.clone().as_ref());
        self.keep(notes);
    }

    async fn forget_shared(&self, token: &Token) {
        if let Some((_, who)) = &self.principal {
            let slot = self.tools.shared.slot(who, &self.key);
            let mut shared = slot.lock().await;
            if shared.as_ref().is_some_and(|theirs| theirs.secret == token.secret) {
                *shared = None;
            }
        }
    }

    fn keep(&self, notes: &mut Vec<String>) {
        let Some((token, standing)) = &self.held else {
            return;
        };
        let kept = Kept {
            token: token.clone(),
            principal: self.principal.as_ref().map(|(_, who)| who.clone()),
            credentials: self.tried_under.as_ref().map(|(credentials, _)| credentials.clone()),
            accepted: match standing {
                Standing::Accepted(at) => Some(*at),
                _ => None,
            },
        };
        if let Err(problem) = self.tools.store.save(&self.name, &kept) {
            notes.push(problem.to_string());
        }
    }

    fn report(&self, problem: Option<&Problem>) {
        let now = self.tools.clock.now();
        let token = self.held.as_ref().map(|(token, _)| token).filter(|token| !token.expired(now));
        let expired = self.held.is_some() && token.is_none();
        self.tools.watcher.report(
            &self.key,
            &Report {
                token: token.cloned(),
                principal: self.principal.as_ref().map(|(_, who)| who.clone()),
                credentials_expire: self
                    .credentials
                    .as_ref()
                    .and_then(|credentials| credentials.expires),
                next_refresh: token
                    .map(|token| schedule::refresh_at(&self.plan, token.minted, token.expires)),
                problem: problem.cloned().or_else(|| {
                    expired.then(|| Problem::new(Reason::TokenExpired, self.key.job_name()))
                }),
                principal_problem: self.principal_problem.clone(),
            },
        );
    }
}

impl Job for Keeper {
    fn name(&self) -> &str {
        &self.name
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.look())
    }
}

#[cfg(test)]
mod tests;
