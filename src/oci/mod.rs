//! The registry's HTTP: thin, one connection by hand for each hop, a typed failure for each await.

mod challenge;
pub mod client;
pub mod connect;
pub mod error;
pub mod fetch;
pub mod manifest;
pub mod origin;
pub mod phases;
mod redaction;
mod session;
pub mod trace;

use std::{future::Future, pin::Pin};

use crate::model::{outcome::Problem, token::AuthorizationToken};

/// What a registry says of a token at `GET /v2/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// 200: it authenticates. It proves nothing about any repository.
    Accepted,
    /// 401, or 400 or 403 in ECR's way: it does not.
    Refused(Problem),
    /// The registry could not be asked, or answered with an error of its own.
    Unknown(Problem),
}

/// Tries tokens against a registry.
pub trait TokenCheck: Send + Sync {
    /// `GET https://HOST/v2/` with `Authorization: Basic TOKEN`.
    fn check<'a>(
        &'a self,
        host: &'a str,
        token: &'a AuthorizationToken,
    ) -> Pin<Box<dyn Future<Output = Acceptance> + Send + 'a>>;
}
