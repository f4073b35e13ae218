//! Test pulls against the sandbox: each cause is provoked, and must be named.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

mod bench;
mod confusion;

use std::time::Duration;

use ecr_warden::{
    model::{image::Platform, outcome::Verdict},
    oci::{phases::Hop, phases::Phase},
    probe::{
        Depth,
        capsule::{Capsule, NoToken, Stop},
        denial::PolicyKind,
        diagnosis::diagnose,
    },
    sandbox::Certificate,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use self::bench::{Ask, Bench, code, proxy, stage};

#[tokio::test]
async fn an_image_that_can_be_pulled_is_pulled_as_deep_as_asked_and_no_deeper() {
    let bench = Bench::new().await;
    for (depth, requests, bytes) in
        [(Depth::Manifest, 4, 0), (Depth::FirstByte, 6, 1), (Depth::Full, 10, 320_001)]
    {
        let capsule = bench.pull(&Ask { depth, ..bench.ask() }).await;
        assert_eq!(code(&diagnose(&capsule)), "ok", "{capsule:#?}");
        assert_eq!(capsule.reached, Some(depth));
        // Index, manifest, configuration (registry and storage), then two for each blob.
        assert_eq!(capsule.exchanges.len(), requests, "{depth:?}");
        let layers = capsule.exchanges.iter().filter(|exchange| exchange.step.word() == "layer");
        let came: u64 = layers
            .filter(|exchange| exchange.hop == Hop::Storage)
            .map(|exchange| exchange.received)
            .sum();
        assert_eq!(came, bytes, "{depth:?}");
    }
    let single = Ask {
        image: bench.image("app/web:1"),
        platform: Platform::parse("linux/amd64").unwrap(),
        ..bench.ask()
    };
    assert_eq!(code(&bench.diagnose(&single).await), "ok");
}

#[tokio::test]
async fn a_credential_never_leaves_the_registrys_origin_and_every_phase_is_timed() {
    let bench = Bench::new().await;
    let capsule = bench.pull(&bench.ask()).await;
    for exchange in &capsule.exchanges {
        assert_eq!(exchange.credential, exchange.hop == Hop::Registry, "{exchange:?}");
    }
    let first = &capsule.exchanges[0].timings;
    for phase in [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Processing] {
        assert!(first.seconds(phase).is_some(), "{phase:?}");
    }
    // The connection is used again: there is nothing to resolve, and nothing is said to be.
    assert_eq!(capsule.exchanges[1].timings.seconds(Phase::Connect), None);
}

#[tokio::test]
async fn ecr_publics_bearer_challenge_is_answered() {
    let bench = Bench::new().await;
    bench.fault("bearer").await;
    let capsule = bench.pull(&bench.ask()).await;
    assert_eq!(code(&diagnose(&capsule)), "ok", "{capsule:#?}");
}

#[tokio::test]
async fn each_refusal_of_the_registry_and_its_storage_is_named() {
    let bench = Bench::new().await;
    for (refusal, expected, at) in [
        ("identity", "identity_policy", "manifest"),
        ("resource", "resource_policy_or_repository", "manifest"),
        ("scp", "explicit_deny", "manifest"),
        ("boundary", "access_denied", "manifest"),
        ("endpoint", "vpc_endpoint_policy", "manifest"),
        ("layer-identity", "partial_grant", "layer_url"),
        ("layer-resource", "partial_grant", "layer_url"),
        ("denied", "access_denied", "manifest"),
        ("organization", "organization_policy", "manifest"),
        ("principal", "token_principal_gone", "auth"),
        ("kms", "kms_key_unusable", "manifest"),
        ("upstream", "upstream_failing", "manifest"),
        ("upstream-limit", "upstream_failing", "manifest"),
        ("throttled", "throttled", "manifest"),
        ("broken", "registry_unhealthy", "manifest"),
        ("archived", "image_archived", "manifest"),
        ("reference", "reference_invalid", "manifest"),
        ("portal", "manifest_unreadable", "manifest"),
        ("layer-gone", "layer_missing", "layer_url"),
        ("s3-denied", "storage_denied", "storage"),
        ("s3-expired", "storage_url_expired", "storage"),
        ("s3-kms", "kms_key_unusable", "storage"),
        ("s3-slow", "throttled", "storage"),
        ("s3-auth", "storage_rejected", "storage"),
        ("s3-gone", "layer_missing", "storage"),
    ] {
        bench.refusal(refusal).await;
        let diagnosis = bench.diagnose(&bench.ask()).await;
        assert_eq!(
            (code(&diagnosis), stage(&diagnosis)),
            (expected, at),
            "{refusal}: {diagnosis:?}"
        );
    }
}

#[tokio::test]
async fn a_denial_comes_with_its_action_and_a_statement_for_the_right_account() {
    let bench = Bench::new().await;
    for (refusal, action, policy, account, key) in [
        ("identity", "ecr:BatchGetImage", PolicyKind::Identity, "210987654321", "Resource"),
        ("resource", "ecr:BatchGetImage", PolicyKind::Resource, "123456789012", "Principal"),
        (
            "layer-resource",
            "ecr:GetDownloadUrlForLayer",
            PolicyKind::Resource,
            "123456789012",
            "Principal",
        ),
        ("endpoint", "ecr:BatchGetImage", PolicyKind::Endpoint, "210987654321", "Resource"),
        ("s3-denied", "s3:GetObject", PolicyKind::Endpoint, "210987654321", "Resource"),
    ] {
        bench.refusal(refusal).await;
        let diagnosis = bench.diagnose(&bench.ask()).await;
        assert_eq!(diagnosis.action.as_deref(), Some(action), "{refusal}");
        assert_eq!(diagnosis.policy, Some(policy), "{refusal}");
        let statement = diagnosis.statement.expect(refusal);
        assert_eq!(statement.account.as_deref(), Some(account), "{refusal}");
        assert!(statement.statement.get(key).is_some(), "{refusal}: {statement:?}");
    }
    bench.refusal("scp").await;
    let diagnosis = bench.diagnose(&bench.ask()).await;
    assert_eq!(diagnosis.policy, Some(PolicyKind::ServiceControl));
    assert_eq!(diagnosis.statement, None, "no allow lifts an explicit deny");
}

#[tokio::test]
async fn what_is_wrong_with_an_image_is_named() {
    let bench = Bench::new().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    for (path, platform, expected) in [
        ("app/none:1", "linux/amd64", "repository_missing"),
        ("app/multi:2", "linux/amd64", "image_missing"),
        (&format!("app/multi@{digest}"), "linux/amd64", "image_missing"),
        ("app/childless:1", "linux/amd64", "index_child_missing"),
        ("app/multi:1", "linux/s390x", "platform_missing"),
        ("app/web:1", "linux/arm64", "platform_missing"),
        ("app/schema1:1", "linux/amd64", "image_unsupported"),
        ("app/odd:1", "linux/amd64", "image_unsupported"),
        ("app/unmatched:1", "linux/amd64", "image_unsupported"),
    ] {
        let platform = Platform::parse(platform).unwrap();
        let ask = Ask { image: bench.image(path), platform, ..bench.ask() };
        assert_eq!(code(&bench.diagnose(&ask).await), expected, "{path}");
    }
}

#[tokio::test]
async fn what_goes_wrong_with_bytes_is_named() {
    let bench = Bench::new().await;
    for (fault, depth, expected) in [
        ("tampered-manifest", Depth::Manifest, "digest_mismatch"),
        ("tampered", Depth::Full, "digest_mismatch"),
        ("truncated", Depth::Full, "body_truncated"),
        ("stall", Depth::Full, "transfer_stalled"),
        ("hang-up", Depth::Manifest, "connection_broken"),
        ("storage-gone", Depth::FirstByte, "storage_unreachable"),
        ("plain-redirect", Depth::FirstByte, "redirect_unusable"),
        ("challenge", Depth::Manifest, "credential_missing"),
    ] {
        bench.fault(fault).await;
        let diagnosis = bench.diagnose(&Ask { depth, ..bench.ask() }).await;
        assert_eq!(code(&diagnosis), expected, "{fault}: {diagnosis:?}");
    }
    bench.fault("stall").await;
    let hurried = Ask { timeout: Duration::from_millis(300), ..bench.ask() };
    let diagnosis = bench.diagnose(&hurried).await;
    assert_eq!((code(&diagnosis), stage(&diagnosis)), ("probe_deadline", "storage"));
}

#[tokio::test]
async fn an_expired_url_is_the_clocks_fault_when_the_clock_is_wrong() {
    let bench = Bench::new().await;
    bench.fault("storage-skew").await;
    bench.refusal("s3-expired").await;
    assert_eq!(code(&bench.diagnose(&bench.ask()).await), "clock_skew");
}

#[tokio::test]
async fn a_refused_token_is_told_by_what_is_known_of_it() {
    let bench = Bench::new().await;
    bench.post("/_sandbox/expire", "").await;
    for (minted, expected) in [
        (None, "token_expired"),
        (Some((13, "eu-west-1")), "token_expired"),
        (Some((0, "eu-west-1")), "token_refused"),
        (Some((0, "us-east-1")), "token_wrong_region"),
    ] {
        let diagnosis = bench.diagnose(&Ask { minted, ..bench.ask() }).await;
        assert_eq!((code(&diagnosis), stage(&diagnosis)), (expected, "auth"), "{minted:?}");
    }
    bench.post("/_sandbox/forget", "").await;
    let young = Ask { minted: Some((0, "us-east-1")), ..bench.ask() };
    assert_eq!(code(&bench.diagnose(&young).await), "token_wrong_region");
}

#[tokio::test]
async fn without_a_token_the_registry_still_tells_where_the_fault_is() {
    let bench = Bench::new().await;
    let lacking = |code: &str| NoToken { code: code.into(), detail: "seen".into() };
    let ask = Ask { no_token: Some(lacking("aws_unreachable")), ..bench.ask() };
    assert_eq!(code(&bench.diagnose(&ask).await), "api_endpoint_missing");
    let ask = Ask { no_token: Some(lacking("permission_missing")), ..bench.ask() };
    let diagnosis = bench.diagnose(&ask).await;
    assert_eq!(code(&diagnosis), "permission_missing");
    assert_eq!(diagnosis.action.as_deref(), Some("ecr:GetAuthorizationToken"));
    let ask = Ask { no_token: Some(lacking("throttled")), ..bench.ask() };
    assert!(matches!(bench.diagnose(&ask).await.verdict, Verdict::Unknown(_)));
}

#[tokio::test]
async fn a_certificate_is_told_what_is_wrong_with_it() {
    for (certificate, trusted, expected) in [
        (Certificate::Good, false, "tls_untrusted"),
        (Certificate::Expired, true, "tls_expired"),
        (Certificate::NotYetValid, true, "tls_not_yet_valid"),
        (Certificate::WrongName, true, "tls_wrong_name"),
    ] {
        let bench = Bench::with(certificate).await;
        let diagnosis = bench.diagnose(&Ask { trusted, ..bench.ask() }).await;
        assert_eq!((code(&diagnosis), stage(&diagnosis)), (expected, "tls"), "{certificate:?}");
    }
}

#[tokio::test]
async fn a_registry_that_nobody_reaches_is_told_by_how_it_is_not_reached() {
    let bench = Bench::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talker = plain.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"220 mail.example ready\r\n").await;
        }
    });
    for (host, expected) in [
        (format!("localhost:{}", closed.port()), "connection_refused"),
        (format!("localhost:{}", talker.port()), "tls_handshake_failed"),
    ] {
        let ask = Ask { image: format!("{host}/app/web:1"), ..bench.ask() };
        assert_eq!(code(&bench.diagnose(&ask).await), expected, "{host}");
    }
}

#[tokio::test]
async fn a_proxy_must_allow_both_hosts_and_the_one_that_it_refuses_is_named() {
    let bench = Bench::new().await;
    let (address, asked) = proxy(|_| true).await;
    let ask = Ask { proxy: Some(format!("http://{address}")), ..bench.ask() };
    assert_eq!(code(&bench.diagnose(&ask).await), "ok");
    let hosts = asked.lock().unwrap().join(" ");
    assert!(hosts.contains("localhost:") && hosts.contains("127.0.0.1:"), "{hosts}");

    let (address, _) = proxy(|target| target.starts_with("localhost")).await;
    let ask = Ask { proxy: Some(format!("http://{address}")), ..bench.ask() };
    let diagnosis = bench.diagnose(&ask).await;
    assert_eq!((code(&diagnosis), diagnosis.hop), ("proxy_refused", Some(Hop::Storage)));
    let (address, _) = proxy(|_| false).await;
    let ask = Ask { proxy: Some(format!("http://{address}")), ..bench.ask() };
    let diagnosis = bench.diagnose(&ask).await;
    assert_eq!((code(&diagnosis), diagnosis.hop), ("proxy_refused", Some(Hop::Registry)));
}

#[tokio::test]
async fn a_capsule_of_another_version_or_shape_is_refused_and_does_not_fail() {
    assert!(Capsule::parse("{\"version\":2}").unwrap_err().to_string().contains("version 2"));
    assert!(Capsule::parse("[]").is_err());
    let bench = Bench::new().await;
    let mut capsule = bench.pull(&bench.ask()).await;
    capsule.stop = Stop::Exchange(9999);
    assert_eq!(code(&diagnose(&capsule)), "manifest_unreadable");
}
