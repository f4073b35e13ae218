//! One test pull with all that is known around it, as a capsule.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    capsule::{self, Capsule, NoToken, RegistryFacts, TokenFacts},
    engine::Wanted,
    pull::{self, Plan},
};
use crate::{
    model::{
        outcome::Problem,
        token::{AuthorizationToken, Token},
    },
    oci::{client::Client, trace::Record},
};

/// Who pulls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The registry's account and region, where they are known.
    pub registry: Option<RegistryFacts>,
    /// The ARN that STS gives, where it is known.
    pub principal: Option<String>,
    /// With what.
    pub credential: Credential,
}

/// What a pull is made with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token.
    Token {
        /// The token.
        token: Token,
        /// Where it was minted.
        region: String,
    },
    /// There should be one, and there is none.
    Lacking(Problem),
    /// The registry is none of ECR's that is configured: as anybody.
    Anonymous,
}

impl Caller {
    /// What is sent, and what may be told of it; or why there is nothing to send.
    pub fn shown(&self) -> (Option<&AuthorizationToken>, Option<TokenFacts>, Option<NoToken>) {
        match &self.credential {
            Credential::Token { token, region } => {
                let facts = TokenFacts { minted: token.minted, region: region.clone() };
                (Some(&token.secret), Some(facts), None)
            }
            Credential::Lacking(problem) => {
                let code = problem.reason.code().to_owned();
                (None, None, Some(NoToken { code, detail: problem.detail.clone() }))
            }
            Credential::Anonymous => (None, None, None),
        }
    }
}

/// Pulls as `plan` says, and tells all of it. The requests are in `record` while it runs. `started`
/// is the wall clock's now.
pub async fn attempt(
    client: &Arc<Client>,
    caller: &Caller,
    plan: &Plan,
    record: &Arc<Record>,
    started: Timestamp,
) -> Capsule {
    attempt_and_find(client, caller, plan, record, started).await.0
}

/// The same with the image that was found, which engines are compared with.
pub async fn attempt_and_find(
    client: &Arc<Client>,
    caller: &Caller,
    plan: &Plan,
    record: &Arc<Record>,
    started: Timestamp,
) -> (Capsule, Option<Wanted>) {
    let (secret, token, no_token) = caller.shown();
    let pulled = pull::pull(client, secret, plan, record).await;
    let capsule = Capsule {
        version: capsule::VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        image: plan.image.to_string(),
        depth: plan.depth,
        reached: pulled.reached,
        platform: plan.platform.clone(),
        started,
        took: record.elapsed(),
        registry: caller.registry.clone(),
        principal: caller.principal.clone(),
        token,
        no_token,
        stop: pulled.stop,
        bytes: record.received(),
        layers: pulled.layers,
        exchanges: record.exchanges(),
    };
    (capsule, pulled.found)
}
