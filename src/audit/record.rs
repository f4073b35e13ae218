//! One `CloudTrail` record as the rules see it. Pure.
//!
//! Fields: AWS `CloudTrail` user guide, "record contents". A field of an unexpected type counts as
//! absent; only a record without service, name, time or id can't be read. What is unknown stays in
//! the raw bytes, which the journal keeps.

mod wire;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use self::wire::{Addendum, Request, Resource, Response, Wire};
use super::{
    action::{self, Operation},
    actor::Actor,
    denial::{self, Denial},
};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It did what it was to do.
    Done,
    /// It was not allowed.
    Denied(Denial),
    /// It failed otherwise, with this code: `ImageNotFoundException`, `ThrottlingException`.
    Failed(String),
}

/// An image as a call names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Its tag; empty when it is named by digest.
    pub image_tag: String,
    /// Its digest; empty when it is named by tag.
    pub image_digest: String,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `eventID`: the same in every copy that reaches one account.
    pub id: String,
    /// When the call was made.
    pub time: Timestamp,
    /// `ecr.amazonaws.com`, or another service that tells of a registry.
    pub source: String,
    /// `eventName`.
    pub name: String,
    /// What it does.
    pub operation: Operation,
    /// By AWS itself (`AwsServiceEvent`), such as images that a lifecycle policy expires.
    pub by_aws: bool,
    /// The region.
    pub region: String,
    /// The account whose trail this is: `recipientAccountId`.
    pub account: String,
    /// Who.
    pub actor: Actor,
    /// `sourceIPAddress`; `AWS Internal` on Docker's path.
    pub address: String,
    /// The VPC endpoint that it came through, when that is told.
    pub endpoint: String,
    /// The account that owns the registry.
    pub registry: String,
    /// The repository; empty when the call is about none.
    pub repository: String,
    /// The images that it names.
    pub images: Vec<Image>,
    /// A role (`AssumeRole`) or a key (KMS) that it is about.
    pub object: String,
    /// The name that a role session is given by `AssumeRole`.
    pub session: String,
    /// Whom a KMS grant is for.
    pub grantee: String,
    /// How it ended.
    pub answer: Answer,
    /// AWS's words, when it did not end well.
    pub message: String,
    /// The event that this one corrects or replaces: CloudTrail's `addendum`.
    pub replaces: Option<String>,
}

/// Why a record can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is no JSON, or not an object of texts where texts must be.
    #[error("it is not a record: {0}")]
    Malformed(String),
    /// Something that every record has is not there.
    #[error("{0} is missing or can't be understood")]
    Missing(&'static str),
}

/// Reads a record, also one that is wrapped by `lookup-events` or EventBridge.
pub fn parse(bytes: &[u8]) -> Result<Record, Unread> {
    parse_within(bytes, 2)
}

fn parse_within(bytes: &[u8], wrappings: u8) -> Result<Record, Unread> {
    let wire: Wire<'_> =
        serde_json::from_slice(bytes).map_err(|error| Unread::Malformed(cut(&error, 256)))?;
    if wire.event_source.is_none() && wrappings > 0 {
        if let Some(text) = &wire.looked_up {
            return parse_within(text.as_bytes(), wrappings - 1);
        }
        if let Some(detail) = wire.detail {
            return parse_within(detail.get().as_bytes(), wrappings - 1);
        }
    }
    read(wire)
}

fn read(wire: Wire<'_>) -> Result<Record, Unread> {
    let required = |value: Option<Cow<'_, str>>, name| {
        value
            .filter(|text| !text.is_empty())
            .map(|text| cut(&text, 128))
            .ok_or(Unread::Missing(name))
    };
    let source = required(wire.event_source, "eventSource")?;
    let name = required(wire.event_name, "eventName")?;
    let id = required(wire.event_id, "eventID")?;
    let time = wire.event_time.as_deref().and_then(|time| time.parse().ok());
    let time = time.ok_or(Unread::Missing("eventTime"))?;
    let actor = Actor::of(wire.user_identity.and_then(borrowed).unwrap_or_default());
    let message = text(wire.error_message, 2048);
    let code = text(wire.error_code, 128);
    let account = text(wire.recipient_account_id, 32);

    let request: Request = lenient(wire.request_parameters);
    let details: Request = lenient(wire.service_event_details);
    let resources: Vec<Resource> = lenient(wire.resources);
    // A denied call may have no parameters: then the words of the denial name the repository.
    let said = message.split_once("on resource: ").map(|(_, rest)| rest);
    let said = said.and_then(|rest| rest.split_whitespace().next());
    let mut arns = resources.iter().map(|resource| resource.arn.as_str()).chain(said);
    let (owner, in_arn) = arns.find_map(repository_of).unwrap_or_default();
    let first = |texts: &[&str]| {
        cut(texts.iter().find(|text| !text.is_empty()).copied().unwrap_or_default(), 256)
    };
    let named = request.repository_names.first().map(String::as_str).unwrap_or_default();
    let repository = first(&[&request.repository_name, named, &details.repository_name, in_arn]);
    let registry = first(&[&request.registry_id, &details.registry_id, owner, &account]);

    let mut images = request.image_ids;
    images.truncate(100);
    let pushed = lenient::<Response>(wire.response_elements).image.image_id;
    let tag = if request.image_tag.is_empty() { pushed.image_tag } else { request.image_tag };
    if !tag.is_empty() || !pushed.image_digest.is_empty() {
        images.push(Image { image_tag: tag, image_digest: pushed.image_digest });
    }
    for image in &mut images {
        image.image_tag = cut(&image.image_tag, 128);
        image.image_digest = cut(&image.image_digest, 128);
    }

    let key = resources.iter().map(|it| it.arn.as_str()).find(|arn| arn.contains(":kms:"));
    let object = first(&[&request.role_arn, key.unwrap_or_default(), &request.key_id]);
    let answer = match denial::of(&code, &message) {
        Some(denial) => Answer::Denied(denial),
        None if code.is_empty() => Answer::Done,
        None => Answer::Failed(code),
    };
    let replaces = wire.addendum.map(|raw| lenient::<Addendum>(Some(raw)).original_event_id);
    Ok(Record {
        operation: action::operation(&name),
        by_aws: text(wire.event_type, 64) == "AwsServiceEvent",
        region: text(wire.aws_region, 64),
        address: text(wire.source_ip, 128),
        endpoint: text(wire.vpc_endpoint_id, 64),
        session: cut(&request.role_session_name, 128),
        grantee: cut(&request.grantee_principal, 128),
        replaces: replaces.filter(|id| !id.is_empty()),
        id,
        time,
        source,
        name,
        account,
        actor,
        registry,
        repository,
        images,
        object,
        answer,
        message,
    })
}

/// Account and name out of a repository's ARN.
fn repository_of(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2)?;
    let account = parts.nth(1)?;
    let name = parts.next()?.strip_prefix("repository/")?;
    (service == "ecr").then_some((account, name))
}

fn text(raw: Option<&RawValue>, most: usize) -> String {
    let text: Option<Cow<'_, str>> = raw.and_then(borrowed);
    cut(&text.unwrap_or_default(), most)
}

fn borrowed<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The parts that can be read, or what holds without them.
fn lenient<T: DeserializeOwned + Default>(raw: Option<&RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// At most so many bytes, since a record may be long out of malice.
pub(super) fn cut(text: &(impl ToString + ?Sized), most: usize) -> String {
    let mut text = text.to_string();
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

impl Record {
    /// Whether it is the caller's account that tells, or the owner's of the registry.
    pub fn is_owners_copy(&self) -> bool {
        self.registry == self.account && self.actor.account != self.account
    }

    /// What it is about, as a table shows it: the repository, else the role or key.
    pub fn subject(&self) -> &str {
        if self.repository.is_empty() { &self.object } else { &self.repository }
    }

    /// `ok`, `denied` or `failed`: a metric's label.
    pub fn outcome(&self) -> &'static str {
        match self.answer {
            Answer::Done => "ok",
            Answer::Denied(_) => "denied",
            Answer::Failed(_) => "failed",
        }
    }
}

#[cfg(test)]
mod tests;
