//! What a test pull means: from what was seen to a reason of the catalogue, its remedy, and for
//! denials the IAM action, the policy and a statement to paste. Pure: the same capsule is judged the
//! same on the host and elsewhere, today and later.

mod refusal;
mod way;

use serde::Serialize;

use self::refusal::Refusal;
pub(super) use self::refusal::reason_of as reason_of_denial;
use super::{
    capsule::{Capsule, Stop},
    denial::PolicyKind,
    statement::{self, Facts, Statement, repository_arn},
};
use crate::{
    model::{
        image::ImageRef,
        outcome::{Problem, Verdict},
        reason::Reason,
    },
    oci::{
        phases::{Hop, Phase},
        trace::{Exchange, Step},
    },
};

/// Further off than this, a clock is a cause and no longer an oddity, in seconds.
const WRONG_CLOCK: u64 = 300;

/// What broke, and what mends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Fine, not fine, or not to be told.
    pub verdict: Verdict,
    /// At which stage of a pull.
    pub stage: Option<Stage>,
    /// At which of its hosts.
    pub hop: Option<Hop>,
    /// The IAM action that was denied.
    pub action: Option<String>,
    /// The kind of policy that denied it.
    pub policy: Option<PolicyKind>,
    /// What would mend it.
    pub statement: Option<Statement>,
    /// What else it could be, when what was seen does not tell.
    pub or_else: Option<&'static str>,
}

/// The stages of a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The AWS credentials and the token.
    Token,
    /// Name resolution.
    Resolve,
    /// The connection.
    Connect,
    /// The HTTP proxy.
    Proxy,
    /// TLS.
    Tls,
    /// The registry's opinion of the credential.
    Auth,
    /// The manifest.
    Manifest,
    /// The platform.
    Platform,
    /// The registry's leave to fetch a blob.
    LayerUrl,
    /// The storage.
    Storage,
    /// Digests and lengths.
    Verify,
    /// What a push asks for beyond a pull.
    Push,
    /// The engine.
    Engine,
}

impl Stage {
    /// The word in output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Manifest => "manifest",
            Self::Platform => "platform",
            Self::LayerUrl => "layer_url",
            Self::Storage => "storage",
            Self::Verify => "verify",
            Self::Push => "push",
            Self::Engine => "engine",
        }
    }
}

impl Diagnosis {
    /// An engine's verdict.
    pub fn of_engine(verdict: Verdict) -> Self {
        let stage = (verdict != Verdict::Ok).then_some(Stage::Engine);
        Self { verdict, stage, ..Self::fine() }
    }

    pub(super) fn fine() -> Self {
        Self {
            verdict: Verdict::Ok,
            stage: None,
            hop: None,
            action: None,
            policy: None,
            statement: None,
            or_else: None,
        }
    }

    /// Not to be told.
    pub(super) fn unknown(problem: Problem) -> Self {
        Self { verdict: Verdict::Unknown(problem), ..Self::fine() }
    }

    pub(super) fn bad(reason: Reason, stage: Stage, detail: impl Into<String>) -> Self {
        let verdict = Verdict::Bad(Problem::new(reason, detail));
        Self { verdict, stage: Some(stage), ..Self::fine() }
    }

    fn or_else(mut self, what: &'static str) -> Self {
        self.or_else = Some(what);
        self
    }

    fn at(mut self, hop: Hop) -> Self {
        self.hop = Some(hop);
        self
    }
}

/// Diagnoses a test pull.
pub fn diagnose(capsule: &Capsule) -> Diagnosis {
    if let Some(diagnosis) = without_token(capsule) {
        return diagnosis;
    }
    let detail = |what: &dyn std::fmt::Display| format!("{}: {what}", capsule.image);
    match &capsule.stop {
        Stop::Complete => Diagnosis::fine(),
        Stop::Exchange(at) => match capsule.exchanges.get(*at) {
            Some(exchange) => of_exchange(capsule, exchange),
            None => Diagnosis::bad(
                Reason::ManifestUnreadable,
                Stage::Manifest,
                "the capsule lacks the request that ended the pull",
            ),
        },
        Stop::Platform { offered, single } => {
            let list: Vec<String> = offered.iter().map(ToString::to_string).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            let warns = if *single {
                "; engines only warn of it, and the container then fails with exec format error"
            } else {
                ""
            };
            Diagnosis::bad(
                Reason::PlatformMissing,
                Stage::Platform,
                detail(&format_args!("wanted {}, there is {list}{warns}", capsule.platform)),
            )
        }
        Stop::Digest { what, expected, got } => Diagnosis::bad(
            Reason::DigestMismatch,
            Stage::Verify,
            detail(&format_args!("{what} should be {expected} and is {got}")),
        ),
        Stop::Length { what, expected, got } => {
            let reason =
                if got < expected { Reason::BodyTruncated } else { Reason::DigestMismatch };
            let said = format_args!("{what} has {got} bytes instead of {expected}");
            Diagnosis::bad(reason, Stage::Verify, detail(&said))
        }
        Stop::Unsupported(what) => {
            Diagnosis::bad(Reason::ImageUnsupported, Stage::Manifest, detail(what))
        }
        Stop::Unreadable(what) => {
            Diagnosis::bad(Reason::ManifestUnreadable, Stage::Manifest, detail(what))
        }
        Stop::Deadline(seconds) => of_deadline(capsule, *seconds),
        Stop::Allowance { bytes } => {
            let said = format_args!(
                "the layers are {bytes} bytes, more than is left; the first byte was fetched"
            );
            Diagnosis::unknown(Problem::new(Reason::ProbeBudgetSpent, detail(&said)))
        }
    }
}

/// There was no token to pull with: what the registry says without one is only a hint.
fn without_token(capsule: &Capsule) -> Option<Diagnosis> {
    let lacking = capsule.no_token.as_ref()?;
    let reason = *Reason::ALL.iter().find(|reason| reason.code() == lacking.code)?;
    let answered = capsule.exchanges.iter().any(|exchange| exchange.answer.is_some());
    if reason == Reason::AwsUnreachable && answered {
        let detail = format!("{}; the registry itself answers", lacking.detail);
        return Some(Diagnosis::bad(Reason::ApiEndpointMissing, Stage::Token, detail));
    }
    let mut diagnosis = Diagnosis::bad(reason, Stage::Token, lacking.detail.clone());
    if reason == Reason::PermissionMissing {
        diagnosis.action = Some("ecr:GetAuthorizationToken".to_owned());
        diagnosis.policy = Some(PolicyKind::Identity);
        diagnosis.statement = Some(statement::minting(capsule.principal.as_deref()));
    }
    let passing = [Reason::Throttled, Reason::AwsUnreachable, Reason::AwsServerError];
    if passing.contains(&reason) {
        // Engines may hold a token of before: whether they can pull was not seen.
        let problem = Problem::new(reason, lacking.detail.clone());
        diagnosis.verdict = Verdict::Unknown(problem);
    }
    Some(diagnosis)
}

/// Time was up: what was under way says where it went.
fn of_deadline(capsule: &Capsule, seconds: u64) -> Diagnosis {
    let unfinished = capsule.exchanges.iter().rev().find(|exchange| {
        matches!(exchange.failure, Some(crate::oci::error::Failure::Unfinished { .. }))
    });
    let (stage, busy) = match unfinished {
        Some(exchange) => (
            stage_of(exchange),
            format!(
                "; the {} from {} was under way, {} bytes of it had come",
                exchange.step.word(),
                exchange.url,
                exchange.received
            ),
        ),
        None => (Stage::Manifest, String::new()),
    };
    let detail = format!("{}: not within {seconds} s{busy}", capsule.image);
    let mut diagnosis = Diagnosis::bad(Reason::ProbeDeadline, stage, detail);
    diagnosis.hop = unfinished.map(|exchange| exchange.hop);
    diagnosis
}

pub(super) fn of_exchange(capsule: &Capsule, exchange: &Exchange) -> Diagnosis {
    let diagnosis = match (&exchange.failure, &exchange.answer) {
        (Some(failure), _) => way::of(exchange, failure),
        (None, Some(answer)) => refusal::of(&Refusal { capsule, exchange, answer }),
        (None, None) => {
            Diagnosis::bad(Reason::ConnectionBroken, stage_of(exchange), exchange.url.clone())
        }
    };
    diagnosis.at(exchange.hop)
}

/// The stage that an exchange is, once it is under way.
fn stage_of(exchange: &Exchange) -> Stage {
    if exchange.hop == Hop::Storage { Stage::Storage } else { stage_of_step(exchange.step) }
}

fn stage_of_step(step: Step) -> Stage {
    match step {
        Step::Greeting | Step::Exchange => Stage::Auth,
        Step::Manifest => Stage::Manifest,
        Step::PlatformManifest => Stage::Platform,
        Step::Config | Step::Layer => Stage::LayerUrl,
        Step::BlobCheck
        | Step::UploadStart
        | Step::UploadPart
        | Step::UploadComplete
        | Step::UploadAbandon
        | Step::ManifestPut
        | Step::ManifestDelete => Stage::Push,
    }
}

/// The stage of a phase that took too long.
fn stage_of_phase(phase: Phase, exchange: &Exchange) -> Stage {
    match phase {
        Phase::Resolve => Stage::Resolve,
        Phase::Connect => Stage::Connect,
        Phase::Tls => Stage::Tls,
        Phase::Processing | Phase::Transfer | Phase::Verify => stage_of(exchange),
    }
}

/// The permission that the registry asks for.
pub(super) fn action_of(step: Step) -> Option<&'static str> {
    match step {
        Step::Greeting | Step::Exchange | Step::UploadAbandon => None,
        Step::Manifest | Step::PlatformManifest => Some("ecr:BatchGetImage"),
        Step::Config | Step::Layer => Some("ecr:GetDownloadUrlForLayer"),
        Step::BlobCheck => Some("ecr:BatchCheckLayerAvailability"),
        Step::UploadStart => Some("ecr:InitiateLayerUpload"),
        Step::UploadPart => Some("ecr:UploadLayerPart"),
        Step::UploadComplete => Some("ecr:CompleteLayerUpload"),
        Step::ManifestPut => Some("ecr:PutImage"),
        Step::ManifestDelete => Some("ecr:BatchDeleteImage"),
    }
}

/// The repository's ARN, by what is known of the registry.
fn repository_of(capsule: &Capsule) -> Option<String> {
    let registry = capsule.registry.as_ref()?;
    let image = ImageRef::parse(&capsule.image).ok()?;
    repository_arn(&registry.account, &registry.region, &image.repository)
}

fn statement_for(
    policy: PolicyKind,
    capsule: &Capsule,
    step: Step,
    principal: Option<&str>,
    resource: Option<&str>,
) -> Option<Statement> {
    let repository = resource.map(str::to_owned).or_else(|| repository_of(capsule));
    statement::allowing(
        policy,
        &Facts {
            principal: principal.or(capsule.principal.as_deref()),
            repository: repository.as_deref(),
            account: repository.as_deref().and_then(statement::account_of),
            pushes: is_push(capsule, step),
        },
    )
}

/// Whether it is a push that was rehearsed: then a grant of a pull alone would not do.
fn is_push(capsule: &Capsule, step: Step) -> bool {
    stage_of_step(step) == Stage::Push
        || capsule.exchanges.iter().any(|exchange| stage_of_step(exchange.step) == Stage::Push)
}

#[cfg(test)]
pub(super) mod tests;
