//! The policies of a registry, read.

use std::{error::Error, sync::Arc, time::Instant};

use aws_sdk_ecr::Client;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::region::Region;

use super::{BoxFuture, Page, PolicyReader, error, identity::SdkIdentity};
use crate::model::{outcome::Problem, reason::Reason};

/// Repositories asked for in one page: the most that the API gives.
const PAGE: i32 = 1000;

/// A reader on the AWS SDK.
pub(super) struct SdkPolicies {
    identity: Arc<SdkIdentity>,
    region: String,
    account: String,
}

impl SdkPolicies {
    pub(super) fn new(identity: Arc<SdkIdentity>, region: &str, account: &str) -> Self {
        Self { identity, region: region.to_owned(), account: account.to_owned() }
    }

    async fn client(&self) -> Result<Client, Problem> {
        let resolved = self.identity.resolve().await?;
        let config = aws_sdk_ecr::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .interceptor(self.identity.aws.date_reader())
            .build();
        Ok(Client::from_conf(config))
    }

    /// What a call's answer comes to; `none` is the code that says that there is nothing.
    fn settle<T, E>(
        &self,
        operation: &'static str,
        none: &str,
        answer: Result<T, SdkError<E, HttpResponse>>,
        since: Instant,
    ) -> Result<Option<T>, Problem>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let settled = match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(SdkError::ServiceError(said)) if said.err().code() == Some(none) => Ok(None),
            Err(said) => {
                let missing = said.code() == Some("RepositoryNotFoundException");
                let problem = error::sdk("ecr", operation, &said, self.identity.aws.skew());
                let reason = match problem.reason {
                    Reason::PermissionMissing => Reason::PolicyUnreadable,
                    Reason::AwsRejected if missing => Reason::RepositoryGone,
                    other => other,
                };
                Err(Problem::new(reason, problem.detail))
            }
        };
        self.identity.aws.called("ecr", operation, &settled, since);
        settled
    }
}

impl PolicyReader for SdkPolicies {
    fn repository_policy<'a>(
        &'a self,
        repository: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Problem>> {
        Box::pin(async move {
            let (client, since) = (self.client().await?, Instant::now());
            let call = client.get_repository_policy().registry_id(&self.account);
            let answer = call.repository_name(repository).send().await;
            let none = "RepositoryPolicyNotFoundException";
            let settled = self.settle("GetRepositoryPolicy", none, answer, since)?;
            Ok(settled.and_then(|answer| answer.policy_text))
        })
    }

    fn repositories(&self, next: Option<String>) -> BoxFuture<'_, Result<Page, Problem>> {
        Box::pin(async move {
            let (client, since) = (self.client().await?, Instant::now());
            let call = client.describe_repositories().registry_id(&self.account);
            let answer = call.max_results(PAGE).set_next_token(next).send().await;
            let settled = self.settle("DescribeRepositories", "", answer, since)?;
            let Some(answer) = settled else { return Ok((Vec::new(), None)) };
            let names = answer.repositories.unwrap_or_default();
            let names = names.into_iter().filter_map(|one| one.repository_name).collect();
            Ok((names, answer.next_token))
        })
    }

    fn registry_policy(&self) -> BoxFuture<'_, Result<Option<String>, Problem>> {
        Box::pin(async move {
            let (client, since) = (self.client().await?, Instant::now());
            let answer = client.get_registry_policy().send().await;
            let none = "RegistryPolicyNotFoundException";
            let settled = self.settle("GetRegistryPolicy", none, answer, since)?;
            Ok(settled.and_then(|answer| answer.policy_text))
        })
    }

    fn registry_scope(&self) -> BoxFuture<'_, Result<Option<String>, Problem>> {
        Box::pin(async move {
            let (client, since) = (self.client().await?, Instant::now());
            let answer = client.get_account_setting().name("REGISTRY_POLICY_SCOPE").send().await;
            let settled = self.settle("GetAccountSetting", "", answer, since)?;
            Ok(settled.and_then(|answer| answer.value))
        })
    }
}
