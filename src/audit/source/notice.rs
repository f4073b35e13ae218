//! What a queue's message says of new objects: S3's notifications, also through SNS or EventBridge,
//! and CloudTrail's own. Pure.

use serde_json::Value;

/// An object: its bucket and its key.
pub type Object = (String, String);

/// The objects that a message names; `None` for a message of another kind.
pub fn objects(body: &str) -> Option<Vec<Object>> {
    let message: Value = serde_json::from_str(body).ok()?;
    named(&message, 1)
}

fn named(message: &Value, wrappings: u8) -> Option<Vec<Object>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // S3 says so when a queue is connected.
    if message["Event"] == "s3:TestEvent" {
        return Some(Vec::new());
    }
    if let Some(records) = message["Records"].as_array() {
        let object = |record: &Value| {
            let s3 = &record["s3"];
            Some((text(&s3["bucket"]["name"])?, decoded(s3["object"]["key"].as_str()?)))
        };
        return records.iter().map(object).collect();
    }
    if let Some(keys) = message["s3ObjectKey"].as_array() {
        let bucket = text(&message["s3Bucket"])?;
        return keys.iter().map(|key| Some((bucket.clone(), text(key)?))).collect();
    }
    if message["source"] == "aws.s3" {
        let detail = &message["detail"];
        return Some(vec![(text(&detail["bucket"]["name"])?, text(&detail["object"]["key"])?)]);
    }
    if wrappings > 0
        && let Some(inner) = message["Message"].as_str()
    {
        return named(&serde_json::from_str(inner).ok()?, wrappings - 1);
    }
    None
}

/// Keys in S3's notifications are encoded as in a form.
fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_of_telling_of_an_object_is_understood_and_other_messages_are_not() {
        let direct = json!({ "Records": [{ "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "b" }, "object": { "key": "AWSLogs/a+b%3D.json.gz" } } }] });
        let own = json!({ "s3Bucket": "b", "s3ObjectKey": ["AWSLogs/a b=.json.gz"] });
        let bridge = json!({ "source": "aws.s3", "detail-type": "Object Created",
            "detail": { "bucket": { "name": "b" }, "object": { "key": "AWSLogs/a b=.json.gz" } } });
        let sns = |inner: &Value| json!({ "Type": "Notification", "Message": inner.to_string() });
        let expected = Some(vec![("b".to_owned(), "AWSLogs/a b=.json.gz".to_owned())]);
        for message in [direct.clone(), own.clone(), bridge, sns(&direct), sns(&own)] {
            assert_eq!(objects(&message.to_string()), expected, "{message}");
        }
        assert_eq!(objects(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#), Some(vec![]));
        for other in ["", "hello", "[]", "{}", r#"{"Records":[{"s3":{}}]}"#, r#"{"Message":"x"}"#] {
            assert_eq!(objects(other), None, "{other}");
        }
    }
}
