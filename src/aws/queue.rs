//! A queue's messages.

use std::{sync::Arc, time::Instant};

use aws_types::region::Region;

use super::{BoxFuture, Message, Queue, error, identity::SdkIdentity};
use crate::model::outcome::Problem;

/// At most so many at a time: the API's limit.
const BATCH: i32 = 10;

/// A message belongs to its auditor for so long, in seconds; then another one gets it.
const OURS: i32 = 60;

/// A queue with one identity.
pub(super) struct SdkQueue {
    pub(super) identity: Arc<SdkIdentity>,
    pub(super) region: String,
    pub(super) url: String,
}

impl SdkQueue {
    async fn client(&self) -> Result<aws_sdk_sqs::Client, Problem> {
        let resolved = self.identity.resolve().await?;
        let config = aws_sdk_sqs::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .interceptor(self.identity.aws.date_reader())
            .build();
        Ok(aws_sdk_sqs::Client::from_conf(config))
    }

    async fn ask(&self) -> Result<Vec<Message>, Problem> {
        let answer = self
            .client()
            .await?
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH)
            .visibility_timeout(OURS)
            // A short wait asks every server of the queue, so that empty means empty.
            .wait_time_seconds(1)
            .send()
            .await
            .map_err(|error| {
                error::sdk("sqs", "ReceiveMessage", &error, self.identity.aws.skew())
            })?;
        let message = |message: aws_sdk_sqs::types::Message| {
            Some(Message {
                receipt: message.receipt_handle?,
                body: message.body.unwrap_or_default(),
            })
        };
        Ok(answer.messages.into_iter().flatten().filter_map(message).collect())
    }

    async fn ask_delete(&self, receipt: &str) -> Result<(), Problem> {
        let sent =
            self.client().await?.delete_message().queue_url(&self.url).receipt_handle(receipt);
        sent.send()
            .await
            .map(|_| ())
            .map_err(|error| error::sdk("sqs", "DeleteMessage", &error, self.identity.aws.skew()))
    }
}

impl Queue for SdkQueue {
    fn receive(&self) -> BoxFuture<'_, Result<Vec<Message>, Problem>> {
        Box::pin(async move {
            let since = Instant::now();
            let result = self.ask().await;
            self.identity.told("sqs", "ReceiveMessage", &result, since).await;
            result
        })
    }

    fn delete<'a>(&'a self, receipt: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            let since = Instant::now();
            let result = self.ask_delete(receipt).await;
            self.identity.told("sqs", "DeleteMessage", &result, since).await;
            result
        })
    }
}
