//! The account's event history, in windows of time, a page at a time and far below what AWS allows.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Body, BoxFuture, Fetched, Parcel, Source, slot};
use crate::{
    aws::{EventHistory, HistoryFilter, HistoryQuery, Identity},
    model::{outcome::Problem, reason::Reason},
};

/// The history shows an event up to so much later.
const DELAY: SignedDuration = SignedDuration::from_mins(15);

/// A window begins so long before the last one's end: for what came even later.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// A window is at most so long.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// The history reaches so far back.
const REACH: SignedDuration = SignedDuration::from_hours(90 * 24);

/// From one page to the next: a tenth of what AWS allows to the whole account.
const PACE: SignedDuration = SignedDuration::from_secs(5);

/// The longest pause after AWS has throttled.
const SLOWEST: SignedDuration = SignedDuration::from_secs(80);

/// When it may ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// Whenever the job looks: one auditor for the account and region.
    Alone,
    /// In its slot: one of many hosts, each with its own events.
    Slot {
        /// The host's place in the fleet, in `[0, 1)`.
        place: f64,
        /// How long it takes until it asks again.
        period: Duration,
    },
}

/// The history.
pub struct Lookup {
    history: Arc<dyn EventHistory>,
    /// Asked for the name of its session where only its own events are wanted.
    own: Option<Arc<dyn Identity>>,
    session: Option<String>,
    name: String,
    turn: Turn,
    /// How far back the first window begins.
    back: SignedDuration,
    /// The window that is being read, and its next page.
    window: Option<(HistoryQuery, Option<String>)>,
    page: u32,
    /// Whether the window reaches up to now.
    last: bool,
    /// The last one did, so there is nothing to do before the next turn.
    caught_up: bool,
    covered: Option<Timestamp>,
    gap: Option<(Timestamp, Timestamp)>,
    /// No call before this.
    not_before: Option<Timestamp>,
    pace: SignedDuration,
}

impl Lookup {
    /// Of the identity's account in `region`; with `own` only what that identity's session did.
    pub fn new(
        history: Arc<dyn EventHistory>,
        own: Option<Arc<dyn Identity>>,
        region: &str,
        turn: Turn,
        back: Duration,
    ) -> Self {
        let whose = if own.is_some() { "own" } else { "all" };
        Self {
            history,
            own,
            session: None,
            name: format!("lookup-events:{region}:{whose}"),
            turn,
            back: SignedDuration::try_from(back).unwrap_or(REACH),
            window: None,
            page: 0,
            last: false,
            caught_up: false,
            covered: None,
            gap: None,
            not_before: None,
            pace: PACE,
        }
    }

    /// The window that is to be read now; `None` when it is too early for one.
    fn next_window(&mut self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let end = minus(now, DELAY);
        let reach = minus(now, REACH);
        let mut from = match self.covered {
            Some(covered) => minus(covered, OVERLAP),
            None => minus(now, self.back + DELAY),
        };
        if from < reach {
            if self.covered.is_some_and(|covered| covered < reach) {
                self.gap = Some((from, reach));
            }
            from = reach;
        }
        // A host's own events are few, and each window costs a call.
        let long = if matches!(self.turn, Turn::Alone) { WINDOW } else { REACH };
        let until = end.min(plus(from, long));
        // Nothing that would be new.
        let news = self.covered.is_none_or(|covered| until > covered);
        (news && until > from).then_some((from, until))
    }

    async fn filter(&mut self) -> Result<HistoryFilter, Problem> {
        let Some(identity) = &self.own else {
            return Ok(HistoryFilter::Source("ecr.amazonaws.com".to_owned()));
        };
        if self.session.is_none() {
            let principal = identity.principal().await?;
            // A role's events have the session's name as their user, a user's its own.
            let name = principal.arn.rsplit('/').next().unwrap_or_default().to_owned();
            self.session = Some(name);
        }
        Ok(HistoryFilter::Username(self.session.clone().unwrap_or_default()))
    }

    async fn ask(&mut self, now: Timestamp) -> Result<Fetched, Problem> {
        if let Some(wait) = self.not_before.filter(|not_before| *not_before > now) {
            return Ok(pause(now, wait));
        }
        if self.window.is_none() {
            let early = matches!(self.turn, Turn::Slot { .. }) && self.not_before.is_none();
            if std::mem::take(&mut self.caught_up) || early {
                return Ok(self.rest(now, early));
            }
            let Some((from, until)) = self.next_window(now) else {
                return Ok(self.rest(now, false));
            };
            if let Some((from, until)) = self.gap.take() {
                let detail = format!("{from} to {until}: the event history reaches back 90 days");
                self.covered = Some(until);
                return Ok(Fetched::Trouble {
                    name: self.name.clone(),
                    problem: Problem::new(Reason::AuditGap, detail),
                    receipt: String::new(),
                });
            }
            let filter = self.filter().await?;
            self.last = until >= minus(now, DELAY);
            self.window = Some((HistoryQuery { from, until, filter }, None));
            self.page = 0;
        }
        let Some((query, next)) = &self.window else {
            return Ok(Fetched::Nothing { pause: None });
        };
        let answer = self.history.page(query, next.as_deref()).await;
        let page = answer.inspect_err(|problem| {
            if problem.reason == Reason::Throttled {
                self.pace = (self.pace * 2).min(SLOWEST);
            }
            self.not_before = Some(plus(now, self.pace));
        })?;
        self.not_before = Some(plus(now, self.pace));
        self.page += 1;
        let name = format!("{} to {}, page {}", query.from, query.until, self.page);
        let body = Body::Bytes(page.records.join("\n").into_bytes());
        // The page counts as read when it is given back; then comes the next one.
        let receipt = page.next.unwrap_or_default();
        Ok(Fetched::Parcel(Parcel { name, body, receipt }))
    }

    /// Until its next turn. `first`: this moment's turn counts too.
    fn rest(&mut self, now: Timestamp, first: bool) -> Fetched {
        let Turn::Slot { place, period } = self.turn else {
            return Fetched::Nothing { pause: None };
        };
        let from = if first { now } else { plus(now, SignedDuration::from_secs(1)) };
        let slot = slot::next(from, place, period);
        self.not_before = Some(slot);
        pause(now, slot)
    }
}

impl Source for Lookup {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fetch(&mut self, now: Timestamp) -> BoxFuture<'_, Result<Fetched, Problem>> {
        Box::pin(self.ask(now))
    }

    fn done<'a>(
        &'a mut self,
        receipt: &'a str,
        _: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        match &mut self.window {
            Some((_, next)) if !receipt.is_empty() => *next = Some(receipt.to_owned()),
            Some((query, _)) => {
                self.covered = self.covered.max(Some(query.until));
                self.window = None;
                self.pace = PACE;
                self.caught_up = self.last;
            }
            None => {}
        }
        Box::pin(async { Ok(()) })
    }

    fn covered(&self) -> Option<Timestamp> {
        self.covered
    }

    fn place(&self) -> Value {
        json!({ "covered": self.covered })
    }

    fn go_to(&mut self, place: &Value) {
        self.covered = place["covered"].as_str().and_then(|covered| covered.parse().ok());
    }
}

fn pause(now: Timestamp, until: Timestamp) -> Fetched {
    let pause = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Fetched::Nothing { pause: Some(pause) }
}

fn minus(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn plus(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
