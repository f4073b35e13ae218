//! The confusion table: what was provoked against what was named. It is printed
//! (`cargo test --test probe confusion -- --nocapture`), and nothing in it may be confused.
//!
//! Numbers are those of the list of causes that the diagnosis was made from. Not here: 1 to 3 and 5
//! (the metadata service, AssumeRole) are the identity's and are told by it; 8 to 10 and 12 (the
//! resolver, timeouts, routes) are diagnosed from capsules in the unit tests, since they need a
//! network that is broken; 38 is the engines' and 42 to 44 are the push's, with tests of their own.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use ecr_warden::{model::image::Platform, probe::Depth, sandbox::Certificate};

use super::bench::{Ask, Bench, code, lacking, proxy};

/// How a cause is brought about.
enum How {
    /// The registry or its storage refuses in these words.
    Refusal(&'static str),
    /// Something goes wrong with bytes or connections.
    Fault(&'static str, Depth),
    /// The image itself.
    Image(&'static str, &'static str),
    /// The certificate.
    Certificate(Certificate, bool),
    /// There is no token, for this reason.
    NoToken(&'static str),
    /// The token expired and is so many hours old, of this region.
    Token(Option<(i64, &'static str)>),
    /// A proxy that lets hosts through that begin like this.
    Proxy(&'static str),
    /// Nobody listens.
    Closed,
    /// The storage's clock and words disagree with this host's.
    Skew,
    /// So few milliseconds for a body that stands still.
    Hurry(u64),
}

use How::{Closed, Fault, Hurry, Image, NoToken, Proxy, Refusal, Skew, Token};

/// Number, cause, how, and the code that it must be given.
const ROWS: &[(u8, &str, How, &str)] = &[
    (4, "clock wrong", Skew, "clock_skew"),
    (6, "token denied", NoToken("permission_missing"), "permission_missing"),
    (7, "token throttled", NoToken("throttled"), "throttled"),
    (11, "connection refused", Closed, "connection_refused"),
    (11, "hung up", Fault("hang-up", Depth::Manifest), "connection_broken"),
    (13, "API endpoint missing", NoToken("aws_unreachable"), "api_endpoint_missing"),
    (14, "proxy refuses the registry", Proxy("nobody"), "proxy_refused"),
    (14, "proxy refuses the storage", Proxy("localhost"), "proxy_refused"),
    (15, "unknown authority", How::Certificate(Certificate::Good, false), "tls_untrusted"),
    (16, "certificate expired", How::Certificate(Certificate::Expired, true), "tls_expired"),
    (
        16,
        "certificate of tomorrow",
        How::Certificate(Certificate::NotYetValid, true),
        "tls_not_yet_valid",
    ),
    (
        17,
        "certificate of another",
        How::Certificate(Certificate::WrongName, true),
        "tls_wrong_name",
    ),
    (18, "no credential", Fault("challenge", Depth::Manifest), "credential_missing"),
    (19, "token expired", Token(Some((13, "eu-west-1"))), "token_expired"),
    (19, "token expired, age unknown", Token(None), "token_expired"),
    (19, "young token refused", Token(Some((0, "eu-west-1"))), "token_refused"),
    (20, "token of another region", Token(Some((0, "us-east-1"))), "token_wrong_region"),
    (21, "principal gone", Refusal("principal"), "token_principal_gone"),
    (22, "identity policy", Refusal("identity"), "identity_policy"),
    (23, "resource policy", Refusal("resource"), "resource_policy_or_repository"),
    (24, "explicit deny of an SCP", Refusal("scp"), "explicit_deny"),
    (24, "boundary does not allow", Refusal("boundary"), "access_denied"),
    (24, "denied without saying why", Refusal("denied"), "access_denied"),
    (25, "layers not in the identity policy", Refusal("layer-identity"), "partial_grant"),
    (25, "layers not in the resource policy", Refusal("layer-resource"), "partial_grant"),
    (26, "VPC endpoint policy", Refusal("endpoint"), "vpc_endpoint_policy"),
    (27, "storage's endpoint policy", Refusal("s3-denied"), "storage_denied"),
    (28, "storage not reached", Fault("storage-gone", Depth::FirstByte), "storage_unreachable"),
    (29, "organization blocks", Refusal("organization"), "organization_policy"),
    (30, "KMS at the registry", Refusal("kms"), "kms_key_unusable"),
    (30, "KMS at the storage", Refusal("s3-kms"), "kms_key_unusable"),
    (31, "repository missing", Image("app/none:1", "linux/amd64"), "repository_missing"),
    (32, "image missing", Image("app/multi:2", "linux/amd64"), "image_missing"),
    (33, "image archived", Refusal("archived"), "image_archived"),
    (
        34,
        "child of the index missing",
        Image("app/childless:1", "linux/amd64"),
        "index_child_missing",
    ),
    (35, "platform not in the index", Image("app/multi:1", "linux/s390x"), "platform_missing"),
    (35, "single image of another platform", Image("app/web:1", "linux/arm64"), "platform_missing"),
    (36, "schema 1", Image("app/schema1:1", "linux/amd64"), "image_unsupported"),
    (36, "unknown media type", Image("app/odd:1", "linux/amd64"), "image_unsupported"),
    (
        36,
        "layers and diff ids differ",
        Image("app/unmatched:1", "linux/amd64"),
        "image_unsupported",
    ),
    (37, "manifest tampered with", Fault("tampered-manifest", Depth::Manifest), "digest_mismatch"),
    (37, "layer tampered with", Fault("tampered", Depth::Full), "digest_mismatch"),
    (37, "layer cut off", Fault("truncated", Depth::Full), "body_truncated"),
    (39, "registry throttles", Refusal("throttled"), "throttled"),
    (39, "storage says SlowDown", Refusal("s3-slow"), "throttled"),
    (40, "bytes stop", Fault("stall", Depth::Full), "transfer_stalled"),
    (40, "bytes stop until time is up", Hurry(300), "probe_deadline"),
    (41, "upstream denies", Refusal("upstream"), "upstream_failing"),
    (41, "upstream's rate limit", Refusal("upstream-limit"), "upstream_failing"),
    (0, "invalid reference", Refusal("reference"), "reference_invalid"),
    (0, "captive portal", Refusal("portal"), "manifest_unreadable"),
    (0, "registry's own error", Refusal("broken"), "registry_unhealthy"),
    (0, "layer gone at the registry", Refusal("layer-gone"), "layer_missing"),
    (0, "layer gone at the storage", Refusal("s3-gone"), "layer_missing"),
    (0, "signed URL expired", Refusal("s3-expired"), "storage_url_expired"),
    (0, "second credential at the storage", Refusal("s3-auth"), "storage_rejected"),
    (0, "redirect to plain HTTP", Fault("plain-redirect", Depth::FirstByte), "redirect_unusable"),
];

/// Provokes one and says what it was called.
async fn named(how: &How) -> &'static str {
    let certificate = match how {
        How::Certificate(certificate, _) => *certificate,
        _ => Certificate::Good,
    };
    let bench = Bench::with(certificate).await;
    let mut ask = bench.ask();
    match how {
        Refusal(name) => bench.refusal(name).await,
        Fault(name, depth) => {
            bench.fault(name).await;
            ask.depth = *depth;
        }
        Image(path, platform) => {
            ask.image = bench.image(path);
            ask.platform = Platform::parse(platform).unwrap();
        }
        How::Certificate(_, trusted) => ask.trusted = *trusted,
        NoToken(code) => ask.no_token = Some(lacking(code)),
        Token(minted) => {
            bench.post("/_sandbox/expire", "").await;
            ask.minted = *minted;
        }
        Proxy(allowed) => {
            let allowed = (*allowed).to_owned();
            let (address, _) = proxy(move |target| target.starts_with(&allowed)).await;
            ask.proxy = Some(format!("http://{address}"));
        }
        Closed => {
            let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            ask.image = format!("localhost:{}/app/web:1", closed.port());
        }
        Skew => {
            bench.fault("storage-skew").await;
            bench.refusal("s3-expired").await;
        }
        Hurry(millis) => {
            bench.fault("stall").await;
            ask = Ask { timeout: Duration::from_millis(*millis), ..ask };
        }
    }
    code(&bench.diagnose(&ask).await)
}

#[tokio::test]
async fn the_confusion_table_has_nothing_off_its_diagonal() {
    let mut table =
        String::from("  nr  provoked                           named                          \n");
    let mut wrong = Vec::new();
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, cause, how, expected) in ROWS {
        let named = named(how).await;
        *reasons.entry(named).or_default() += 1;
        let mark = if named == *expected { "" } else { "  <- should be " };
        let should = if named == *expected { "" } else { expected };
        let number = if *number == 0 { String::new() } else { number.to_string() };
        let _ = writeln!(table, "  {number:>2}  {cause:<33}  {named}{mark}{should}");
        if named != *expected {
            wrong.push(format!("{cause}: {named} instead of {expected}"));
        }
    }
    println!(
        "{table}  {} causes provoked, {} reasons named, {} confused",
        ROWS.len(),
        reasons.len(),
        wrong.len()
    );
    assert_eq!(wrong, [""; 0]);
}
