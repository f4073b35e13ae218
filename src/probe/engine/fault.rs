//! What an engine's words mean. Engines say one thing for several causes and bury the registry's
//! own words in theirs, so this looks for what is certain first. Pure.

use super::Words;
use crate::{
    model::{outcome::Problem, reason::Reason},
    probe::{denial::Denial, diagnosis::reason_of_denial},
};

/// A failure with its reason.
pub fn problem(words: &Words, layers: bool) -> Problem {
    let known = words
        .code
        .as_deref()
        .and_then(|code| Reason::ALL.iter().find(|reason| reason.code() == code).copied());
    Problem::new(known.unwrap_or_else(|| reason_of(&words.words, layers)), words.words.clone())
}

/// The reason in an engine's words; `layers` if it had the manifest already.
pub fn reason_of(words: &str, layers: bool) -> Reason {
    if let Some(denial) = Denial::parse(words) {
        let layers = layers || denial.action.as_deref() == Some("ecr:GetDownloadUrlForLayer");
        return reason_of_denial(&denial, layers);
    }
    let lower = words.to_lowercase();
    let found = WORDS.iter().find(|(all, _)| all.iter().all(|one| lower.contains(one)));
    found.map_or(Reason::EngineRefused, |(_, reason)| *reason)
}

/// What is in the words, in lower case, and what it means: the first that fits counts.
const WORDS: &[(&[&str], Reason)] = &[
    (&["authorization token has expired"], Reason::TokenExpired),
    (&["authorization token is invalid"], Reason::TokenRefused),
    (&["security token included"], Reason::TokenPrincipalGone),
    (&["a host before that answered not found"], Reason::ImageMissing),
    (&["no basic auth credentials"], Reason::CredentialMissing),
    (&["proxyconnect"], Reason::ProxyRefused),
    (&["proxy authentication required"], Reason::ProxyRefused),
    (&["no space left on device"], Reason::EngineDiskFull),
    (&["disk quota exceeded"], Reason::EngineDiskFull),
    // S3's XML, which docker can't read and therefore quotes.
    (&["<code>accessdenied</code>", "has expired"], Reason::StorageUrlExpired),
    (&["<code>accessdenied</code>"], Reason::StorageDenied),
    (&["<code>kms."], Reason::KmsKeyUnusable),
    (&["<code>slowdown</code>"], Reason::Throttled),
    (&["only one auth mechanism"], Reason::StorageRejected),
    (&["invalid character '<'"], Reason::ManifestUnreadable),
    (&["x509", "unknown authority"], Reason::TlsUntrusted),
    (&["x509", "not yet valid", "is before"], Reason::TlsNotYetValid),
    (&["x509", "has expired"], Reason::TlsExpired),
    (&["x509", "is valid for"], Reason::TlsWrongName),
    (&["x509", "not valid for"], Reason::TlsWrongName),
    (&["x509", "doesn't contain any ip sans"], Reason::TlsWrongName),
    (&["x509"], Reason::TlsUntrusted),
    (&["http response to https client"], Reason::TlsHandshakeFailed),
    (&["tls: "], Reason::TlsHandshakeFailed),
    (&["tls handshake"], Reason::TlsHandshakeFailed),
    (&["no such host"], Reason::NameNotFound),
    (&["server misbehaving"], Reason::ResolverFailing),
    (&["lookup ", "i/o timeout"], Reason::ResolverFailing),
    (&["temporary failure in name resolution"], Reason::ResolverFailing),
    (&["connection refused"], Reason::ConnectionRefused),
    (&["connection reset"], Reason::ConnectionBroken),
    (&["no route to host"], Reason::ConnectionTimeout),
    (&["network is unreachable"], Reason::ConnectionTimeout),
    (&["dial tcp", "i/o timeout"], Reason::ConnectionTimeout),
    (&["while waiting for connection"], Reason::ConnectionTimeout),
    (&["no progress in"], Reason::TransferStalled),
    (&["toomanyrequests"], Reason::Throttled),
    (&["too many requests"], Reason::Throttled),
    (&["no matching manifest"], Reason::PlatformMissing),
    (&["no match for platform"], Reason::PlatformMissing),
    (&["no image found in image index"], Reason::PlatformMissing),
    (&["unsupported media type"], Reason::ImageUnsupported),
    (&["number of layers and diffids"], Reason::ImageUnsupported),
    (&["verification failed"], Reason::DigestMismatch),
    (&["unexpected commit digest"], Reason::DigestMismatch),
    (&["unexpected eof"], Reason::BodyTruncated),
    (&["name_unknown"], Reason::RepositoryMissing),
    (&["manifest unknown"], Reason::ImageMissing),
    // What docker says of DENIED, MANIFEST_UNKNOWN and NAME_UNKNOWN alike.
    (&["may require 'docker login'"], Reason::EngineDenied),
    (&["401 unauthorized"], Reason::CredentialMissing),
    (&["may require authorization"], Reason::EngineDenied),
    (&["failed to resolve", "not found"], Reason::ImageMissing),
    (&["access to the resource is denied"], Reason::EngineDenied),
    (&["403 forbidden"], Reason::EngineDenied),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_engines_words_have_their_meaning() {
        for (words, layers, expected) in [
            (
                "Get \"https://h/v2/\": x509: certificate signed by unknown authority",
                false,
                "tls_untrusted",
            ),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                false,
                "tls_untrusted",
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is before 2026-02-01T00:00:00Z",
                false,
                "tls_not_yet_valid",
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-03-01T00:00:00Z is after 2026-02-01T00:00:00Z",
                false,
                "tls_expired",
            ),
            ("x509: certificate is valid for other.example, not h", false, "tls_wrong_name"),
            (
                "Get \"https://h/v2/\": dial tcp: lookup h on 10.0.0.2:53: no such host",
                false,
                "name_not_found",
            ),
            (
                "Get \"https://h/v2/\": dial tcp: lookup h on 10.0.0.2:53: read udp: i/o timeout",
                false,
                "resolver_failing",
            ),
            (
                "Get \"https://h/v2/\": dial tcp 10.0.0.9:443: connect: connection refused",
                false,
                "connection_refused",
            ),
            (
                "Get \"https://h/v2/\": dial tcp 10.0.0.9:443: i/o timeout",
                false,
                "connection_timeout",
            ),
            (
                "Get \"https://h/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
                false,
                "connection_timeout",
            ),
            (
                "Get \"https://h/v2/\": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused",
                false,
                "proxy_refused",
            ),
            (
                "Head \"https://h/v2/app/manifests/1\": no basic auth credentials",
                false,
                "credential_missing",
            ),
            (
                "denied: Your authorization token has expired. Reauthenticate and try again.",
                false,
                "token_expired",
            ),
            (
                "pull access denied for h/app, repository does not exist or may require 'docker login': denied: User: arn:aws:sts::2:assumed-role/h/i is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:r:1:repository/app because no resource-based policy allows the ecr:BatchGetImage action",
                false,
                "resource_policy_or_repository",
            ),
            (
                "denied: User: arn:aws:sts::2:assumed-role/h/i is not authorized to perform: ecr:GetDownloadUrlForLayer on resource: x because no identity-based policy allows it",
                false,
                "partial_grant",
            ),
            (
                "pull access denied for h/app, repository does not exist or may require 'docker login'",
                false,
                "engine_denied",
            ),
            (
                "manifest for h/app:1 not found: manifest unknown: Requested image not found",
                false,
                "image_missing",
            ),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                false,
                "platform_missing",
            ),
            (
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                true,
                "engine_disk_full",
            ),
            ("filesystem layer verification failed for digest sha256:aa", true, "digest_mismatch"),
            (
                "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: \"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>\"",
                true,
                "storage_denied",
            ),
            (
                "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: \"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>\"",
                true,
                "storage_url_expired",
            ),
            (
                "error parsing HTTP 200 response body: invalid character '<' looking for beginning of value: \"<html>Sign in</html>\"",
                false,
                "manifest_unreadable",
            ),
            ("unexpected EOF", true, "body_truncated"),
            ("toomanyrequests: Rate exceeded", false, "throttled"),
            (
                "ctr: pulling from host h failed with status code [manifests 1]: 403 Forbidden",
                false,
                "engine_denied",
            ),
            (
                "ctr: pulling from host h failed with status code [manifests 1]: 401 Unauthorized",
                false,
                "credential_missing",
            ),
            (
                "ctr: pulling from host h failed with status code [manifests 1]: 401 Unauthorized; a host before that answered not found",
                false,
                "image_missing",
            ),
            (
                "ctr: failed to resolve reference \"h/app:1\": h/app:1: not found",
                false,
                "image_missing",
            ),
            ("something new", false, "engine_refused"),
            ("", false, "engine_refused"),
        ] {
            assert_eq!(reason_of(words, layers).code(), expected, "{words}");
        }
    }

    #[test]
    fn no_pattern_is_hidden_by_one_before_it() {
        for (at, (all, reason)) in WORDS.iter().enumerate() {
            let words = all.join(" ");
            let first =
                WORDS.iter().position(|(other, _)| other.iter().all(|one| words.contains(one)));
            let hidden = first.filter(|first| *first != at && WORDS[*first].1 != *reason);
            assert_eq!(hidden, None, "{words}");
            assert!(all.iter().all(|one| *one == one.to_lowercase()), "{words}");
        }
    }

    proptest! {
        #[test]
        fn no_words_make_it_fail(words in "\\PC{0,120}") {
            let _ = reason_of(&words, true);
        }
    }
}
