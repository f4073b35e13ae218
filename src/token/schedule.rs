//! What to do with a token now, and when to look again. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What AWS documents as a token's life (ECR user guide, "Private registry authentication").
pub const DOCUMENTED_LIFE: Duration = Duration::from_secs(12 * 3600);

/// A stated expiry further away than this can't be right.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The longest wait between attempts while the token still lives.
const SLOWEST_RETRY: Duration = Duration::from_secs(600);

/// The longest wait between attempts when there is no working token, or nearly none.
const URGENT_RETRY: Duration = Duration::from_secs(60);

/// The longest wait between attempts when AWS mints and the registry refuses: asking for more
/// tokens rarely helps then.
const REFUSED_RETRY: Duration = Duration::from_secs(300);

/// When to refresh and when to try, from `[refresh]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The fraction of a token's life after which it is replaced.
    pub at: f64,
    /// The fraction of a life (and of a check's interval) over which a fleet spreads.
    pub spread: f64,
    /// How often the published token is tried.
    pub check: Check,
    /// Whether tokens are tried against the registry at all.
    pub verify: bool,
    /// This host's place in the fleet, in `[0, 1)`.
    pub place: f64,
}

/// How often the published token is tried against the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// So often.
    Every(Duration),
    /// At each look that comes from outside (a cron schedule), at most once a minute.
    WhenWoken,
}

/// What the registry said of a token, last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked it yet.
    Untried,
    /// It accepted the token then.
    Accepted(Timestamp),
    /// It refused the token.
    Refused,
    /// It could not be asked.
    Unknown,
}

/// The facts that the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// The published token's arrival and death, and what the registry says of it.
    pub held: Option<(Timestamp, Timestamp, Standing)>,
    /// A newer token that the registry could not be asked about, and how that stands.
    pub candidate: Option<Standing>,
    /// The source credentials or the principal are not those that the token was last tried under.
    pub source_changed: bool,
    /// When the source credentials expire, and so rotate.
    pub credentials_expire: Option<Timestamp>,
    /// What went wrong in this look, if anything did.
    pub trouble: Option<Trouble>,
}

/// What went wrong in this look. It is not tried again within the same look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No token could be minted.
    Mint,
    /// A new token came, and the registry refused it.
    FreshRefused,
    /// The registry could not be asked.
    Registry,
}

/// Why a token is minted or tried: it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none, or it has expired.
    Missing,
    /// Its time has come.
    Due,
    /// The registry refused it.
    Refused,
    /// The source credentials or the principal changed.
    SourceChanged,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask AWS for a token.
    Mint(Why),
    /// Try the candidate against the registry.
    TryCandidate,
    /// Try the published token against the registry.
    TryHeld(Why),
    /// Nothing; look again after so long at the latest.
    Rest(Duration),
    /// Nothing more in this look; try again with growing pauses of at most this length.
    BackOff(Duration),
}

/// What to do now, and when to look again.
pub fn decide(now: Timestamp, plan: &Plan, facts: &Facts) -> Step {
    let working = facts
        .held
        .filter(|(_, expires, standing)| now < *expires && !matches!(standing, Standing::Refused));
    match facts.trouble {
        Some(Trouble::FreshRefused) => return Step::BackOff(REFUSED_RETRY),
        Some(Trouble::Registry) if working.is_none() => return Step::BackOff(URGENT_RETRY),
        _ => {}
    }
    if facts.candidate.is_some() && facts.trouble != Some(Trouble::Registry) {
        return Step::TryCandidate;
    }
    let mint_failed = facts.trouble == Some(Trouble::Mint);
    let Some((minted, expires, standing)) = working else {
        return match facts.held {
            _ if mint_failed => Step::BackOff(URGENT_RETRY),
            Some((_, expires, Standing::Refused)) if now < expires => Step::Mint(Why::Refused),
            _ => Step::Mint(Why::Missing),
        };
    };
    let refresh = refresh_at(plan, minted, expires);
    let due = now >= refresh && facts.candidate.is_none();
    if due && facts.trouble.is_none() {
        return Step::Mint(Why::Due);
    }
    let check = plan.verify.then(|| check_at(plan, standing)).flatten();
    if plan.verify && facts.trouble != Some(Trouble::Registry) {
        if facts.source_changed {
            return Step::TryHeld(Why::SourceChanged);
        }
        let asked = matches!(standing, Standing::Accepted(_));
        if !asked || check.is_some_and(|at| now >= at) {
            return Step::TryHeld(Why::Due);
        }
    }
    if facts.trouble.is_some() {
        return Step::BackOff(tightened(until(now, expires)));
    }
    let tick = check.filter(|_| plan.check != Check::WhenWoken);
    let rotation = facts.credentials_expire.filter(|at| *at > now);
    let wakes = [Some(refresh), tick, Some(expires), rotation];
    let next = wakes.into_iter().flatten().min().unwrap_or(expires);
    // A second more, so that what is waited for has happened at the look.
    Step::Rest(until(now, next) + Duration::from_secs(1))
}

/// What becomes of a new token after the registry was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is published.
    Publish,
    /// It waits: the published one works, and this one could not be tried.
    Hold,
    /// It is thrown away: the registry refused it.
    Drop,
}

/// Whether a new token is published: never while the registry refuses it, and untried only when
/// the published one is no longer of use, or hardly.
pub fn settle(
    now: Timestamp,
    fresh: Standing,
    held: Option<(Timestamp, Timestamp, Standing)>,
) -> Settled {
    match (fresh, held) {
        (Standing::Accepted(_), _) => Settled::Publish,
        (Standing::Refused, _) => Settled::Drop,
        (_, Some((minted, expires, standing))) if standing != Standing::Refused => {
            let nearly_dead = until(now, expires) < until(minted, expires) / 20;
            if nearly_dead { Settled::Publish } else { Settled::Hold }
        }
        _ => Settled::Publish,
    }
}

/// When the token is to be replaced: a fraction of its life, this host's share of the spread later.
pub fn refresh_at(plan: &Plan, minted: Timestamp, expires: Timestamp) -> Timestamp {
    let life = until(minted, expires);
    later(minted, life.mul_f64((plan.at + plan.spread * plan.place).clamp(0.0, 0.95)))
}

/// When the token arrived and dies: the stated expiry where it can be right; else, and then the
/// second value says so, the documented life from its arrival.
pub fn plausible_expiry(minted: Timestamp, stated: Option<Timestamp>) -> (Timestamp, bool) {
    match stated {
        Some(at) if at > minted && at <= later(minted, LONGEST_LIFE) => (at, true),
        _ => (later(minted, DOCUMENTED_LIFE), false),
    }
}

/// From when on the published token is to be tried again.
fn check_at(plan: &Plan, standing: Standing) -> Option<Timestamp> {
    let Standing::Accepted(tried) = standing else {
        return None;
    };
    match plan.check {
        Check::Every(interval) => {
            let share = 1.0 - plan.spread / 2.0 + plan.spread * plan.place;
            Some(later(tried, interval.mul_f64(share.max(0.0))))
        }
        Check::WhenWoken => Some(later(tried, Duration::from_secs(60))),
    }
}

/// The longest pause between attempts: an eighth of what is left, so that the attempts grow denser
/// as expiry nears, and never a hot loop.
fn tightened(left: Duration) -> Duration {
    (left / 8).clamp(Duration::from_secs(1), SLOWEST_RETRY)
}

fn until(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| from.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
