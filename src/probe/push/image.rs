//! A tiny image of our own: pushed, pulled, and deleted again. Each is one of its kind, so that no
//! image of anybody else's can have its digest.

use std::{sync::Arc, time::Duration};

use hyper::{Method, body::Bytes};
use serde_json::json;

use super::{Attempt, Rung};
use crate::{
    oci::{fetch::Fetch, trace::Step},
    probe::{
        Depth,
        capsule::Stop,
        pull::{self, Allowance, Plan, sha256},
    },
};

pub(super) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(super) const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// How long the deletion may take, when the rehearsal's own time is over.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A tag that nobody else has: a lifecycle rule can name what all of them begin with.
pub(super) fn tag() -> String {
    format!("ecr-warden-rehearsal-{:016x}", fastrand::u64(..))
}

/// Pushes and pulls. `left` names what is to be deleted, from before it can be there.
pub(super) async fn push(
    attempt: &Attempt<'_>,
    fetch: &mut Fetch<'_>,
    left: &mut Option<String>,
) -> Result<(), Stop> {
    // An empty archive is two blocks of zeros; what follows is not looked at.
    let mut layer = vec![0_u8; 1024];
    layer.extend(fastrand::u128(..).to_le_bytes());
    layer.resize(1536, 0);
    let platform = &attempt.plan.platform;
    let config = json!({
        "architecture": platform.architecture, "os": platform.os, "config": {},
        "rootfs": { "type": "layers", "diff_ids": [sha256(&layer)] },
        "history": [{ "created_by": "ecr-warden rehearsal" }],
    })
    .to_string()
    .into_bytes();
    let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": sha256(bytes) });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config), "layers": [descriptor(LAYER, &layer)],
    })
    .to_string();
    for blob in [layer, config] {
        let digest = sha256(&blob);
        if !attempt.upload(fetch, Rung::Image, Some((digest, blob))).await? {
            return Ok(());
        }
    }
    if !put(attempt, fetch, manifest, left).await? {
        return Ok(());
    }
    let Some(digest) = left.clone() else {
        return Ok(());
    };
    let mut image = attempt.plan.image.clone();
    (image.tag, image.digest) = (None, Some(digest));
    let (platform, timeout) = (platform.clone(), attempt.plan.timeout);
    let plan =
        Plan { image, depth: Depth::Full, platform, timeout, allowance: Allowance::default() };
    match pull::pull(attempt.client, attempt.credential, &plan, attempt.record).await.stop {
        Stop::Complete => Ok(()),
        stop => Err(stop),
    }
}

/// Pushes a manifest under a tag of our own; whether the registry took it.
pub(super) async fn put(
    attempt: &Attempt<'_>,
    fetch: &mut Fetch<'_>,
    manifest: String,
    left: &mut Option<String>,
) -> Result<bool, Stop> {
    let url = fetch.at(attempt.path(&format!("manifests/{}", tag())));
    *left = Some(sha256(manifest.as_bytes()));
    let body = Some((MANIFEST, Bytes::from(manifest)));
    let told = attempt.tell(fetch, Step::ManifestPut, Method::PUT, &url, body).await?;
    if told.status.is_client_error() {
        *left = None;
    }
    Ok(told.status.is_success())
}

/// Deletes an image by its digest; whether it is gone.
pub(super) async fn delete(attempt: &Attempt<'_>, digest: &str) -> bool {
    let host = &attempt.plan.image.host;
    let mut fetch = attempt.client.fetch(host, attempt.credential, Arc::clone(attempt.record));
    let url = fetch.at(attempt.path(&format!("manifests/{digest}")));
    for method in [Method::DELETE, Method::GET] {
        let told = attempt.tell(&mut fetch, Step::ManifestDelete, method, &url, None).await;
        if told.is_ok_and(|told| told.status == hyper::StatusCode::NOT_FOUND) {
            return true;
        }
    }
    false
}
