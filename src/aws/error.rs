//! The SDK's errors as reasons. Pure.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::model::{outcome::Problem, reason::Reason};

/// SigV4 tolerates a clock that is so many seconds off; the answers say five or fifteen minutes.
const TOLERATED_SKEW: f64 = 240.0;

/// What a failed call means.
pub(super) fn sdk<E>(
    service: &str,
    operation: &str,
    error: &SdkError<E, HttpResponse>,
    skew: f64,
) -> Problem
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (reason, said) = match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or_default();
            let status = answer.raw().status().as_u16();
            let reason = by_code(operation, status, code, message, skew);
            let request = answer.raw().headers().get("x-amzn-requestid").unwrap_or("none");
            (reason, format!("{status} {code}: {message} (request id {request})"))
        }
        SdkError::TimeoutError(_) => (Reason::AwsUnreachable, "no answer in time".to_owned()),
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let reason =
                if status >= 500 { Reason::AwsServerError } else { Reason::AwsAnswerUnreadable };
            (reason, format!("{status}: {}", chain(error)))
        }
        SdkError::DispatchFailure(_) => {
            let words = chain(error);
            (by_words(&words), words)
        }
        _ => (Reason::AwsRejected, chain(error)),
    };
    let clock = if reason == Reason::ClockSkew && skew != 0.0 {
        format!("; this host's clock is {skew:+.0} s off AWS's")
    } else {
        String::new()
    };
    Problem::new(reason, format!("{service} {operation}: {said}{clock}"))
}

/// What failed credentials mean.
pub(super) fn credentials(identity: &str, error: &CredentialsError, skew: f64) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(denied) = inner.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
            let problem = sdk("sts", "AssumeRole", denied, skew);
            return Problem::new(
                problem.reason,
                format!("identity {identity}: {}", problem.detail),
            );
        }
        cause = inner.source();
    }
    let words = chain(error);
    let reason = match error {
        CredentialsError::ProviderTimedOut(_) => Reason::AwsUnreachable,
        CredentialsError::InvalidConfiguration(_) | CredentialsError::ProviderError(_)
            if words.contains("profile")
                && (words.contains("not defined") || words.contains("not found")) =>
        {
            Reason::ProfileMissing
        }
        _ if words.contains("expired") => Reason::CredentialsExpired,
        _ => Reason::CredentialsMissing,
    };
    Problem::new(reason, format!("identity {identity}: {words}"))
}

fn by_code(operation: &str, status: u16, code: &str, message: &str, skew: f64) -> Reason {
    let about_time = ["expired", "not yet current", "earlier than", "later than"];
    match code {
        "RequestTimeTooSkewed" | "RequestExpired" => Reason::ClockSkew,
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "InvalidSignature" => {
            let lower = message.to_lowercase();
            if about_time.iter().any(|words| lower.contains(words)) || skew.abs() > TOLERATED_SKEW {
                Reason::ClockSkew
            } else {
                Reason::CredentialsInvalid
            }
        }
        "ExpiredToken" | "ExpiredTokenException" => Reason::CredentialsExpired,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature" => Reason::CredentialsInvalid,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => match operation {
            "AssumeRole" => Reason::AssumeRoleDenied,
            "LookupEvents" | "ListObjectsV2" | "GetObject" | "ReceiveMessage" | "DeleteMessage" => {
                Reason::AuditPermissionMissing
            }
            _ => Reason::PermissionMissing,
        },
        _ if status == 429
            || code.starts_with("Throttl")
            || ["TooManyRequestsException", "RequestLimitExceeded", "SlowDown"].contains(&code) =>
        {
            Reason::Throttled
        }
        _ if status >= 500 => Reason::AwsServerError,
        _ => Reason::AwsRejected,
    }
}

/// A failed connection, by the words of hyper, rustls and the resolver.
fn by_words(words: &str) -> Reason {
    let lower = words.to_lowercase();
    let any = |list: &[&str]| list.iter().any(|word| lower.contains(word));
    if any(&["dns error", "failed to lookup", "name resolution"]) {
        Reason::NameUnresolved
    } else if any(&["certificate", "unknownissuer"]) {
        Reason::TlsUntrusted
    } else if any(&["proxy", "tunnel"]) {
        Reason::ProxyRefused
    } else {
        Reason::AwsUnreachable
    }
}

/// An error with its causes, in one line, none of them twice.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let text = inner.to_string().replace('\n', " ");
        if !words.iter().any(|earlier| earlier.contains(&text)) {
            words.push(text);
        }
        cause = inner.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_aws_has_its_reason() {
        let ours =
            |status, code, message| by_code("GetAuthorizationToken", status, code, message, 0.0);
        for (status, code, message, reason) in [
            (
                400,
                "ExpiredTokenException",
                "The security token included in the request is expired",
                Reason::CredentialsExpired,
            ),
            (
                400,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                Reason::CredentialsInvalid,
            ),
            (403, "InvalidClientTokenId", "", Reason::CredentialsInvalid),
            (
                400,
                "AccessDeniedException",
                "User: x is not authorized to perform: ecr:GetAuthorizationToken",
                Reason::PermissionMissing,
            ),
            (400, "ThrottlingException", "Rate exceeded", Reason::Throttled),
            (429, "", "", Reason::Throttled),
            (
                400,
                "InvalidSignatureException",
                "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z",
                Reason::ClockSkew,
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "Signature not yet current: 20270101T000000Z is still later than",
                Reason::ClockSkew,
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
                Reason::CredentialsInvalid,
            ),
            (500, "ServerException", "", Reason::AwsServerError),
            (400, "InvalidParameterException", "", Reason::AwsRejected),
        ] {
            assert_eq!(ours(status, code, message), reason, "{code} {message}");
        }
        let reading = by_code("GetObject", 403, "AccessDenied", "", 0.0);
        assert_eq!(reading, Reason::AuditPermissionMissing);
        assert_eq!(by_code("AssumeRole", 403, "AccessDenied", "", 0.0), Reason::AssumeRoleDenied);
        let plain = "The request signature we calculated does not match";
        assert_eq!(by_code("x", 403, "SignatureDoesNotMatch", plain, -900.0), Reason::ClockSkew);
    }

    #[test]
    fn each_failed_connection_has_its_reason() {
        for (words, reason) in [
            (
                "dispatch failure: io error: client error (Connect): dns error: failed to lookup address information",
                Reason::NameUnresolved,
            ),
            (
                "client error (Connect): invalid peer certificate: UnknownIssuer",
                Reason::TlsUntrusted,
            ),
            ("client error (Connect): tunnel error: unsuccessful", Reason::ProxyRefused),
            (
                "client error (Connect): tcp connect error: Connection refused (os error 111)",
                Reason::AwsUnreachable,
            ),
        ] {
            assert_eq!(by_words(words), reason, "{words}");
        }
    }
}
