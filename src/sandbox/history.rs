//! The event history: LookupEvents over events that were made on demand, with AWS's limits.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// So many calls a second are allowed, to all callers together.
const QUOTA: usize = 2;

/// A page has at most so many events.
const PAGE: usize = 50;

/// The events and the calls of the last second.
#[derive(Default)]
pub(super) struct History {
    events: Vec<Value>,
    calls: VecDeque<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    #[serde(default)]
    lookup_attributes: Vec<Attribute>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_key: String,
    attribute_value: String,
}

impl History {
    /// Adds records.
    pub(super) fn add(&mut self, records: Vec<Value>) {
        self.events.extend(records);
    }

    /// The answer, or an error's code and message.
    pub(super) fn lookup(
        &mut self,
        body: &[u8],
        now: Instant,
    ) -> Result<Value, (&'static str, &'static str)> {
        self.calls.retain(|call| now.duration_since(*call) < Duration::from_secs(1));
        if self.calls.len() >= QUOTA {
            return Err(("ThrottlingException", "Rate exceeded"));
        }
        self.calls.push_back(now);
        let query: Query = serde_json::from_slice(body)
            .map_err(|_| ("InvalidParameterException", "the request can't be understood"))?;
        let [attribute] = query.lookup_attributes.as_slice() else {
            return Err((
                "InvalidLookupAttributesException",
                "You can specify only one attribute.",
            ));
        };
        let mut found: Vec<&Value> = self
            .events
            .iter()
            .filter(|event| fits(event, attribute))
            .filter(|event| {
                let time = seconds(event);
                query.start_time.is_none_or(|start| time >= start)
                    && query.end_time.is_none_or(|end| time <= end)
            })
            .collect();
        found.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
        let start = query.next_token.and_then(|token| token.parse().ok()).unwrap_or(0);
        let most = query.max_results.unwrap_or(PAGE).min(PAGE);
        let page: Vec<Value> =
            found.iter().skip(start).take(most).map(|event| told(event)).collect();
        let mut answer = json!({ "Events": page });
        if start + most < found.len() {
            answer["NextToken"] = json!((start + most).to_string());
        }
        Ok(answer)
    }
}

fn fits(event: &Value, attribute: &Attribute) -> bool {
    let value = match attribute.attribute_key.as_str() {
        "EventSource" => event["eventSource"].as_str().unwrap_or_default(),
        "EventName" => event["eventName"].as_str().unwrap_or_default(),
        "EventId" => event["eventID"].as_str().unwrap_or_default(),
        "Username" => user(event),
        _ => return false,
    };
    value == attribute.attribute_value
}

/// A role session's name, else the user's.
fn user(event: &Value) -> &str {
    let who = &event["userIdentity"];
    let session = who["principalId"].as_str().and_then(|id| id.split_once(':'));
    session.map_or_else(|| who["userName"].as_str().unwrap_or_default(), |(_, name)| name)
}

fn seconds(event: &Value) -> f64 {
    let time = event["eventTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    #[allow(clippy::cast_precision_loss)]
    let seconds = time.map_or(0.0, |time| time.as_second() as f64);
    seconds
}

fn told(event: &Value) -> Value {
    json!({
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "EventSource": event["eventSource"],
        "EventTime": seconds(event),
        "Username": user(event),
        "ReadOnly": event["readOnly"].to_string(),
        "Resources": [],
        "CloudTrailEvent": event.to_string(),
    })
}
