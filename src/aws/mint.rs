//! GetAuthorizationToken, of ECR and of ECR Public.

use std::{sync::Arc, time::Instant};

use aws_smithy_types::DateTime;
use aws_types::region::Region;
use jiff::Timestamp;
use secrecy::SecretString;

use super::{BoxFuture, MintedToken, TokenMint, error, identity::SdkIdentity};
use crate::model::{outcome::Problem, reason::Reason, token::AuthorizationToken};

/// Mints tokens with the AWS SDK.
pub(super) struct SdkMint {
    identity: Arc<SdkIdentity>,
    region: String,
    public: bool,
}

impl SdkMint {
    pub(super) fn new(identity: Arc<SdkIdentity>, region: &str, public: bool) -> Self {
        Self { identity, region: region.to_owned(), public }
    }

    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>
    async fn private(&self) -> Result<MintedToken, Problem> {
        let resolved = self.identity.resolve().await?;
        let config = aws_sdk_ecr::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .interceptor(self.identity.aws.date_reader())
            .build();
        let answer = aws_sdk_ecr::Client::from_conf(config).get_authorization_token().send().await;
        let answer = answer.map_err(|error| {
            error::sdk("ecr", "GetAuthorizationToken", &error, self.identity.aws.skew())
        })?;
        let data = answer.authorization_data.into_iter().flatten().next();
        let data = data.ok_or_else(|| unreadable("ecr", "there is no authorizationData"))?;
        minted("ecr", data.authorization_token, data.expires_at)
    }

    /// <https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html>
    async fn of_public(&self) -> Result<MintedToken, Problem> {
        let resolved = self.identity.resolve().await?;
        let config = aws_sdk_ecrpublic::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .interceptor(self.identity.aws.date_reader())
            .build();
        let client = aws_sdk_ecrpublic::Client::from_conf(config);
        let answer = client.get_authorization_token().send().await.map_err(|error| {
            error::sdk("ecr-public", "GetAuthorizationToken", &error, self.identity.aws.skew())
        })?;
        let data = answer.authorization_data;
        let data = data.ok_or_else(|| unreadable("ecr-public", "there is no authorizationData"))?;
        minted("ecr-public", data.authorization_token, data.expires_at)
    }
}

impl TokenMint for SdkMint {
    fn mint(&self) -> BoxFuture<'_, Result<MintedToken, Problem>> {
        Box::pin(async {
            let since = Instant::now();
            let (service, result) = if self.public {
                ("ecr-public", self.of_public().await)
            } else {
                ("ecr", self.private().await)
            };
            self.identity.aws.called(service, "GetAuthorizationToken", &result, since);
            if let Err(problem) = &result
                && matches!(problem.reason, Reason::CredentialsExpired | Reason::CredentialsInvalid)
            {
                self.identity.forget().await;
            }
            result
        })
    }
}

fn minted(
    service: &str,
    token: Option<String>,
    expires: Option<DateTime>,
) -> Result<MintedToken, Problem> {
    let token = token.ok_or_else(|| unreadable(service, "there is no authorizationToken"))?;
    let secret = AuthorizationToken::new(SecretString::from(token))
        .map_err(|error| unreadable(service, &format!("authorizationToken: {error}")))?;
    let expires_at =
        expires.and_then(|expires| Timestamp::from_millisecond(expires.to_millis().ok()?).ok());
    Ok(MintedToken { secret, expires_at })
}

fn unreadable(service: &str, why: &str) -> Problem {
    Problem::new(Reason::AwsAnswerUnreadable, format!("{service} GetAuthorizationToken: {why}"))
}
