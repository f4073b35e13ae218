//! Who last changed a policy, out of CloudTrail's records. Pure.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The calls that change a repository's policy.
pub const OF_REPOSITORY: [&str; 2] = ["SetRepositoryPolicy", "DeleteRepositoryPolicy"];

/// The calls that change a registry's own policy.
pub const OF_REGISTRY: [&str; 2] = ["PutRegistryPolicy", "DeleteRegistryPolicy"];

/// A change of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// When, by AWS's clock.
    pub time: Timestamp,
    /// The call.
    pub event: String,
    /// Who: an ARN, or what stands in its place.
    pub actor: String,
    /// From where: an address, or an AWS service.
    pub source: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, event, actor, source } = self;
        write!(f, "{event} by {actor} from {source} at {time:.0}")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_time: Timestamp,
    event_name: String,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default, rename = "sourceIPAddress")]
    source: Option<String>,
    #[serde(default)]
    user_identity: Value,
    #[serde(default)]
    request_parameters: Value,
}

/// The last change among these records that was not refused: of this repository's policy, or of the
/// registry's own where the name is empty. What is no record is passed over.
pub fn latest<'a>(records: impl Iterator<Item = &'a str>, repository: &str) -> Option<Change> {
    let calls = if repository.is_empty() { OF_REGISTRY } else { OF_REPOSITORY };
    records
        .filter_map(|record| serde_json::from_str::<Record>(record).ok())
        .filter(|record| calls.contains(&record.event_name.as_str()) && record.error_code.is_none())
        .filter(|record| {
            repository.is_empty() || record.request_parameters["repositoryName"] == repository
        })
        .map(|record| {
            let identity = &record.user_identity;
            let who = ["arn", "invokedBy", "principalId", "type"];
            let actor = who.iter().find_map(|key| identity[*key].as_str()).unwrap_or("somebody");
            Change {
                time: record.event_time,
                actor: plain(actor),
                source: plain(record.source.as_deref().unwrap_or("nowhere that is told")),
                event: record.event_name,
            }
        })
        .max()
}

/// Others wrote it: no control characters, and no more than a line.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(event: &str, repository: &str, second: u8, error: Option<&str>) -> String {
        json!({
            "eventTime": format!("2026-11-24T10:00:{second:02}Z"), "eventName": event,
            "eventSource": "ecr.amazonaws.com", "sourceIPAddress": "192.0.2.7",
            "userIdentity": { "type": "AssumedRole", "arn": format!("arn:aws:sts::123456789012:assumed-role/admin/u{second}") },
            "requestParameters": { "repositoryName": repository, "policyText": "{}" },
            "errorCode": error,
        })
        .to_string()
    }

    #[test]
    fn the_last_change_of_this_policy_that_was_not_refused_counts() {
        let records = [
            record("SetRepositoryPolicy", "app/web", 5, None),
            record("SetRepositoryPolicy", "app/web", 9, Some("AccessDenied")),
            record("DeleteRepositoryPolicy", "app/web", 7, None),
            record("SetRepositoryPolicy", "app/other", 8, None),
            record("PutRegistryPolicy", "", 6, None),
            "no record".to_owned(),
        ];
        let of = |name| latest(records.iter().map(String::as_str), name).unwrap().to_string();
        assert_eq!(
            of("app/web"),
            "DeleteRepositoryPolicy by arn:aws:sts::123456789012:assumed-role/admin/u7 from 192.0.2.7 at 2026-11-24T10:00:07Z"
        );
        assert!(of("").starts_with("PutRegistryPolicy by"));
        assert_eq!(latest(records.iter().map(String::as_str), "app/none"), None);
    }
}
