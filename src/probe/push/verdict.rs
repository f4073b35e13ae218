//! What a rehearsal means: a verdict for each action that a push asks for, and one for the whole.
//! Pure: from the exchanges alone, so that it is the same from a file on another host.

use serde::{Deserialize, Serialize};

use super::Rung;
use crate::{
    model::{
        outcome::{Problem, Verdict},
        reason::Reason,
    },
    oci::{
        error::{Broken, Failure, messages},
        phases::Hop,
        trace::{Exchange, Step},
    },
    probe::{
        capsule::{Capsule, Stop, VERSION},
        denial::{Denial, PolicyKind},
        diagnosis::{self, Diagnosis, Stage},
        statement::{PUSH_ACTIONS, Statement},
    },
};

/// All that a rehearsal saw: a capsule of the image and the requests, with how far it was to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// How far it was to go.
    pub push: Rung,
    /// An image of our own that could not be deleted again: its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// What was seen.
    pub seen: Capsule,
}

impl Rehearsal {
    /// Reads what `probe --push --trace` wrote; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        (read.seen.version == VERSION).then_some(read)
    }
}

/// What is known of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The registry did it.
    Allowed,
    /// The registry refused it to whoever asked.
    Denied,
    /// It was not asked for: the rehearsal did not go so far, or could not.
    NotReached,
    /// It was asked for, and the answer does not tell.
    Unknown,
}

impl State {
    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NotReached => "not reached",
            Self::Unknown => "unknown",
        }
    }
}

/// An action and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// `ecr:PutImage`.
    pub action: &'static str,
    /// What is known.
    pub state: State,
    /// Which kind of policy denies it, where the registry says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyKind>,
    /// Why it is denied or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Problem>,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
}

/// A rehearsal's outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The whole, by what went wrong first.
    pub diagnosis: Diagnosis,
    /// Each of the seven actions, in the order in which a push asks for them.
    pub standings: Vec<Standing>,
}

/// Judges a rehearsal.
pub fn judge(rehearsal: &Rehearsal) -> Judged {
    let standings: Vec<Standing> =
        PUSH_ACTIONS.iter().map(|action| standing(action, rehearsal)).collect();
    Judged { diagnosis: whole(rehearsal, &standings), standings }
}

fn whole(rehearsal: &Rehearsal, standings: &[Standing]) -> Diagnosis {
    let image = &rehearsal.seen.image;
    if rehearsal.seen.stop != Stop::Complete || rehearsal.seen.no_token.is_some() {
        return diagnosis::diagnose(&rehearsal.seen);
    }
    if let Some(digest) = &rehearsal.left {
        let detail = format!("{image}: the image {digest} is still in its repository");
        return Diagnosis::bad(Reason::PushLeftBehind, Stage::Push, detail);
    }
    let unsettled = |problem: Problem| {
        let mut diagnosis = Diagnosis::bad(problem.reason, Stage::Push, "");
        diagnosis.verdict = Verdict::Unknown(problem);
        diagnosis
    };
    let wanted = standings.iter().filter(|one| rung_of(one.action) <= Some(rehearsal.push));
    for one in wanted {
        match (one.state, &one.reason) {
            (State::Unknown, Some(problem)) => return unsettled(problem.clone()),
            (State::NotReached, _) => {
                let detail = format!("{image}: {} was not reached", one.action);
                return unsettled(Problem::new(Reason::PushUnrehearsed, detail));
            }
            _ => {}
        }
    }
    Diagnosis::fine()
}

/// The rung that asks for an action; `None` for those that are asked for before all rungs.
fn rung_of(action: &str) -> Option<Rung> {
    match action {
        "ecr:InitiateLayerUpload" => Some(Rung::Start),
        "ecr:UploadLayerPart" => Some(Rung::Part),
        "ecr:CompleteLayerUpload" => Some(Rung::Complete),
        "ecr:PutImage" => Some(Rung::Manifest),
        _ => None,
    }
}

/// What one answer says about the action that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Allowed,
    Denied(Denial),
    Failed,
    /// The manifest was refused for what it lacks.
    Unproven,
    Nothing,
}

fn heard(exchange: &Exchange, rung: Rung) -> Heard {
    if exchange.hop == Hop::Storage {
        return Heard::Nothing;
    }
    let Some(answer) = exchange.answer.as_ref().filter(|_| exchange.failure.is_none()) else {
        return Heard::Failed;
    };
    let head = exchange.method == "HEAD";
    let repeated = exchange.step == Step::BlobCheck && !head;
    match answer.status {
        // A blob that may be fetched is another action's.
        200..=399 if repeated => Heard::Nothing,
        200..=399 => Heard::Allowed,
        403 if concerns_token(exchange) => Heard::Failed,
        403 => match denial(exchange) {
            None if repeated => Heard::Nothing,
            denial => Heard::Denied(denial.unwrap_or_default()),
        },
        404 if says(exchange, "NAME_UNKNOWN") || repeated => Heard::Nothing,
        404 if head || says(exchange, "MANIFEST_UNKNOWN") => Heard::Allowed,
        _ if is_there_already(exchange) => Heard::Allowed,
        400..=499
            if exchange.step == Step::ManifestPut
                && rung == Rung::Manifest
                && ![401, 429].contains(&answer.status) =>
        {
            Heard::Unproven
        }
        _ => Heard::Failed,
    }
}

fn words(exchange: &Exchange) -> &str {
    exchange.answer.as_ref().and_then(|answer| answer.said.as_deref()).unwrap_or_default()
}

fn says(exchange: &Exchange, word: &str) -> bool {
    let all = messages(words(exchange));
    all.iter().any(|said| said.code.contains(word) || said.message.contains(word))
}

fn denial(exchange: &Exchange) -> Option<Denial> {
    messages(words(exchange)).iter().find_map(|said| Denial::parse(&said.message))
}

fn concerns_token(exchange: &Exchange) -> bool {
    let words = words(exchange).to_lowercase();
    words.contains("authorization token") || words.contains("security token")
}

/// Whether this would be the answer to everything that is asked: the credential is not taken, or
/// there is no such repository.
pub(super) fn ends_all(exchange: &Exchange) -> bool {
    let status = exchange.answer.as_ref().map_or(0, |answer| answer.status);
    exchange.hop == Hop::Registry
        && (status == 401
            || status == 403 && concerns_token(exchange)
            || status == 404 && says(exchange, "NAME_UNKNOWN"))
}

/// Whether the other side hung up.
pub(super) fn hung_up(exchange: &Exchange) -> bool {
    matches!(&exchange.failure, Some(Failure::Exchange { why: Broken::HungUp | Broken::Reset, .. }))
}

/// Whether an upload was refused only because its bytes are there already.
pub(super) fn is_there_already(exchange: &Exchange) -> bool {
    let codes = ["LayerAlreadyExists", "LAYER_ALREADY_EXISTS"];
    exchange.step == Step::UploadComplete && codes.iter().any(|code| says(exchange, code))
}

/// The first exchange that is not as it should be.
pub(super) fn first_trouble(exchanges: &[Exchange], rung: Rung) -> Option<usize> {
    let trouble = |exchange: &Exchange| {
        let refused = exchange.answer.as_ref().is_some_and(|answer| answer.status >= 400);
        match exchange.step {
            // Whether something is left is known otherwise.
            Step::UploadAbandon | Step::ManifestDelete => false,
            _ if exchange.hop == Hop::Storage => refused || exchange.failure.is_some(),
            _ if ends_all(exchange) => true,
            _ => matches!(heard(exchange, rung), Heard::Denied(_) | Heard::Failed),
        }
    };
    let at = exchanges.iter().position(trouble)?;
    // A HEAD is refused without words; the same as a GET may have some.
    let next = exchanges.get(at + 1).filter(|next| {
        let this = exchanges.get(at).is_some_and(|this| this.method == "HEAD");
        this && next.step == Step::BlobCheck && trouble(next)
    });
    Some(if next.is_some() { at + 1 } else { at })
}

fn standing(action: &'static str, rehearsal: &Rehearsal) -> Standing {
    let mut found =
        Standing { action, state: State::NotReached, policy: None, reason: None, statement: None };
    for exchange in &rehearsal.seen.exchanges {
        let said = heard(exchange, rehearsal.push);
        let named = match &said {
            Heard::Denied(denial) => denial.action.as_deref(),
            _ => None,
        };
        // A denial may name another action than the one that was asked for.
        let named = named.filter(|named| PUSH_ACTIONS.contains(named));
        if named.or(diagnosis::action_of(exchange.step)) != Some(action) {
            continue;
        }
        let better = match said {
            Heard::Nothing => continue,
            Heard::Allowed => State::Allowed,
            Heard::Denied(_) => State::Denied,
            Heard::Failed | Heard::Unproven => State::Unknown,
        };
        let weight = |state: State| match state {
            State::NotReached => 0,
            State::Unknown => 1,
            State::Allowed => 2,
            State::Denied => 3,
        };
        // Of two denials the one with more words counts.
        let more = better == found.state && found.policy.is_none();
        if weight(better) < weight(found.state) || better == found.state && !more {
            continue;
        }
        found.state = better;
        (found.policy, found.reason, found.statement) = (None, None, None);
        if better == State::Allowed {
            continue;
        }
        if said == Heard::Unproven {
            let detail = format!(
                "{}: {}",
                rehearsal.seen.image,
                crate::oci::error::said(words(exchange).as_bytes())
            );
            found.reason = Some(Problem::new(Reason::PutImageUnproven, detail));
            continue;
        }
        let judged = diagnosis::of_exchange(&rehearsal.seen, exchange);
        found.policy = judged.policy;
        found.reason = judged.verdict.problem().cloned();
        found.statement = judged.statement;
    }
    found
}

#[cfg(test)]
mod tests;
