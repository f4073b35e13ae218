//! Refusals: somebody answered, and status and words say what broke. HEAD and GET, the registry and
//! its storage, JSON, XML and plain text all end here.

use super::{Diagnosis, Stage, WRONG_CLOCK, action_of, stage_of, statement_for};
use crate::{
    model::{image::ImageRef, reason::Reason},
    oci::{
        error::{Said, messages, said},
        phases::Hop,
        trace::{Answer, Exchange, Step},
    },
    probe::{
        capsule::Capsule,
        denial::{Denial, PolicyKind},
        statement,
    },
};

/// A token that is younger than this, in seconds, has not expired by itself.
const YOUNG: i64 = 3600;

/// A refusal with all that is known around it.
pub(super) struct Refusal<'a> {
    pub(super) capsule: &'a Capsule,
    pub(super) exchange: &'a Exchange,
    pub(super) answer: &'a Answer,
}

impl Refusal<'_> {
    fn detail(&self) -> String {
        let words = said(self.answer.said.as_deref().unwrap_or_default().as_bytes());
        let colon = if words.is_empty() { "" } else { ": " };
        let id = match &self.answer.request_id {
            Some(id) => format!(" (request id {id})"),
            None => String::new(),
        };
        let Exchange { method, url, .. } = self.exchange;
        format!("{method} {url} was answered {}{colon}{words}{id}", self.answer.status)
    }

    fn bad(&self, reason: Reason) -> Diagnosis {
        Diagnosis::bad(reason, stage_of(self.exchange), self.detail())
    }

    fn auth(&self, reason: Reason) -> Diagnosis {
        Diagnosis::bad(reason, Stage::Auth, self.detail())
    }

    fn clock_is_wrong(&self) -> bool {
        self.answer.clock_ahead.is_some_and(|ahead| ahead.unsigned_abs() > WRONG_CLOCK)
    }
}

/// What a refusal means.
pub(super) fn of(refusal: &Refusal<'_>) -> Diagnosis {
    let spoken = messages(refusal.answer.said.as_deref().unwrap_or_default());
    let first = spoken.into_iter().next().unwrap_or_default();
    match refusal.exchange.hop {
        Hop::Storage => by_storage(refusal, &first),
        Hop::Registry => by_registry(refusal, &first),
    }
}

fn by_storage(refusal: &Refusal<'_>, said: &Said) -> Diagnosis {
    let lower = said.message.to_lowercase();
    let expired = lower.contains("has expired")
        || ["ExpiredToken", "RequestTimeTooSkewed"].contains(&said.code.as_str());
    match refusal.answer.status {
        403 | 400 if expired && refusal.clock_is_wrong() => clock(refusal),
        403 | 400 if expired => refusal.bad(Reason::StorageUrlExpired),
        403 | 400 if said.code.starts_with("KMS.") => refusal.bad(Reason::KmsKeyUnusable),
        403 => {
            let mut diagnosis = refusal.bad(Reason::StorageDenied);
            let region = refusal.capsule.registry.as_ref().map(|registry| &registry.region);
            diagnosis.action = Some("s3:GetObject".to_owned());
            diagnosis.policy = Some(PolicyKind::Endpoint);
            diagnosis.statement = region.and_then(|region| {
                statement::layers_from_s3(region, refusal.capsule.principal.as_deref())
            });
            diagnosis
        }
        404 => refusal.bad(Reason::LayerMissing),
        429 => refusal.bad(Reason::Throttled),
        503 if said.code == "SlowDown" => refusal.bad(Reason::Throttled),
        _ => refusal.bad(Reason::StorageRejected),
    }
}

fn clock(refusal: &Refusal<'_>) -> Diagnosis {
    let ahead = refusal.answer.clock_ahead.unwrap_or_default();
    let detail = format!("{}; this host's clock is {ahead:+} s off the server's", refusal.detail());
    Diagnosis::bad(Reason::ClockSkew, stage_of(refusal.exchange), detail)
}

fn by_registry(refusal: &Refusal<'_>, said: &Said) -> Diagnosis {
    let lower = said.message.to_lowercase();
    let code = said.code.as_str();
    let has = |words: &str| lower.contains(words);
    // The codes of ECR's API shine through, in one spelling or another.
    let coded = |word: &str| code.contains(word) || said.message.contains(word);
    match refusal.answer.status {
        401 => refusal.auth(Reason::CredentialMissing),
        429 => refusal.bad(Reason::Throttled),
        _ if code == "TOOMANYREQUESTS" => refusal.bad(Reason::Throttled),
        407 => Diagnosis::bad(Reason::ProxyRefused, Stage::Proxy, refusal.detail()),
        _ if coded("BlockedByOrganizationPolicy") => refusal.bad(Reason::OrganizationPolicy),
        _ if coded("KmsError") || coded("KmsException") || has("kms key") => {
            refusal.bad(Reason::KmsKeyUnusable)
        }
        _ if [
            "UpstreamAccessDenied",
            "UpstreamTooManyRequests",
            "UpstreamUnavailable",
            "UnableToGetUpstream",
        ]
        .iter()
        .any(|word| coded(word)) =>
        {
            refusal.bad(Reason::UpstreamFailing)
        }
        400 | 403 if has("authorization token") => token(refusal, has("expired")),
        400 | 403 if has("security token") => refusal.auth(Reason::TokenPrincipalGone),
        403 => denied(refusal, Denial::parse(&said.message).unwrap_or_default()),
        404 => missing(refusal, code, &lower),
        400 if refusal.exchange.step == Step::Manifest => refusal.bad(Reason::ReferenceInvalid),
        400..=499 if code == "TAG_INVALID" => refusal.bad(Reason::TagImmutable),
        400..=499 if stage_of(refusal.exchange) == Stage::Push => {
            refusal.bad(Reason::UploadRejected)
        }
        _ => refusal.bad(Reason::RegistryUnhealthy),
    }
}

/// The registry calls the token expired or invalid. Which it is, our own knowledge of it tells.
fn token(refusal: &Refusal<'_>, expired: bool) -> Diagnosis {
    if refusal.clock_is_wrong() && refusal.capsule.token.is_none() {
        return clock(refusal);
    }
    let Some(token) = &refusal.capsule.token else {
        let reason = if expired { Reason::TokenExpired } else { Reason::TokenRefused };
        return refusal
            .auth(reason)
            .or_else("a token of another region is refused in the same words");
    };
    let registry = refusal.capsule.registry.as_ref();
    if registry.is_some_and(|registry| registry.region != token.region) {
        return refusal.auth(Reason::TokenWrongRegion);
    }
    let age = refusal.capsule.started.as_second() - token.minted.as_second();
    if expired && age >= YOUNG {
        return refusal.auth(Reason::TokenExpired);
    }
    refusal.auth(Reason::TokenRefused)
}

/// The reason in a denial's words; `layer` if the manifest was let through a moment ago.
pub(in crate::probe) fn reason_of(denial: &Denial, layer: bool) -> Reason {
    match (denial.policy, denial.explicit) {
        (Some(PolicyKind::Endpoint), _) => Reason::VpcEndpointPolicy,
        (Some(PolicyKind::ServiceControl | PolicyKind::ResourceControl), false) => {
            Reason::OrganizationPolicy
        }
        (_, true) => Reason::ExplicitDeny,
        // The grant is there, and too small.
        (Some(PolicyKind::Identity | PolicyKind::Resource), _) if layer => Reason::PartialGrant,
        (Some(PolicyKind::Identity), _) => Reason::IdentityPolicy,
        (Some(PolicyKind::Resource), _) => Reason::ResourcePolicyOrRepository,
        (Some(PolicyKind::Boundary | PolicyKind::Session), _) | (None, false) => {
            Reason::AccessDenied
        }
    }
}

fn denied(refusal: &Refusal<'_>, denial: Denial) -> Diagnosis {
    let layer = matches!(refusal.exchange.step, Step::Config | Step::Layer);
    let reason = match reason_of(&denial, layer) {
        Reason::IdentityPolicy | Reason::ResourcePolicyOrRepository if part_of_a_push(refusal) => {
            Reason::PushPartialGrant
        }
        reason => reason,
    };
    let mut diagnosis = refusal.bad(reason);
    diagnosis.action =
        denial.action.or_else(|| action_of(refusal.exchange.step).map(str::to_owned));
    diagnosis.policy = denial.policy;
    if let Some(policy) = denial.policy.filter(|_| !denial.explicit) {
        diagnosis.statement = statement_for(
            policy,
            refusal.capsule,
            refusal.exchange.step,
            denial.principal.as_deref(),
            denial.resource.as_deref(),
        );
    }
    if reason == Reason::ResourcePolicyOrRepository {
        let what = "the repository does not exist: across accounts ECR answers both alike; \
                    `aws ecr describe-repositories` in the primary account tells";
        return diagnosis.or_else(what);
    }
    diagnosis
}

/// Whether another step of the same push was let through: the grant is there, and too small.
fn part_of_a_push(refusal: &Refusal<'_>) -> bool {
    let pushes = [Step::UploadStart, Step::UploadPart, Step::UploadComplete, Step::ManifestPut];
    pushes.contains(&refusal.exchange.step)
        && refusal.capsule.exchanges.iter().any(|other| {
            let answered = other.answer.as_ref().is_some_and(|answer| answer.status < 300);
            answered && pushes.contains(&other.step)
        })
}

fn missing(refusal: &Refusal<'_>, code: &str, lower: &str) -> Diagnosis {
    let archived = lower.contains("archived");
    let cache = "with a pull-through cache: ecr:CreateRepository is missing, or the upstream has no such image";
    match (refusal.exchange.step, code) {
        _ if archived => refusal.bad(Reason::ImageArchived),
        (_, "NAME_UNKNOWN" | "RepositoryNotFoundException") => {
            let whole = ImageRef::parse(&refusal.capsule.image)
                .is_ok_and(|image| image.repository.contains(".dkr."));
            let diagnosis = refusal.bad(Reason::RepositoryMissing);
            if whole {
                diagnosis
                    .or_else("the name is a whole URI: only the part behind the host belongs there")
            } else {
                diagnosis.or_else(cache)
            }
        }
        (Step::PlatformManifest, _) => refusal
            .bad(Reason::IndexChildMissing)
            .or_else("right after a push the child may only be late"),
        (Step::Manifest, _) => refusal
            .bad(Reason::ImageMissing)
            .or_else("it is archived: a pull is answered alike; `aws ecr describe-images` tells"),
        (Step::Config | Step::Layer, _) => refusal.bad(Reason::LayerMissing),
        _ if stage_of(refusal.exchange) == Stage::Push => refusal.bad(Reason::UploadRejected),
        _ => refusal.bad(Reason::RegistryUnhealthy),
    }
}
