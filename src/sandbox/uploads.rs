//! Pushes, with ECR's oddities: 201 to a part, no Location for a manifest, a hang-up where an upload
//! may not be started. What is pushed can be pulled, deleted, and listed by `/_sandbox/pushed`.

use std::{collections::BTreeMap, io};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RANGE},
};
use serde_json::{Value, json};

use super::{
    image::{self, digest},
    registry::{Answer, errors, reply},
    world::{Fault, World},
};

/// What was pushed.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// Uploads that were neither completed nor given up.
    open: BTreeMap<String, Vec<u8>>,
    given_up: u64,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<(String, String), Vec<u8>>,
}

impl Pushed {
    pub(super) fn blob(&self, digest: &str) -> Option<&Vec<u8>> {
        self.blobs.get(digest)
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<&Vec<u8>> {
        self.manifests.get(&(repository.to_owned(), reference.to_owned()))
    }

    pub(super) fn told(&self) -> Value {
        let manifests: Vec<String> =
            self.manifests.keys().map(|(name, tag)| format!("{name} {tag}")).collect();
        json!({
            "open": self.open.len(), "given_up": self.given_up,
            "blobs": self.blobs.keys().collect::<Vec<_>>(), "manifests": manifests,
        })
    }
}

/// One request that changes something.
pub(super) struct Change<'a> {
    pub(super) method: &'a Method,
    pub(super) repository: &'a str,
    /// `blobs/uploads/ID`, `manifests/TAG`.
    pub(super) rest: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// Answers it.
pub(super) fn answer(change: &Change<'_>, world: &World) -> io::Result<Answer> {
    let upload = change.rest.strip_prefix("blobs/uploads/");
    match (change.method, upload) {
        (&Method::POST, Some("")) if world.has(Fault::UploadHangUp) => {
            Err(io::Error::other("hung up"))
        }
        (&Method::POST, Some("")) => {
            let id = format!("{:032x}", fastrand::u128(..));
            world.pushed(|pushed| pushed.open.insert(id.clone(), Vec::new()));
            Ok(at(StatusCode::ACCEPTED, change, &id))
        }
        (&Method::PATCH, Some(id)) => {
            let known = world.pushed(|pushed| {
                pushed.open.get_mut(id).map(|bytes| bytes.extend_from_slice(change.body)).is_some()
            });
            Ok(if known { at(StatusCode::CREATED, change, id) } else { no_upload() })
        }
        (&Method::PUT, Some(id)) => Ok(complete(change, id, world)),
        (&Method::DELETE, Some(id)) => {
            let known = world.pushed(|pushed| {
                let known = pushed.open.remove(id).is_some();
                pushed.given_up += u64::from(known);
                known
            });
            Ok(if known {
                reply(StatusCode::NO_CONTENT, "text/plain", Vec::new())
            } else {
                no_upload()
            })
        }
        (&Method::PUT, None) => Ok(put_manifest(change, world)),
        (&Method::DELETE, None) => Ok(delete(change, world)),
        _ => Ok(errors(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "not supported")),
    }
}

fn no_upload() -> Answer {
    errors(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn at(status: StatusCode, change: &Change<'_>, id: &str) -> Answer {
    let mut answer = reply(status, "text/plain", Vec::new());
    let place = format!("/v2/{}/blobs/uploads/{id}", change.repository);
    if let Ok(place) = HeaderValue::from_str(&place) {
        answer.headers_mut().insert(LOCATION, place);
    }
    answer.headers_mut().insert(RANGE, HeaderValue::from_static("0-0"));
    answer
}

fn complete(change: &Change<'_>, id: &str, world: &World) -> Answer {
    let wanted = change.query.split('&').find_map(|pair| pair.strip_prefix("digest="));
    let wanted = wanted.unwrap_or_default().replace("%3A", ":");
    let Some(mut bytes) = world.pushed(|pushed| pushed.open.get(id).cloned()) else {
        return no_upload();
    };
    bytes.extend_from_slice(change.body);
    if digest(&bytes) != wanted {
        return errors(
            StatusCode::BAD_REQUEST,
            "BLOB_UPLOAD_INVALID",
            "None of the provided layer digests match the uploaded bytes",
        );
    }
    let there = world.blob(&wanted).is_some();
    if there && world.has(Fault::LayerAlreadyExists) {
        return errors(
            StatusCode::BAD_REQUEST,
            "LayerAlreadyExistsException",
            "The layer already exists in the repository",
        );
    }
    world.pushed(|pushed| {
        pushed.open.remove(id);
        if !there {
            pushed.blobs.insert(wanted.clone(), bytes);
        }
    });
    let mut answer = reply(StatusCode::CREATED, "text/plain", Vec::new());
    if let Ok(wanted) = HeaderValue::from_str(&wanted) {
        answer.headers_mut().insert(HeaderName::from_static("docker-content-digest"), wanted);
    }
    answer
}

fn put_manifest(change: &Change<'_>, world: &World) -> Answer {
    let Some(reference) = change.rest.strip_prefix("manifests/") else {
        return errors(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "not supported");
    };
    let manifest: Value = serde_json::from_slice(change.body).unwrap_or_default();
    let kind = change.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some(image::MANIFEST_TYPE) {
        return errors(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid");
    }
    let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    let missing = layers
        .iter()
        .chain([&manifest["config"]])
        .filter_map(|one| one["digest"].as_str())
        .find(|digest| world.blob(digest).is_none());
    if let Some(missing) = missing.filter(|_| !world.has(Fault::TakesAnyManifest)) {
        let words =
            format!("Layers with digests '[{missing}]' required for pushing image do not exist");
        return errors(StatusCode::NOT_FOUND, "LayersNotFoundException", &words);
    }
    world.pushed(|pushed| {
        for name in [reference.to_owned(), digest(change.body)] {
            pushed.manifests.insert((change.repository.to_owned(), name), change.body.to_vec());
        }
    });
    let mut answer = reply(StatusCode::CREATED, "text/plain", Vec::new());
    if let Ok(found) = HeaderValue::from_str(&digest(change.body)) {
        answer.headers_mut().insert(HeaderName::from_static("docker-content-digest"), found);
    }
    answer
}

fn delete(change: &Change<'_>, world: &World) -> Answer {
    let reference = change.rest.strip_prefix("manifests/").unwrap_or_default();
    let gone = world.pushed(|pushed| {
        let bytes = pushed.manifest(change.repository, reference).cloned();
        let before = pushed.manifests.len();
        if let Some(bytes) = bytes {
            pushed.manifests.retain(|(name, _), kept| name != change.repository || *kept != bytes);
        }
        before > pushed.manifests.len()
    });
    if gone {
        return reply(StatusCode::ACCEPTED, "text/plain", Vec::new());
    }
    errors(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
}
