//! One line of the journal. Pure.
//!
//! The schema is `ecr-warden.audit/1`, described in docs/audit.md: fields may be added, none goes or
//! changes its meaning without another number.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Entry;
use crate::{
    audit::{
        record::{Answer, Record},
        rules::Rule,
    },
    model::outcome::Problem,
};

/// The schema's name.
pub const SCHEMA: &str = "ecr-warden.audit/1";

/// A manifest longer than this is told by length and digest.
const LONG: usize = 1024;

/// The line in our own field names.
pub fn own(entry: &Entry<'_>) -> Value {
    let mut line = json!({ "schema": SCHEMA });
    match entry {
        Entry::Finding(record, finding) => {
            line["kind"] = "finding".into();
            common(&mut line, record);
            line["rule"] = finding.rule.name().into();
            line["severity"] = finding.severity.word().into();
            line["first"] = finding.first.into();
            line["reason"] = json!(Problem::new(finding.rule.reason(), finding.detail.clone()));
        }
        Entry::Event(record, raw) => {
            line["kind"] = "event".into();
            common(&mut line, record);
            line["record"] = compact(raw);
        }
        Entry::Unread { log, beginning, why } => {
            line["kind"] = "unread".into();
            line["log"] = (*log).into();
            line["beginning"] =
                String::from_utf8_lossy(beginning.get(..4096).unwrap_or(beginning)).into();
            line["rule"] = Rule::RecordUnread.name().into();
            line["severity"] = Rule::RecordUnread.severity().word().into();
            line["reason"] = json!(Problem::new(Rule::RecordUnread.reason(), *why));
        }
        Entry::Trouble { log, problem } => {
            line["kind"] = "trouble".into();
            line["log"] = (*log).into();
            line["rule"] = Rule::Unreadable.name().into();
            if problem.reason == Rule::Gap.reason() {
                line["rule"] = Rule::Gap.name().into();
            }
            line["severity"] = Rule::Unreadable.severity().word().into();
            line["reason"] = json!(problem);
        }
    }
    line
}

fn common(line: &mut Value, record: &Record) {
    let actor = &record.actor;
    line["event_id"] = record.id.clone().into();
    line["time"] = json!(record.time);
    line["source"] = record.source.clone().into();
    line["call"] = record.name.clone().into();
    line["operation"] = record.operation.word().into();
    line["outcome"] = record.outcome().into();
    line["actor"] = json!({
        "type": actor.kind,
        "name": actor.name,
        "account": actor.account,
        "unique_id": actor.unique_id,
        "session": actor.session,
        "instance": actor.instance(),
        "access_key": actor.access_key,
        "invoked_by": actor.invoked_by,
        "address": record.address,
        "endpoint": record.endpoint,
    });
    let images: Vec<Value> = record
        .images
        .iter()
        .map(|image| json!({ "tag": image.image_tag, "digest": image.image_digest }))
        .collect();
    line["target"] = json!({
        "registry": record.registry,
        "region": record.region,
        "repository": record.repository,
        "images": images,
        "object": record.object,
    });
    line["trail_account"] = record.account.clone().into();
    if record.answer != Answer::Done {
        line["message"] = record.message.clone().into();
    }
    if let Answer::Failed(code) = &record.answer {
        line["error"] = code.clone().into();
    }
    if let Some(replaces) = &record.replaces {
        line["replaces"] = replaces.clone().into();
    }
}

/// The line in the Elastic Common Schema's names, with ours below `ecr_warden`.
pub fn ecs(entry: &Entry<'_>) -> Value {
    let own = own(entry);
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() && value != "" {
            line.insert(name.to_owned(), value);
        }
    };
    put("ecs.version", "8.11.0".into());
    if let Entry::Finding(record, _) | Entry::Event(record, _) = entry {
        put("@timestamp", json!(record.time));
        put("event.id", record.id.clone().into());
        put("event.provider", record.source.clone().into());
        put("event.action", record.name.clone().into());
        put(
            "event.outcome",
            if record.answer == Answer::Done { "success" } else { "failure" }.into(),
        );
        put("cloud.provider", "aws".into());
        put("cloud.account.id", record.account.clone().into());
        put("cloud.region", record.region.clone().into());
        put("user.id", record.actor.unique_id.clone().into());
        put("user.name", record.actor.name.clone().into());
        put("container.image.name", record.repository.clone().into());
        // On Docker's path it is no address.
        if record.address.parse::<std::net::IpAddr>().is_ok() {
            put("source.ip", record.address.clone().into());
        }
    }
    let kind = if matches!(entry, Entry::Event(..)) { "event" } else { "alert" };
    put("event.kind", kind.into());
    put("rule.name", own["rule"].clone());
    put("log.level", own["severity"].clone());
    put("message", own["reason"]["detail"].clone());
    put("ecr_warden", own);
    Value::Object(line)
}

/// A record without what is long and tells nothing: manifests, which a push carries whole.
fn compact(raw: &[u8]) -> Value {
    let Ok(mut record) = serde_json::from_slice::<Value>(raw) else { return Value::Null };
    let places = ["/requestParameters/imageManifest", "/responseElements/image/imageManifest"];
    for place in places {
        if let Some(manifest) = record.pointer_mut(place)
            && let Some(text) = manifest.as_str().filter(|text| text.len() > LONG)
        {
            let digest = Sha256::digest(text.as_bytes());
            let digest: String =
                digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            *manifest = json!({ "bytes": text.len(), "sha256": digest });
        }
    }
    record
}
