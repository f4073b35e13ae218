//! The registry: ECR's answers, one image, layers by a redirect to storage that refuses a
//! credential as S3 does.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
    },
};

use super::{
    image::{MANIFEST_TYPE, digest},
    world::{Credential, Fault, World},
};

type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub(super) fn answer(
    request: &Request<Incoming>,
    world: &World,
) -> std::future::Ready<Result<Answer, Infallible>> {
    // A HEAD is answered like a GET; hyper leaves the body out and keeps its length.
    std::future::ready(Ok(route(request, world)))
}

fn route(request: &Request<Incoming>, world: &World) -> Answer {
    let path = request.uri().path();
    let credential = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(wanted) = path.strip_prefix("/_storage/") {
        if credential.is_some() {
            return reply(StatusCode::BAD_REQUEST, "application/xml", b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified</Message></Error>".to_vec());
        }
        return blob(wanted, world).map_or_else(
            || {
                reply(
                    StatusCode::NOT_FOUND,
                    "application/xml",
                    b"<Error><Code>NoSuchKey</Code></Error>".to_vec(),
                )
            },
            |bytes| reply(StatusCode::OK, "application/octet-stream", bytes),
        );
    }
    let exchange = path.starts_with("/token/");
    let basic = credential
        .and_then(|value| value.strip_prefix("Basic "))
        .filter(|_| exchange || !world.has(Fault::Bearer));
    let Some(basic) = basic else {
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
        return answer;
    };
    world.called(&format!("registry:{}", if path == "/v2/" { "check" } else { "pull" }));
    match world.judge(basic) {
        Credential::Good => {}
        Credential::Expired => {
            return errors(
                StatusCode::FORBIDDEN,
                "DENIED",
                "Your authorization token has expired. Reauthenticate and try again.",
            );
        }
        Credential::Invalid => {
            return errors(StatusCode::FORBIDDEN, "DENIED", "Your Authorization Token is invalid.");
        }
    }
    if exchange {
        return reply(StatusCode::OK, "application/json", br#"{"token":"sandbox"}"#.to_vec());
    }
    if path == "/v2/" {
        return reply(StatusCode::OK, "text/plain", Vec::new());
    }
    let Some(rest) = path.strip_prefix("/v2/app/web/") else {
        return errors(
            StatusCode::NOT_FOUND,
            "NAME_UNKNOWN",
            "The repository does not exist in the registry",
        );
    };
    if rest == "tags/list" {
        return reply(
            StatusCode::OK,
            "application/json",
            br#"{"name":"app/web","tags":["1"]}"#.to_vec(),
        );
    }
    match rest.split_once('/') {
        Some(("manifests", reference)) => {
            let manifest = world.image.manifest.clone();
            let found = digest(&manifest);
            if ["1", "latest", found.as_str()].contains(&reference) {
                let mut answer = reply(StatusCode::OK, MANIFEST_TYPE, manifest);
                if let Ok(found) = HeaderValue::from_str(&found) {
                    answer
                        .headers_mut()
                        .insert(HeaderName::from_static("docker-content-digest"), found);
                }
                return answer;
            }
            errors(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
        }
        Some(("blobs", wanted)) if blob(wanted, world).is_some() => {
            let mut answer = reply(StatusCode::TEMPORARY_REDIRECT, "text/plain", Vec::new());
            let storage = format!("/_storage/{wanted}?X-Amz-Algorithm=AWS4-HMAC-SHA256");
            if let Ok(storage) = HeaderValue::from_str(&storage) {
                answer.headers_mut().insert(LOCATION, storage);
            }
            answer
        }
        _ => errors(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
    }
}

fn blob(wanted: &str, world: &World) -> Option<Vec<u8>> {
    [&world.image.config, &world.image.layer]
        .into_iter()
        .find(|bytes| digest(bytes) == wanted)
        .cloned()
}

fn errors(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    reply(status, "application/json; charset=utf-8", body.to_string().into_bytes())
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
