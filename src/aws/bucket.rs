//! Objects of a bucket.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_s3::{config::ResponseChecksumValidation, operation::get_object::GetObjectError};
use aws_types::region::Region;

use super::{BoxFuture, Bucket, Listing, error, identity::SdkIdentity};
use crate::model::{outcome::Problem, reason::Reason};

/// A trail's files have at most a few megabytes.
const LARGEST: usize = 64 << 20;

/// How long a body may take.
const SLOWEST: Duration = Duration::from_secs(120);

/// S3 with one identity.
pub(super) struct SdkBucket {
    pub(super) identity: Arc<SdkIdentity>,
    pub(super) region: String,
}

impl SdkBucket {
    async fn client(&self) -> Result<aws_sdk_s3::Client, Problem> {
        let resolved = self.identity.resolve().await?;
        // An endpoint of one's own rarely answers under a name for each bucket.
        let by_path = resolved.config.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&resolved.config)
            .credentials_provider(resolved.credentials)
            .region(Region::new(self.region.clone()))
            .force_path_style(by_path)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(self.identity.aws.date_reader())
            .build();
        Ok(aws_sdk_s3::Client::from_conf(config))
    }

    async fn ask_list(
        &self,
        bucket: &str,
        prefix: &str,
        next: Option<&str>,
    ) -> Result<Listing, Problem> {
        let answer = self
            .client()
            .await?
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .set_continuation_token(next.map(str::to_owned))
            .send()
            .await
            .map_err(|error| error::sdk("s3", "ListObjectsV2", &error, self.identity.aws.skew()))?;
        let keys = answer.contents().iter().filter_map(|object| object.key().map(str::to_owned));
        Ok(Listing { keys: keys.collect(), next: answer.next_continuation_token.clone() })
    }

    async fn ask_get(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Problem> {
        let answer = self.client().await?.get_object().bucket(bucket).key(key).send().await;
        let answer = answer.map_err(|error| {
            let gone = error.as_service_error().is_some_and(GetObjectError::is_no_such_key);
            let problem = error::sdk("s3", "GetObject", &error, self.identity.aws.skew());
            if gone { Problem::new(Reason::AuditUnreadable, problem.detail) } else { problem }
        })?;
        let mut body = answer.body;
        let mut bytes = Vec::new();
        let read = async {
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| {
                    Problem::new(Reason::AwsUnreachable, format!("s3 GetObject {key}: {error}"))
                })?;
                bytes.extend_from_slice(&chunk);
                if bytes.len() > LARGEST {
                    let detail = format!("{key} is larger than {} MiB", LARGEST >> 20);
                    return Err(Problem::new(Reason::AuditUnreadable, detail));
                }
            }
            Ok(())
        };
        tokio::time::timeout(SLOWEST, read).await.map_err(|_| {
            let detail = format!("s3 GetObject {key}: not whole in {} s", SLOWEST.as_secs());
            Problem::new(Reason::AwsUnreachable, detail)
        })??;
        Ok(bytes)
    }
}

impl Bucket for SdkBucket {
    fn list<'a>(
        &'a self,
        bucket: &'a str,
        prefix: &'a str,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Listing, Problem>> {
        Box::pin(async move {
            let since = Instant::now();
            let result = self.ask_list(bucket, prefix, next).await;
            self.identity.told("s3", "ListObjectsV2", &result, since).await;
            result
        })
    }

    fn get<'a>(&'a self, bucket: &'a str, key: &'a str) -> BoxFuture<'a, Result<Vec<u8>, Problem>> {
        Box::pin(async move {
            let since = Instant::now();
            let result = self.ask_get(bucket, key).await;
            self.identity.told("s3", "GetObject", &result, since).await;
            result
        })
    }
}
