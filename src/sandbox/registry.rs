//! The registry: ECR's answers, a few images or those of a registry behind it, blobs by a redirect
//! to a storage of another origin.

use std::{io, sync::Arc};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
    },
    http::request::Parts,
};

use super::{
    image::{MANIFEST_TYPE, digest},
    refusals::{self, At},
    uploads::{self, Change},
    world::{Credential, Fault, World},
};

pub(super) type Answer = Response<Full<Bytes>>;

/// A longer body is none of a test's.
const LONGEST_BODY: usize = 16 << 20;

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    world: Arc<World>,
) -> Result<Answer, io::Error> {
    if world.has(Fault::HangUp) {
        return Err(io::Error::other("hung up"));
    }
    if let Some(upstream) = &world.upstream
        && let Some(stored) = request.uri().path().strip_prefix("/_storage")
    {
        return match refusals::named("s3-auth", "") {
            Some(refusal) if request.headers().contains_key(AUTHORIZATION) => {
                Ok(reply(refusal.status, refusal.kind, refusal.body.into_bytes()))
            }
            _ => upstream.stored(stored).await,
        };
    }
    if let Some(refused) = admit(&request, &world) {
        return Ok(refused);
    }
    match &world.upstream {
        Some(upstream) if request.uri().path() != "/v2/" => upstream.answer(request).await,
        // A HEAD is answered like a GET; hyper leaves the body out and keeps its length.
        _ => {
            let (head, body) = request.into_parts();
            let body =
                Limited::new(body, LONGEST_BODY).collect().await.map_err(io::Error::other)?;
            route(&head, &body.to_bytes(), &world)
        }
    }
}

/// Answers what has no good credential, and the exchange of one for a token.
fn admit(request: &Request<Incoming>, world: &World) -> Option<Answer> {
    let path = request.uri().path();
    let credential = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let exchange = path.starts_with("/token/");
    let basic = credential
        .and_then(|value| value.strip_prefix("Basic "))
        .filter(|_| exchange || !world.has(Fault::Bearer))
        .filter(|_| !world.has(Fault::Challenge));
    let exchanged = world.has(Fault::Bearer) && credential == Some("Bearer sandbox");
    let Some(basic) = basic.or(exchanged.then_some("")) else {
        let mut answer = reply(
            StatusCode::UNAUTHORIZED,
            "text/plain; charset=utf-8",
            b"Not Authorized\n".to_vec(),
        );
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or(&world.host);
        let challenge = if world.has(Fault::Bearer) {
            format!("Bearer realm=\"https://{host}/token/\",service=\"{host}\",scope=\"aws\"")
        } else {
            format!("Basic realm=\"https://{host}/\",service=\"ecr.amazonaws.com\"")
        };
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        return Some(answer);
    };
    world.called(&format!("registry:{}", if path == "/v2/" { "check" } else { "pull" }));
    match world.judge(basic) {
        _ if exchanged => {}
        Credential::Good => {}
        Credential::Expired => {
            return Some(errors(
                StatusCode::FORBIDDEN,
                "DENIED",
                "Your authorization token has expired. Reauthenticate and try again.",
            ));
        }
        Credential::Invalid => {
            return Some(errors(
                StatusCode::FORBIDDEN,
                "DENIED",
                "Your Authorization Token is invalid.",
            ));
        }
    }
    exchange.then(|| reply(StatusCode::OK, "application/json", br#"{"token":"sandbox"}"#.to_vec()))
}

/// The sandbox's own images, for whoever was admitted.
fn route(head: &Parts, body: &[u8], world: &World) -> io::Result<Answer> {
    let path = head.uri.path();
    if path == "/v2/" {
        return Ok(reply(StatusCode::OK, "text/plain", Vec::new()));
    }
    let Some((repository, what, wanted)) = parts(path) else {
        return Ok(errors(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such page"));
    };
    let Some(kept) = world.repositories.get(repository) else {
        let account = world.host.split('.').next().unwrap_or_default();
        return Ok(errors(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            &format!(
                "The repository with name '{repository}' does not exist in the registry with id '{account}'"
            ),
        ));
    };
    let at = match (&head.method, what) {
        (&Method::POST, _) => At::UploadStart,
        (&Method::PATCH, _) => At::UploadPart,
        (&Method::PUT, "blobs") => At::UploadComplete,
        (&Method::PUT, _) => At::ManifestPut,
        (&Method::DELETE, _) => At::ManifestDelete,
        (&Method::HEAD, "blobs") => At::BlobCheck,
        (_, "blobs") => At::Blob,
        _ if wanted.starts_with("sha256:") => At::Digest,
        _ => At::Tag,
    };
    let arn = format!("arn:aws:ecr:eu-west-1:123456789012:repository/{repository}");
    let refusals = world.refusals();
    let refusal = refusals.iter().filter_map(|name| refusals::named(name, &arn));
    if let Some(refusal) = refusal.into_iter().find(|refusal| refusal.at == at) {
        let sent = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let body = refusal.body.replace("AUTHORIZATION", sent.unwrap_or_default());
        return Ok(reply(refusal.status, refusal.kind, body.into_bytes()));
    }
    if ![Method::GET, Method::HEAD].contains(&head.method) {
        let change = Change {
            method: &head.method,
            repository,
            rest: path.strip_prefix(&format!("/v2/{repository}/")).unwrap_or_default(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body,
        };
        return uploads::answer(&change, world);
    }
    let pushed = world.pushed(|pushed| pushed.manifest(repository, wanted).cloned());
    Ok(match what {
        "tags" => {
            let tags: Vec<&String> =
                kept.manifests.keys().filter(|name| !name.starts_with("sha256:")).collect();
            let list = serde_json::json!({ "name": repository, "tags": tags });
            reply(StatusCode::OK, "application/json", list.to_string().into_bytes())
        }
        "manifests" => match kept.manifests.get(wanted) {
            Some((kind, bytes)) => manifest(kind, bytes, world),
            None if pushed.is_some() => manifest(MANIFEST_TYPE, &pushed.unwrap_or_default(), world),
            None => errors(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found"),
        },
        _ if world.blob(wanted).is_none() => {
            errors(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
        }
        _ if head.method == Method::HEAD => {
            reply(StatusCode::OK, "application/octet-stream", Vec::new())
        }
        _ => redirect(wanted, world),
    })
}

/// Repository, `manifests` or `blobs` or `tags`, and what of it.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let rest = path.strip_prefix("/v2/")?;
    if let Some((repository, session)) = rest.split_once("/blobs/uploads/") {
        return Some((repository, "blobs", session));
    }
    let (rest, wanted) = rest.rsplit_once('/')?;
    let (repository, what) = rest.rsplit_once('/')?;
    ["manifests", "blobs", "tags"].contains(&what).then_some((repository, what, wanted))
}

fn manifest(kind: &'static str, bytes: &[u8], world: &World) -> Answer {
    let mut body = bytes.to_vec();
    if world.has(Fault::TamperedManifest) {
        body.push(b'\n');
    }
    let mut answer = reply(StatusCode::OK, kind, body);
    if let Ok(found) = HeaderValue::from_str(&digest(bytes)) {
        answer.headers_mut().insert(HeaderName::from_static("docker-content-digest"), found);
    }
    answer
}

/// As ECR does: 307 to a URL that is signed.
fn redirect(wanted: &str, world: &World) -> Answer {
    let mut answer = reply(StatusCode::TEMPORARY_REDIRECT, "text/plain", Vec::new());
    let scheme = if world.has(Fault::PlainRedirect) { "http" } else { "https" };
    let storage = if world.has(Fault::StorageGone) { "127.0.0.1:1" } else { &world.storage };
    let signature = digest(format!("{wanted} signed").as_bytes());
    let signature = signature.trim_start_matches("sha256:");
    let to = format!(
        "{scheme}://{storage}/{wanted}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={signature}"
    );
    if let Ok(to) = HeaderValue::from_str(&to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

pub(super) fn errors(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    reply(status, "application/json; charset=utf-8", body.to_string().into_bytes())
}

pub(super) fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let version = HeaderValue::from_static("registry/2.0");
    answer
        .headers_mut()
        .insert(HeaderName::from_static("docker-distribution-api-version"), version);
    answer
}
