//! Credentials and who they say it is.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_config::{BehaviorVersion, SdkConfig, sts::AssumeRoleProvider};
use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_smithy_types::retry::RetryConfig;
use aws_types::region::Region;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{
    BoxFuture, CredentialsInfo, Identity,
    client::{Aws, timeouts},
    error,
};
use crate::model::{
    identity::{CredentialsSource, IdentitySpec},
    outcome::Problem,
    principal::Principal,
    reason::Reason,
    token::fingerprint,
};

/// Credentials are renewed so long before they expire.
const MARGIN: Duration = Duration::from_secs(300);

/// No source of credentials takes longer (a host without a metadata service must not hang).
const SLOWEST_SOURCE: Duration = Duration::from_secs(20);

/// An identity on the AWS SDK.
pub(super) struct SdkIdentity {
    pub(super) aws: Arc<Aws>,
    spec: IdentitySpec,
    region: String,
    resolved: Mutex<Option<Resolved>>,
}

/// Credentials, and the configuration that clients are made of.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) config: SdkConfig,
    pub(super) credentials: Credentials,
}

impl SdkIdentity {
    pub(super) fn new(aws: Arc<Aws>, spec: IdentitySpec, region: String) -> Self {
        Self { aws, spec, region, resolved: Mutex::default() }
    }

    /// The credentials of now. Those that state no expiry are read afresh each time, since a file
    /// may have been rotated; the SDK's own providers would not notice.
    pub(super) async fn resolve(&self) -> Result<Resolved, Problem> {
        let mut slot = self.resolved.lock().await;
        if let Some(resolved) = slot.as_ref()
            && lives(&resolved.credentials, SystemTime::now())
        {
            return Ok(resolved.clone());
        }
        let fresh = tokio::time::timeout(SLOWEST_SOURCE, self.fresh()).await.map_err(|_| {
            let detail =
                format!("identity {}: no answer in {} s", self.spec.name, SLOWEST_SOURCE.as_secs());
            Problem::new(Reason::CredentialsMissing, detail)
        })?;
        match fresh {
            Ok(fresh) => {
                *slot = Some(fresh.clone());
                Ok(fresh)
            }
            Err(problem) => {
                *slot = None;
                Err(problem)
            }
        }
    }

    /// Tells the observer of a call, and lets go of credentials that AWS no longer takes.
    pub(super) async fn told<T>(
        &self,
        service: &'static str,
        operation: &'static str,
        result: &Result<T, Problem>,
        since: Instant,
    ) {
        self.aws.called(service, operation, result, since);
        if let Err(problem) = result
            && matches!(problem.reason, Reason::CredentialsExpired | Reason::CredentialsInvalid)
        {
            self.forget().await;
        }
    }

    /// Lets go of credentials that AWS no longer takes.
    pub(super) async fn forget(&self) {
        *self.resolved.lock().await = None;
    }

    fn fresh(&self) -> BoxFuture<'_, Result<Resolved, Problem>> {
        Box::pin(async {
            let config = self.config().await?;
            let name = &self.spec.name;
            let credentials = match &self.spec.source {
                CredentialsSource::DefaultChain | CredentialsSource::Profile(_) => {
                    let provider = config.credentials_provider().ok_or_else(|| {
                        Problem::new(Reason::CredentialsMissing, format!("identity {name}"))
                    })?;
                    provider.provide_credentials().await
                }
                CredentialsSource::Role {
                    role_arn,
                    external_id,
                    session_name,
                    source,
                    duration,
                } => {
                    let source = self.aws.sdk_identity(source, &self.region).resolve().await?;
                    let mut builder = AssumeRoleProvider::builder(role_arn)
                        .configure(&config)
                        .region(Region::new(self.region.clone()))
                        .session_name(session_name.clone().unwrap_or_else(|| self.session_name()));
                    if let Some(external_id) = external_id {
                        builder = builder.external_id(external_id);
                    }
                    if let Some(duration) = duration {
                        builder = builder.session_length(*duration);
                    }
                    let since = Instant::now();
                    let provider = builder.build_from_provider(source.credentials).await;
                    let assumed = provider.provide_credentials().await;
                    let told = assumed
                        .as_ref()
                        .map(|_| ())
                        .map_err(|error| error::credentials(name, error, self.aws.skew()));
                    self.aws.called("sts", "AssumeRole", &told, since);
                    assumed
                }
            };
            let credentials =
                credentials.map_err(|error| error::credentials(name, &error, self.aws.skew()))?;
            Ok(Resolved { config, credentials })
        })
    }

    /// The SDK's configuration: environment and shared files as the AWS CLI takes them, then the
    /// settings on top.
    async fn config(&self) -> Result<SdkConfig, Problem> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.aws.http(&self.spec)?)
            .region(Region::new(self.region.clone()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts());
        if let CredentialsSource::Profile(profile) = &self.spec.source {
            loader = loader.profile_name(profile);
        }
        if self.spec.fips {
            loader = loader.use_fips(true);
        }
        if self.spec.dual_stack {
            loader = loader.use_dual_stack(true);
        }
        if let Some(url) = &self.spec.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        Ok(loader.load().await)
    }

    /// `ecr-warden-HOST`, of the characters and length that STS takes.
    fn session_name(&self) -> String {
        let fine =
            |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
        let host = self.aws.host.as_str().chars().map(fine);
        "ecr-warden-".chars().chain(host).take(64).collect()
    }
}

fn lives(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_some_and(|expiry| expiry > now + MARGIN)
}

impl Identity for SdkIdentity {
    fn credentials(&self) -> BoxFuture<'_, Result<CredentialsInfo, Problem>> {
        Box::pin(async {
            let resolved = self.resolve().await?;
            let credentials = &resolved.credentials;
            let both = format!(
                "{}/{}",
                credentials.access_key_id(),
                credentials.session_token().unwrap_or_default()
            );
            Ok(CredentialsInfo {
                fingerprint: fingerprint(&zeroize::Zeroizing::new(both)),
                expires: credentials.expiry().and_then(|expiry| Timestamp::try_from(expiry).ok()),
            })
        })
    }

    fn principal(&self) -> BoxFuture<'_, Result<Principal, Problem>> {
        Box::pin(async {
            let resolved = self.resolve().await?;
            let config = aws_sdk_sts::config::Builder::from(&resolved.config)
                .credentials_provider(resolved.credentials)
                .interceptor(self.aws.date_reader())
                .build();
            let since = Instant::now();
            let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
            let told = answer
                .map_err(|error| error::sdk("sts", "GetCallerIdentity", &error, self.aws.skew()))
                .and_then(|answer| match (answer.account, answer.arn, answer.user_id) {
                    (Some(account), Some(arn), Some(unique_id)) => {
                        Ok(Principal { account, arn, unique_id })
                    }
                    _ => Err(Problem::new(
                        Reason::AwsAnswerUnreadable,
                        "sts GetCallerIdentity: account, ARN or user id is missing",
                    )),
                });
            self.aws.called("sts", "GetCallerIdentity", &told, since);
            told
        })
    }
}
