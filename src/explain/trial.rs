//! Tries what was found against the registry: each credential once, all at the same time.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::{Credential, Image, Step, Trouble, Way};
use crate::{
    model::{
        outcome::{Problem, Verdict},
        reason::Reason,
        token::AuthorizationToken,
    },
    oci::{Acceptance, TokenCheck},
};

/// How long a token of ECR's lives.
const LIFE: SignedDuration = SignedDuration::from_hours(12);

/// What became of a consumer's way.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Whether it ends in a credential that works; none where one is given by hand.
    pub verdict: Option<Verdict>,
    /// The place that counts: the first that works, else the first that should have.
    pub from: String,
    /// What to do.
    pub remedy: Option<String>,
    /// From when and to when the credential says that it is valid.
    pub valid: Option<(Timestamp, Timestamp)>,
    /// The other places, and what else is worth knowing.
    pub notes: Vec<String>,
}

/// Tries every way.
pub async fn tried(
    ways: &[Way],
    image: &Image,
    check: &dyn TokenCheck,
    now: Timestamp,
) -> Vec<Tried> {
    let mut tokens: BTreeMap<String, &AuthorizationToken> = BTreeMap::new();
    for step in ways.iter().flat_map(|way| &way.steps) {
        if let Credential::Token(token) = &step.credential {
            tokens.insert(token.fingerprint(), token);
        }
    }
    let answers = join_all(tokens.iter().map(async |(fingerprint, token)| {
        (fingerprint.clone(), check.check(&image.host, token).await)
    }));
    let answers: BTreeMap<String, Acceptance> = answers.await.into_iter().collect();
    ways.iter().map(|way| judge(way, &answers, now)).collect()
}

fn validity(step: &Step) -> Option<(Timestamp, Timestamp)> {
    let Credential::Token(token) = &step.credential else {
        return None;
    };
    let until = token.stated_expiry()?;
    Some((until.checked_sub(LIFE).ok()?, until))
}

/// Pure: the answers are in.
fn judge(way: &Way, answers: &BTreeMap<String, Acceptance>, now: Timestamp) -> Tried {
    let mut notes = way.notes.clone();
    if let Some(by_hand) = &way.by_hand {
        return Tried { verdict: None, from: by_hand.clone(), remedy: None, valid: None, notes };
    }
    let mut failed: Vec<(&Step, Verdict, String)> = Vec::new();
    for step in &way.steps {
        let verdict = match &step.credential {
            Credential::Token(token) => match answers.get(&token.fingerprint()) {
                Some(Acceptance::Accepted) => Ok(()),
                Some(Acceptance::Refused(problem)) => Err(refused(step, problem, now)),
                Some(Acceptance::Unknown(problem)) => Err((false, Trouble::new(problem.clone()))),
                None => Err((false, Trouble::new(Problem::new(Reason::CredentialUntried, "")))),
            },
            Credential::Bad(trouble) => Err((true, trouble.clone())),
            Credential::Unknown(trouble) => Err((false, trouble.clone())),
        };
        match verdict {
            Ok(()) => {
                let behind =
                    failed.iter().filter_map(|(step, verdict, _)| Some((step, verdict.problem()?)));
                notes.splice(
                    0..0,
                    behind.map(|(_, problem)| format!("it comes here only after: {problem}")),
                );
                return Tried {
                    verdict: Some(Verdict::Ok),
                    from: step.from.clone(),
                    remedy: None,
                    valid: validity(step),
                    notes,
                };
            }
            Err((bad, trouble)) => {
                let remedy = trouble.remedy().to_owned();
                let verdict = if bad {
                    Verdict::Bad(trouble.problem)
                } else {
                    Verdict::Unknown(trouble.problem)
                };
                failed.push((step, verdict, remedy));
            }
        }
    }
    // One that could not be tried may be the one that works.
    let main = failed
        .iter()
        .position(|(_, verdict, _)| matches!(verdict, Verdict::Unknown(_)))
        .unwrap_or_default();
    if failed.is_empty() {
        let problem = Problem::new(Reason::CredentialAbsent, "");
        let remedy = Some(problem.reason.remedy().to_owned());
        return Tried {
            verdict: Some(Verdict::Bad(problem)),
            from: "nowhere".into(),
            remedy,
            valid: None,
            notes,
        };
    }
    let (step, verdict, remedy) = failed.swap_remove(main);
    let others = failed.iter().filter_map(|(_, verdict, _)| verdict.problem());
    notes.splice(0..0, others.map(|problem| format!("also: {problem}")));
    Tried {
        verdict: Some(verdict),
        from: step.from.clone(),
        remedy: Some(remedy),
        valid: validity(step),
        notes,
    }
}

/// What a refusal means: by the credential's own words it has expired, or the registry just does
/// not take it.
fn refused(step: &Step, problem: &Problem, now: Timestamp) -> (bool, Trouble) {
    let expired = validity(step).map(|(_, until)| until).filter(|until| *until <= now);
    let said = &problem.detail;
    let (reason, said) = match expired {
        Some(until) => {
            (Reason::CredentialExpired, format!("{said}; by its own words it died at {until:.0}"))
        }
        None if said.contains("expired") => (Reason::CredentialExpired, said.clone()),
        None => (Reason::CredentialRefused, said.clone()),
    };
    let Some(special) = &step.refused else {
        return (true, Trouble::new(Problem::new(reason, said)));
    };
    let mut trouble = special.clone();
    if trouble.problem.reason != Reason::ContainerdFailsClosed {
        trouble.problem.reason = reason;
    }
    let detail = &trouble.problem.detail;
    let joint = if detail.is_empty() { "" } else { "; " };
    trouble.problem.detail = format!("{said}{joint}{detail}");
    (true, trouble)
}
