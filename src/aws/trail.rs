//! An account's event history: `CloudTrail`'s LookupEvents.

use std::{sync::Arc, time::Instant};

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_smithy_types::DateTime;
use aws_types::region::Region;

use super::{
    BoxFuture, EventHistory, HistoryFilter, HistoryPage, HistoryQuery, error, identity::SdkIdentity,
};
use crate::model::{outcome::Problem, reason::Reason};

/// The API's largest page.
const PAGE: i32 = 50;

/// The history of the identity's account in one region.
pub(super) struct SdkHistory {
    pub(super) identity: Arc<SdkIdentity>,
    pub(super) region: String,
}

impl SdkHistory {
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>
    async fn ask(&self, query: &HistoryQuery, next: Option<&str>) -> Result<HistoryPage, Problem> {
        let resolved = self.identity.resolve().await?;
        let config = aws_sdk_cloudtrail::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .interceptor(self.identity.aws.date_reader())
            .build();
        let (key, value) = match &query.filter {
            HistoryFilter::Source(source) => (LookupAttributeKey::EventSource, source),
            HistoryFilter::Username(name) => (LookupAttributeKey::Username, name),
            HistoryFilter::Name(name) => (LookupAttributeKey::EventName, name),
        };
        let attribute =
            LookupAttribute::builder().attribute_key(key).attribute_value(value).build();
        let attribute = attribute
            .map_err(|error| Problem::new(Reason::AwsRejected, format!("cloudtrail: {error}")))?;
        let answer = aws_sdk_cloudtrail::Client::from_conf(config)
            .lookup_events()
            .lookup_attributes(attribute)
            .start_time(DateTime::from_secs(query.from.as_second()))
            .end_time(DateTime::from_secs(query.until.as_second()))
            .max_results(PAGE)
            .set_next_token(next.map(str::to_owned))
            .send()
            .await
            .map_err(|error| {
                error::sdk("cloudtrail", "LookupEvents", &error, self.identity.aws.skew())
            })?;
        // Without the record itself an event tells nothing; what is left is shown as unreadable.
        let record = |event: &aws_sdk_cloudtrail::types::Event| {
            let id = event.event_id().unwrap_or_default();
            let bare = || serde_json::json!({ "EventId": id }).to_string();
            event.cloud_trail_event().map_or_else(bare, str::to_owned)
        };
        Ok(HistoryPage {
            records: answer.events().iter().map(record).collect(),
            next: answer.next_token,
        })
    }
}

impl EventHistory for SdkHistory {
    fn page<'a>(
        &'a self,
        query: &'a HistoryQuery,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HistoryPage, Problem>> {
        Box::pin(async move {
            let since = Instant::now();
            let result = self.ask(query, next).await;
            self.identity.told("cloudtrail", "LookupEvents", &result, since).await;
            result
        })
    }
}
