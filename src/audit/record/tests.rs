use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::denial::Layer;

fn pull() -> Value {
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "principalId": "AROAEXAMPLE:i-0abc1234def567890",
            "arn": "arn:aws:sts::210987654321:assumed-role/host/i-0abc1234def567890",
            "accountId": "210987654321", "invokedBy": "AWS Internal",
        },
        "eventTime": "2026-11-20T10:00:00Z", "eventSource": "ecr.amazonaws.com",
        "eventName": "BatchGetImage", "awsRegion": "eu-west-1",
        "sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal",
        "requestParameters": {
            "registryId": "123456789012", "repositoryName": "app/web",
            "imageIds": [{ "imageTag": "1" }], "acceptedMediaTypes": ["application/json"],
        },
        "responseElements": null, "eventID": "e-1", "eventType": "AwsApiCall",
        "recipientAccountId": "210987654321", "sharedEventID": "s-1", "new field": [{}],
    })
}

fn read(value: &Value) -> Record {
    parse(value.to_string().as_bytes()).unwrap()
}

#[test]
fn a_pull_on_dockers_path_tells_repository_image_and_host() {
    let record = read(&pull());
    assert_eq!((record.registry.as_str(), record.repository.as_str()), ("123456789012", "app/web"));
    assert_eq!(record.images[0].image_tag, "1");
    assert_eq!(record.operation, Operation::Pull);
    assert_eq!(record.actor.instance(), Some("i-0abc1234def567890"));
    assert_eq!(record.answer, Answer::Done);
    assert!(!record.is_owners_copy());
}

#[test]
fn a_denied_call_without_parameters_still_names_its_repository_and_layer() {
    let mut denied = pull();
    denied["requestParameters"] = Value::Null;
    denied["errorCode"] = json!("AccessDenied");
    denied["errorMessage"] = json!(
        "User: arn:aws:sts::210987654321:assumed-role/host/i-1 is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-west-1:123456789012:repository/app/web because no resource-based policy allows the ecr:BatchGetImage action"
    );
    let record = read(&denied);
    assert_eq!((record.registry.as_str(), record.repository.as_str()), ("123456789012", "app/web"));
    assert!(matches!(record.answer, Answer::Denied(denial) if denial.layer == Layer::Resource));
}

#[test]
fn a_push_tells_tag_and_digest_and_its_manifest_costs_nothing() {
    let mut push = pull();
    push["eventName"] = json!("PutImage");
    push["requestParameters"] = json!({ "repositoryName": "app/web", "imageTag": "2", "imageManifest": "x".repeat(1 << 20) });
    push["responseElements"] = json!({ "image": { "imageId": { "imageDigest": "sha256:ab", "imageTag": "2" }, "imageManifest": "y" } });
    push["resources"] = json!([{ "ARN": "arn:aws:ecr:eu-west-1:123456789012:repository/app/web", "accountId": "123456789012" }]);
    let record = read(&push);
    assert_eq!(record.images, [Image { image_tag: "2".into(), image_digest: "sha256:ab".into() }]);
    assert_eq!(record.registry, "123456789012");
}

#[test]
fn what_aws_does_itself_and_what_corrects_an_earlier_event_are_known_as_such() {
    let mut expiry = pull();
    expiry["eventType"] = json!("AwsServiceEvent");
    expiry["eventName"] = json!("PolicyExecutionEvent");
    expiry["userIdentity"] = json!({ "accountId": "123456789012", "invokedBy": "AWS Internal" });
    expiry["requestParameters"] = Value::Null;
    expiry["serviceEventDetails"] =
        json!({ "repositoryName": "app/old", "lifecycleEventPolicy": {} });
    expiry["addendum"] = json!({ "reason": "UPDATED_DATA", "originalEventID": "e-0" });
    let record = read(&expiry);
    assert!(record.by_aws);
    assert_eq!((record.repository.as_str(), record.operation), ("app/old", Operation::Lifecycle));
    assert_eq!(record.replaces.as_deref(), Some("e-0"));
}

#[test]
fn wrapped_records_are_the_same_as_bare_ones() {
    let bare = read(&pull());
    let looked_up = json!({ "EventId": "e-1", "EventSource": "ecr.amazonaws.com", "CloudTrailEvent": pull().to_string() });
    assert_eq!(read(&looked_up), bare);
    let bridged = json!({ "detail-type": "AWS API Call via CloudTrail", "detail": pull() });
    assert_eq!(read(&bridged), bare);
}

#[test]
fn only_a_record_without_its_core_is_unreadable_and_it_is_said_why() {
    for (key, name) in
        [("eventID", "eventID"), ("eventTime", "eventTime"), ("eventName", "eventName")]
    {
        let mut without = pull();
        without.as_object_mut().unwrap().remove(key);
        assert_eq!(parse(without.to_string().as_bytes()), Err(Unread::Missing(name)));
    }
    assert!(matches!(parse(b"{\"eventName\":"), Err(Unread::Malformed(_))));
    for key in ["userIdentity", "requestParameters", "resources", "errorCode", "addendum"] {
        for odd in
            [json!(7), json!("HIDDEN_DUE_TO_SECURITY_REASONS"), json!([1, {}]), json!({ "arn": 1 })]
        {
            let mut strange = pull();
            strange[key] = odd.clone();
            assert_eq!(read(&strange).id, "e-1", "{key} {odd}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_text_in_it_makes_it_fail(text in "\\PC{0,300}") {
        for key in ["errorMessage", "eventName", "recipientAccountId", "sourceIPAddress"] {
            let mut strange = pull();
            strange[key] = json!(text);
            let _ = parse(strange.to_string().as_bytes());
        }
        let mut strange = pull();
        strange["userIdentity"]["arn"] = json!(text);
        strange["userIdentity"]["principalId"] = json!(text);
        let record = read(&strange);
        prop_assert!(record.actor.name.len() <= 600);
    }
}
