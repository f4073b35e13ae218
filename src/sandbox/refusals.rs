//! What ECR and its storage say when they refuse, word for word as far as their words are known: for
//! `POST /_sandbox/refusals` with a JSON list of names. No reason code of ours is among them.

use hyper::StatusCode;

use super::world::ACCOUNT;

/// Which requests it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The manifest or index of a tag.
    Tag,
    /// A manifest by its digest.
    Digest,
    /// A blob, at the registry.
    Blob,
    /// A blob, at the storage.
    Storage,
    /// Whether there is a blob.
    BlobCheck,
    /// The start of an upload.
    UploadStart,
    /// A part of it.
    UploadPart,
    /// Its end.
    UploadComplete,
    /// A manifest that is pushed.
    ManifestPut,
    /// A manifest that is deleted.
    ManifestDelete,
}

/// The actions that a denial is made for by its name: `ACTION/LAYER`.
const ACTIONS: [(&str, At); 8] = [
    ("BatchGetImage", At::Tag),
    ("GetDownloadUrlForLayer", At::Blob),
    ("BatchCheckLayerAvailability", At::BlobCheck),
    ("InitiateLayerUpload", At::UploadStart),
    ("UploadLayerPart", At::UploadPart),
    ("CompleteLayerUpload", At::UploadComplete),
    ("PutImage", At::ManifestPut),
    ("BatchDeleteImage", At::ManifestDelete),
];

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) at: At,
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

const JSON: &str = "application/json; charset=utf-8";
const XML: &str = "application/xml";

/// The refusal of a name, for a repository's ARN.
pub(super) fn named(name: &str, repository: &str) -> Option<Refusal> {
    let json = |at, status: u16, code: &str, message: &str| Refusal {
        at,
        status: StatusCode::from_u16(status).unwrap_or_default(),
        kind: JSON,
        body: serde_json::json!({ "errors": [{ "code": code, "message": message }] }).to_string(),
    };
    let xml = |status: u16, code: &str, message: &str| Refusal {
        at: At::Storage,
        status: StatusCode::from_u16(status).unwrap_or_default(),
        kind: XML,
        body: format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>SANDBOX</RequestId></Error>"
        ),
    };
    let denied = |at, action: &str, tail: &str| {
        json(
            at,
            403,
            "DENIED",
            &format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/host/i-0sandbox is not authorized to perform: {action} on resource: {repository} {tail}"
            ),
        )
    };
    if let Some((action, layer)) = name.split_once('/') {
        let (_, at) = *ACTIONS.iter().find(|(known, _)| *known == action)?;
        let action = format!("ecr:{action}");
        let tail = match layer {
            "identity" => format!("because no identity-based policy allows the {action} action"),
            "resource" => format!("because no resource-based policy allows the {action} action"),
            "endpoint" => format!("because no VPC endpoint policy allows the {action} action"),
            "scp" => "with an explicit deny in a service control policy".to_owned(),
            "rcp" => "with an explicit deny in a resource control policy".to_owned(),
            "session" => format!("because no session policy allows the {action} action"),
            _ => return None,
        };
        return Some(denied(at, &action, &tail));
    }
    let manifest = |tail: &str| denied(At::Tag, "ecr:BatchGetImage", tail);
    Some(match name {
        "identity" => {
            manifest("because no identity-based policy allows the ecr:BatchGetImage action")
        }
        "resource" => {
            manifest("because no resource-based policy allows the ecr:BatchGetImage action")
        }
        "scp" => manifest("with an explicit deny in a service control policy"),
        "boundary" => {
            manifest("because no permissions boundary allows the ecr:BatchGetImage action")
        }
        "endpoint" => {
            manifest("because no VPC endpoint policy allows the ecr:BatchGetImage action")
        }
        // As a proxy does that shows its clients what they sent.
        "echo" => json(At::Tag, 403, "DENIED", "you sent AUTHORIZATION"),
        "s3-echo" => xml(403, "SignatureDoesNotMatch", "you asked for QUERY"),
        "layer-identity" => denied(
            At::Blob,
            "ecr:GetDownloadUrlForLayer",
            "because no identity-based policy allows the ecr:GetDownloadUrlForLayer action",
        ),
        "layer-resource" => denied(
            At::Blob,
            "ecr:GetDownloadUrlForLayer",
            "because no resource-based policy allows the ecr:GetDownloadUrlForLayer action",
        ),
        "denied" => json(At::Tag, 403, "DENIED", "requested access to the resource is denied"),
        "organization" => json(At::Tag, 403, "DENIED", "BlockedByOrganizationPolicy"),
        "principal" => {
            json(At::Tag, 403, "DENIED", "The security token included in the request is invalid")
        }
        "kms" => json(At::Tag, 400, "KmsError", "KmsException: the key is disabled"),
        "upstream" => json(At::Tag, 400, "UNKNOWN", "UpstreamAccessDenied"),
        "upstream-limit" => json(At::Tag, 400, "UNKNOWN", "UpstreamTooManyRequests"),
        "throttled" => json(At::Tag, 429, "TOOMANYREQUESTS", "Rate exceeded"),
        "broken" => Refusal {
            at: At::Tag,
            status: StatusCode::SERVICE_UNAVAILABLE,
            kind: "text/html",
            body: "<html>Service Unavailable</html>".to_owned(),
        },
        "archived" => {
            json(At::Tag, 404, "MANIFEST_UNKNOWN", "The image is archived and must be restored")
        }
        "reference" => Refusal {
            at: At::Tag,
            status: StatusCode::BAD_REQUEST,
            kind: "text/plain",
            body: String::new(),
        },
        "portal" => Refusal {
            at: At::Tag,
            status: StatusCode::OK,
            kind: "text/html",
            body: "<html>Please sign in</html>".to_owned(),
        },
        "immutable" => json(
            At::ManifestPut,
            400,
            "TAG_INVALID",
            "The image tag '1' already exists in the 'app/web' repository and cannot be overwritten because the tag is immutable.",
        ),
        "part-rejected" => json(
            At::UploadPart,
            416,
            "BLOB_UPLOAD_INVALID",
            "First byte of the layer part is 0 instead of 1",
        ),
        "part-throttled" => json(At::UploadPart, 429, "TOOMANYREQUESTS", "Rate exceeded"),
        "part-kms" => json(At::UploadPart, 400, "KmsException", "the key is disabled"),
        "no-deletion" => {
            json(At::ManifestDelete, 405, "UNSUPPORTED", "The operation is unsupported.")
        }
        "layer-gone" => json(At::Blob, 404, "BLOB_UNKNOWN", "blob unknown to registry"),
        "s3-denied" => xml(403, "AccessDenied", "Access Denied"),
        "s3-expired" => xml(403, "AccessDenied", "Request has expired"),
        "s3-kms" => xml(400, "KMS.DisabledException", "The key is disabled"),
        "s3-slow" => xml(503, "SlowDown", "Please reduce your request rate."),
        "s3-auth" => xml(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
        ),
        "s3-gone" => xml(404, "NoSuchKey", "The specified key does not exist."),
        _ => return None,
    })
}
