//! The AWS endpoint: ECR, ECR Public and STS on one address, told apart as AWS tells them.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, DATE, HeaderValue},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    policies, refusals,
    world::{ACCOUNT, Fault, World},
};

pub(super) type Answer = Response<Full<Bytes>>;

const JSON: &str = "application/x-amz-json-1.1";

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    world: Arc<World>,
) -> Result<Answer, std::io::Error> {
    let target = header(&request, "x-amz-target");
    let scope = header(&request, "authorization");
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), 1 << 20).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if path.starts_with("/_sandbox/") {
        return Ok(control(&path, &body, &world));
    }
    if world.has(Fault::Delay) {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    if world.has(Fault::Cut) {
        return Err(std::io::Error::other("cut"));
    }
    let mut answer = route(&target, &scope, &body, &world);
    let ahead =
        if world.has(Fault::Skew) { SignedDuration::from_hours(1) } else { SignedDuration::ZERO };
    let now = Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX);
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = HeaderValue::from_str(&date) {
        answer.headers_mut().insert(DATE, date);
    }
    let request_id = format!("{:08x}-sandbox", fastrand::u32(..));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert("x-amzn-requestid", id);
    }
    Ok(answer)
}

fn header(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn route(target: &str, scope: &str, body: &Bytes, world: &World) -> Answer {
    let Some((service, operation)) = target.rsplit_once('.') else {
        return sts(body, world);
    };
    let public = service.starts_with("Spencer");
    let called = match (public, operation) {
        (true, _) => "ecr-public",
        (false, "LookupEvents") => "cloudtrail",
        (false, _) => "ecr",
    };
    world.called(&format!("{called}:{operation}"));
    if !scope.starts_with("AWS4-HMAC-SHA256") {
        return failure("MissingAuthenticationTokenException", "Missing Authentication Token");
    }
    if world.has(Fault::Skew) {
        return failure(
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T004500Z (20260101T005000Z - 5 min.)",
        );
    }
    if world.has(Fault::Broken) {
        return json_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "__type": "ServerException", "message": "Internal error" }),
        );
    }
    match operation {
        "GetAuthorizationToken" => token(public, world),
        "LookupEvents" => {
            match world.history(|history| history.lookup(body, std::time::Instant::now())) {
                Ok(answer) => json_answer(StatusCode::OK, &answer),
                Err((code, message)) => failure(code, message),
            }
        }
        operation if policies::OPERATIONS.contains(&operation) => {
            policies::answer(operation, scope, body, world)
        }
        other => {
            failure("UnknownOperationException", &format!("the sandbox does not know {other}"))
        }
    }
}

fn token(public: bool, world: &World) -> Answer {
    let who = format!("arn:aws:sts::{ACCOUNT}:assumed-role/host/i-0sandbox");
    if world.has(Fault::Throttle) {
        return failure("ThrottlingException", "Rate exceeded");
    }
    if world.has(Fault::Deny) {
        return failure(
            "AccessDeniedException",
            &format!(
                "User: {who} is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action"
            ),
        );
    }
    let (secret, expires) = world.mint();
    let millis =
        if world.has(Fault::PastExpiry) { 1_000_000_000_000 } else { expires.as_millisecond() };
    // In seconds with three decimals, as ECR writes it.
    let stated = format!("{}.{:03}", millis / 1000, millis % 1000).parse::<serde_json::Number>();
    let stated = stated.map_or(Value::Null, Value::Number);
    let data = json!({
        "authorizationToken": secret, "expiresAt": stated,
        "proxyEndpoint": format!("https://{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"),
    });
    let data = if public { data } else { json!([data]) };
    json_answer(StatusCode::OK, &json!({ "authorizationData": data }))
}

/// The query protocol: form in, XML out.
fn sts(body: &Bytes, world: &World) -> Answer {
    let form = String::from_utf8_lossy(body);
    let action = form.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default();
    world.called(&format!("sts:{action}"));
    let role = if world.has(Fault::NewRole) { "AROANEWSANDBOX" } else { "AROASANDBOX" };
    if world.has(Fault::Skew) {
        return xml(
            StatusCode::FORBIDDEN,
            "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20260101T000000Z is now earlier than 20260101T004500Z</Message></Error></ErrorResponse>",
        );
    }
    match action {
        "GetCallerIdentity" => xml(
            StatusCode::OK,
            &format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/host/i-0sandbox</Arn><UserId>{role}:i-0sandbox</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            ),
        ),
        "AssumeRole" => {
            let expires = Timestamp::now()
                .saturating_add(SignedDuration::from_hours(1))
                .unwrap_or(Timestamp::MAX);
            xml(
                StatusCode::OK,
                &format!(
                    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>{role}:s</AssumedRoleId><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/puller/s</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIASANDBOX{}</AccessKeyId><SecretAccessKey>sandbox</SecretAccessKey><SessionToken>sandbox</SessionToken><Expiration>{expires:.0}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
                    fastrand::u16(..)
                ),
            )
        }
        _ => xml(
            StatusCode::BAD_REQUEST,
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation</Message></Error></ErrorResponse>",
        ),
    }
}

/// `POST /_sandbox/faults` and `/_sandbox/refusals` with a JSON list, `/_sandbox/expire`, `/_sandbox/forget`,
/// `/_sandbox/events` with a list of CloudTrail records; `GET
/// /_sandbox/calls` and `/_sandbox/pushed`.
fn control(path: &str, body: &Bytes, world: &World) -> Answer {
    match path {
        "/_sandbox/faults" => match serde_json::from_slice(body) {
            Ok(faults) => {
                world.set_faults(faults);
                json_answer(StatusCode::OK, &json!({}))
            }
            Err(error) => {
                json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() }))
            }
        },
        "/_sandbox/refusals" => {
            let names: Vec<String> = serde_json::from_slice(body).unwrap_or_default();
            let unknown = names.iter().find(|name| refusals::named(name, "").is_none());
            if let Some(unknown) = unknown {
                return json_answer(StatusCode::BAD_REQUEST, &json!({ "unknown": unknown }));
            }
            world.set_refusals(names);
            json_answer(StatusCode::OK, &json!({}))
        }
        "/_sandbox/expire" | "/_sandbox/forget" => {
            world.end_tokens(path.ends_with("forget"));
            json_answer(StatusCode::OK, &json!({}))
        }
        "/_sandbox/events" => {
            world.history(|history| history.add(serde_json::from_slice(body).unwrap_or_default()));
            json_answer(StatusCode::OK, &json!({}))
        }
        "/_sandbox/pushed" => json_answer(StatusCode::OK, &world.pushed(|pushed| pushed.told())),
        "/_sandbox/calls" => json_answer(StatusCode::OK, &json!(world.calls())),
        _ => json_answer(StatusCode::NOT_FOUND, &json!({})),
    }
}

pub(super) fn account_of(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

pub(super) fn failure(code: &str, message: &str) -> Answer {
    json_answer(StatusCode::BAD_REQUEST, &json!({ "__type": code, "message": message }))
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    reply(status, JSON, body.to_string())
}

fn xml(status: StatusCode, body: &str) -> Answer {
    reply(status, "text/xml", body.to_owned())
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
