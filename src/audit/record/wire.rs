//! A record as it is written. Parts whose type may surprise are kept as they stand and read later.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Image;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire<'a> {
    #[serde(borrow, rename = "eventID")]
    pub(super) event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) event_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) event_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) event_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) aws_region: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) recipient_account_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) user_identity: Option<&'a RawValue>,
    #[serde(borrow, rename = "sourceIPAddress")]
    pub(super) source_ip: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) vpc_endpoint_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) request_parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) response_elements: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) resources: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) service_event_details: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error_code: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error_message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) addendum: Option<&'a RawValue>,
    /// `lookup-events` has the record as text in this.
    #[serde(borrow, rename = "CloudTrailEvent")]
    pub(super) looked_up: Option<Cow<'a, str>>,
    /// EventBridge has it in this.
    #[serde(borrow)]
    pub(super) detail: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    pub(super) registry_id: String,
    pub(super) repository_name: String,
    pub(super) repository_names: Vec<String>,
    pub(super) image_ids: Vec<Image>,
    pub(super) image_tag: String,
    pub(super) role_arn: String,
    pub(super) role_session_name: String,
    pub(super) key_id: String,
    pub(super) grantee_principal: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Response {
    pub(super) image: ResponseImage,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResponseImage {
    pub(super) image_id: Image,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    #[serde(rename = "ARN", alias = "arn")]
    pub(super) arn: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Addendum {
    #[serde(rename = "originalEventID")]
    pub(super) original_event_id: String,
}
