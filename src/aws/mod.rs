//! AWS, behind small traits. The only room that imports the AWS SDK.

mod bucket;
pub mod client;
mod error;
mod identity;
mod mint;
mod policies;
mod queue;
mod trail;

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

/// What is asked of the event history: one attribute, since the API takes no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryFilter {
    /// Events of a service.
    Source(String),
    /// Events of a user, or of a role session by its name.
    Username(String),
    /// Events of an API's name.
    Name(String),
}

/// A window of the event history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Which events.
    pub filter: HistoryFilter,
}

/// A page of the event history, the newest event first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The records, as JSON.
    pub records: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// LookupEvents. AWS allows two calls a second, to all of an account's callers in a region together.
pub trait EventHistory: Send + Sync {
    /// One page: one call.
    fn page<'a>(
        &'a self,
        query: &'a HistoryQuery,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HistoryPage, Problem>>;
}

/// A page of a bucket's keys, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Objects of S3, read only.
pub trait Bucket: Send + Sync {
    /// ListObjectsV2: one page.
    fn list<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Listing, Problem>>;

    /// GetObject. `audit_unreadable`: it is not there, or far too large.
    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Problem>>;
}

/// A message of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is deleted by.
    pub receipt: String,
    /// Its text.
    pub body: String,
}

/// A queue of SQS.
pub trait Queue: Send + Sync {
    /// ReceiveMessage: at most ten, which nobody else gets for a minute.
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, Problem>>;

    /// DeleteMessage.
    fn delete<'a>(&'a self, receipt: &'a str) -> BoxFuture<'a, Result<(), Problem>>;
}

/// Names, and what asks for the next of them.
pub type Page = (Vec<String>, Option<String>);

/// Reads what decides who may do what in one registry. `None` is "there is none".
pub trait PolicyReader: Send + Sync {
    /// GetRepositoryPolicy, with the registry's id: across accounts by the policy's own leave.
    fn repository_policy<'a>(
        &'a self,
        repository: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Problem>>;

    /// DescribeRepositories, with the registry's id: the names of a page, and what asks for the
    /// next one.
    fn repositories(&self, next: Option<String>) -> BoxFuture<'_, Result<Page, Problem>>;

    /// GetRegistryPolicy, which speaks of the registry of the identity's own account.
    fn registry_policy(&self) -> BoxFuture<'_, Result<Option<String>, Problem>>;

    /// GetAccountSetting of REGISTRY_POLICY_SCOPE, of the identity's own account: `V1` or `V2`.
    fn registry_scope(&self) -> BoxFuture<'_, Result<Option<String>, Problem>>;
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
