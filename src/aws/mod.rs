//! AWS, behind small traits. The only room that imports the AWS SDK.

pub mod client;
mod error;
mod identity;
mod mint;

use std::{future::Future, pin::Pin, time::Duration};

use jiff::Timestamp;

use crate::model::{outcome::Problem, principal::Principal, token::AuthorizationToken};

/// A boxed future, so that the traits can be objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is known of the credentials behind an identity, without the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsInfo {
    /// Changes when the credentials do: a fingerprint of the access key id and session token.
    pub fingerprint: String,
    /// When they expire, if they say so.
    pub expires: Option<Timestamp>,
}

/// The answer of GetAuthorizationToken.
#[derive(Clone, Debug)]
pub struct MintedToken {
    /// The credential.
    pub secret: AuthorizationToken,
    /// `expiresAt` as AWS states it; whether it can be right is the keeper's question.
    pub expires_at: Option<Timestamp>,
}

/// One configured identity: where credentials come from, and who they say it is.
pub trait Identity: Send + Sync {
    /// Resolves the credentials (from a cache while they live long enough).
    fn credentials(&self) -> BoxFuture<'_, Result<CredentialsInfo, Problem>>;

    /// STS GetCallerIdentity.
    fn principal(&self) -> BoxFuture<'_, Result<Principal, Problem>>;
}

/// Mints authorization tokens of one identity in one region.
pub trait TokenMint: Send + Sync {
    /// GetAuthorizationToken of ECR or of ECR Public.
    fn mint(&self) -> BoxFuture<'_, Result<MintedToken, Problem>>;
}

/// Who is told of every call to AWS.
pub trait CallObserver: Send + Sync {
    /// A call has ended; `result` is `ok` or the code of a reason.
    fn call(
        &self,
        service: &'static str,
        operation: &'static str,
        result: &'static str,
        took: Duration,
    );

    /// How far this host's clock is ahead of AWS's, in seconds, by the answer's Date header.
    fn clock_skew(&self, seconds: f64);
}
