//! When pulls will first fail, as far as it can be foreseen, and by what. Pure.
//!
//! What renews itself and does so is no prediction: a token counts when its refresh has trouble.
//! Certificates count as they were seen; nobody here knows whether their owner renews them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::status::Status;

/// A refresh that is later than this has trouble, whatever is said.
const OVERDUE: SignedDuration = SignedDuration::from_mins(15);

/// The first failure that is foreseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// When; not after now if it fails already.
    pub at: Timestamp,
    /// `probe` (a test pull fails now), `token` (it can't be replaced), `credentials` (those behind
    /// the token have expired) or `certificate` (one that was seen expires).
    pub cause: String,
    /// Which: a probe, an identity and its region, or a probe and the hop that showed the
    /// certificate.
    pub subject: String,
}

/// What is foreseen; `None` when nothing is.
pub fn predict(status: &Status, now: Timestamp) -> Option<Prediction> {
    let one = |at, cause: &str, subject: String| Prediction { at, cause: cause.into(), subject };
    let failing = status
        .probes
        .iter()
        .filter(|probe| probe.verdict.as_deref() == Some("bad"))
        .map(|probe| one(probe.failing_since.unwrap_or(now), "probe", probe.name.clone()));
    let tokens = status.tokens.iter().filter_map(|token| {
        let subject = format!("{}:{}", token.identity, token.region);
        let expires = token.expires?;
        let overdue = token.next_refresh.is_some_and(|next| now.duration_since(next) > OVERDUE);
        let gone =
            token.credentials_expire.is_some_and(|expired| now.duration_since(expired) > OVERDUE);
        if gone {
            Some(one(expires, "credentials", subject))
        } else if overdue || token.reason.is_some() {
            Some(one(expires, "token", subject))
        } else {
            None
        }
    });
    let certificates = status.probes.iter().flat_map(|probe| {
        probe
            .certificates
            .iter()
            .map(|(hop, until)| one(*until, "certificate", format!("{} {hop}", probe.name)))
    });
    failing.chain(tokens).chain(certificates).min_by_key(|prediction| prediction.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::status::{Probe, Reason, Token};

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn what_renews_itself_is_no_prediction_and_the_first_failure_is_named() {
        let mut status = Status {
            tokens: vec![Token {
                identity: "default".into(),
                region: "eu-west-1".into(),
                expires: Some(at(12)),
                next_refresh: Some(at(6)),
                credentials_expire: Some(at(1)),
                ..Token::default()
            }],
            ..Status::default()
        };
        let told = |status: &Status, now| predict(status, now).map(|found| (found.cause, found.at));
        assert_eq!(told(&status, at(0)), None);
        assert_eq!(told(&status, at(2)), Some(("credentials".into(), at(12))));
        status.tokens[0].credentials_expire = None;
        assert_eq!(told(&status, at(7)), Some(("token".into(), at(12))), "the refresh is late");
        status.tokens[0].reason = Some(Reason {
            code: "throttled".into(),
            text: String::new(),
            remedy: String::new(),
            detail: String::new(),
        });
        assert_eq!(told(&status, at(0)), Some(("token".into(), at(12))));
        status.probes.push(Probe {
            name: "web".into(),
            certificates: [("storage".to_owned(), at(10))].into(),
            ..Probe::default()
        });
        assert_eq!(predict(&status, at(0)).unwrap().subject, "web storage");
        status.probes[0].verdict = Some("bad".into());
        status.probes[0].failing_since = Some(at(-1));
        assert_eq!(told(&status, at(0)), Some(("probe".into(), at(-1))));
    }
}
