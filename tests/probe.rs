//! Test pulls against the sandbox: each cause is provoked, and must be named.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ecr_warden::{
    model::{
        image::{ImageRef, Platform},
        outcome::Verdict,
        token::AuthorizationToken,
    },
    oci::{client::Client, connect::Patience, phases::Hop, phases::Phase, trace::Record},
    probe::{
        Depth,
        capsule::{Capsule, NoToken, RegistryFacts, Stop, TokenFacts},
        denial::PolicyKind,
        diagnosis::{Diagnosis, diagnose},
        pull::{Allowance, Plan, pull},
    },
    sandbox::{self, Certificate, Options},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A sandbox and a client that trusts it.
struct Bench {
    folder: tempfile::TempDir,
    aws: SocketAddr,
    registry: SocketAddr,
    token: Option<AuthorizationToken>,
}

/// What a test pull is asked, where it differs from `app/multi:1`, whole.
struct Ask {
    image: String,
    depth: Depth,
    platform: Platform,
    timeout: Duration,
    proxy: Option<String>,
    trusted: bool,
    minted: Option<(i64, &'static str)>,
    no_token: Option<NoToken>,
}

impl Bench {
    async fn with(certificate: Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options {
            aws: loopback,
            registry: loopback,
            hosts: vec!["localhost".to_owned()],
            token_life: Duration::from_secs(3600),
            ca_file: folder.path().join("ca.pem"),
            certificate,
            upstream: None,
        };
        let sandbox = sandbox::start(&options).await.unwrap();
        let (aws, registry) = (sandbox.aws, sandbox.registry);
        let mut bench = Self { folder, aws, registry, token: None };
        let minted = bench.post("/", "{}").await;
        let token = minted["authorizationData"][0]["authorizationToken"].as_str().unwrap();
        bench.token = Some(AuthorizationToken::new(SecretString::from(token)).unwrap());
        bench
    }

    async fn new() -> Self {
        Self::with(Certificate::Good).await
    }

    async fn post(&self, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.aws).await.unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    async fn fault(&self, name: &str) {
        self.post("/_sandbox/faults", &json!([name]).to_string()).await;
    }

    async fn refusal(&self, name: &str) {
        self.post("/_sandbox/refusals", &json!([name]).to_string()).await;
    }

    fn image(&self, path: &str) -> String {
        format!("localhost:{}/{path}", self.registry.port())
    }

    fn ask(&self) -> Ask {
        Ask {
            image: self.image("app/multi:1"),
            depth: Depth::Full,
            platform: Platform::parse("linux/arm64").unwrap(),
            timeout: Duration::from_secs(20),
            proxy: None,
            trusted: true,
            minted: None,
            no_token: None,
        }
    }

    async fn pull(&self, ask: &Ask) -> Capsule {
        let ca = ask.trusted.then(|| self.folder.path().join("ca.pem"));
        let proxy = ask.proxy.clone().map(SecretString::from);
        let patience = Patience {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(2),
            stall: Duration::from_secs(1),
            ..Patience::default()
        };
        let client = Arc::new(Client::new(ca.as_deref(), proxy.as_ref()).patient(patience));
        let plan = Plan {
            image: ImageRef::parse(&ask.image).unwrap(),
            depth: ask.depth,
            platform: ask.platform.clone(),
            timeout: ask.timeout,
            allowance: Allowance::default(),
        };
        let (record, began, started) =
            (Arc::new(Record::default()), Instant::now(), Timestamp::now());
        let token = self.token.as_ref().filter(|_| ask.no_token.is_none());
        let pulled = pull(&client, token, &plan, &record).await;
        let capsule = Capsule {
            version: 1,
            program: "test".into(),
            image: ask.image.clone(),
            depth: ask.depth,
            reached: pulled.reached,
            platform: ask.platform.clone(),
            started,
            took: began.elapsed().as_secs_f64(),
            registry: Some(RegistryFacts {
                account: "123456789012".into(),
                region: "eu-west-1".into(),
            }),
            principal: Some("arn:aws:sts::210987654321:assumed-role/host/i-0sandbox".into()),
            token: ask.minted.map(|(hours, region)| TokenFacts {
                minted: started - SignedDuration::from_hours(hours),
                region: region.into(),
            }),
            no_token: ask.no_token.clone(),
            stop: pulled.stop,
            bytes: record.received(),
            layers: pulled.layers,
            exchanges: record.exchanges(),
        };
        // What is diagnosed elsewhere is what is diagnosed here.
        let text = serde_json::to_string_pretty(&capsule).unwrap();
        let read = Capsule::parse(&text).unwrap();
        assert_eq!(diagnose(&read), diagnose(&capsule));
        self.no_secret(&text);
        capsule
    }

    fn no_secret(&self, text: &str) {
        use secrecy::ExposeSecret as _;
        let token = self.token.as_ref().unwrap();
        for secret in [token.base64(), &token.password()] {
            assert!(!text.contains(secret.expose_secret()), "a credential is in it");
        }
        assert!(!text.contains("X-Amz-Signature"), "a signature is in it");
    }

    async fn diagnose(&self, ask: &Ask) -> Diagnosis {
        diagnose(&self.pull(ask).await)
    }
}

fn code(diagnosis: &Diagnosis) -> &'static str {
    match &diagnosis.verdict {
        Verdict::Ok => "ok",
        Verdict::Bad(problem) | Verdict::Unknown(problem) => problem.reason.code(),
    }
}

fn stage(diagnosis: &Diagnosis) -> &'static str {
    diagnosis.stage.map_or("", |stage| stage.word())
}

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

/// A proxy that allows what `allows` says and notes whom it was asked for.
async fn proxy(allows: fn(&str) -> bool) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::default());
    let notes: Arc<std::sync::Mutex<Vec<String>>> = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(!head.contains("\r\nAuthorization"), "the credential is not the proxy's");
                let target = head.split(' ').nth(1).unwrap().to_owned();
                notes.lock().unwrap().push(target.clone());
                if !allows(&target) {
                    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
                    return;
                }
                let mut there =
                    TcpStream::connect(target.replace("localhost", "127.0.0.1")).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (address, asked)
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
