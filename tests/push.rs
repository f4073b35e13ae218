//! Rehearsals of pushes against the sandbox: a verdict for each of the seven actions, every layer of
//! a denial named, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ecr_warden::{
    model::{
        image::{ImageRef, Platform},
        outcome::Verdict,
        token::AuthorizationToken,
    },
    oci::{client::Client, trace::Record},
    probe::{
        Depth,
        capsule::{Capsule, RegistryFacts},
        denial::PolicyKind,
        diagnosis::Diagnosis,
        push::{
            PushPlan, Rung, push,
            verdict::{Judged, Rehearsal, State, judge},
        },
        statement::PUSH_ACTIONS,
    },
    sandbox::{self, Certificate, Options, Upstream},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

struct Bench {
    folder: tempfile::TempDir,
    aws: SocketAddr,
    registry: SocketAddr,
    token: AuthorizationToken,
}

impl Bench {
    async fn new() -> Self {
        Self::before(None).await
    }

    async fn before(upstream: Option<Upstream>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options {
            aws: loopback,
            registry: loopback,
            hosts: vec!["localhost".to_owned()],
            token_life: Duration::from_secs(3600),
            ca_file: folder.path().join("ca.pem"),
            certificate: Certificate::Good,
            upstream,
        };
        let sandbox = sandbox::start(&options).await.unwrap();
        let minted = post(sandbox.aws, "/", "{}").await;
        let token = minted["authorizationData"][0]["authorizationToken"].as_str().unwrap();
        let token = AuthorizationToken::new(SecretString::from(token)).unwrap();
        Self { folder, aws: sandbox.aws, registry: sandbox.registry, token }
    }

    async fn refuse(&self, names: &[&str]) {
        post(self.aws, "/_sandbox/refusals", &json!(names).to_string()).await;
    }

    async fn fault(&self, names: &[&str]) {
        post(self.aws, "/_sandbox/faults", &json!(names).to_string()).await;
    }

    /// What uploads, blobs and manifests there are that were not there at the start.
    async fn residue(&self) -> Value {
        post(self.aws, "/_sandbox/pushed", "").await
    }

    async fn rehearse(&self, image: &str, rung: Rung) -> (Rehearsal, Judged) {
        self.rehearse_with(&self.token, image, rung).await
    }

    async fn rehearse_with(
        &self,
        token: &AuthorizationToken,
        image: &str,
        rung: Rung,
    ) -> (Rehearsal, Judged) {
        let image = format!("localhost:{}/{image}", self.registry.port());
        let platform = Platform::parse("linux/amd64").unwrap();
        let client = Arc::new(Client::new(Some(&self.folder.path().join("ca.pem")), None));
        let plan = PushPlan {
            image: ImageRef::parse(&image).unwrap(),
            rung,
            platform: platform.clone(),
            timeout: Duration::from_secs(20),
        };
        let (record, started) = (Arc::new(Record::default()), Timestamp::now());
        let pushed = push(&client, Some(token), &plan, &record).await;
        let seen = Capsule {
            version: 1,
            program: "test".into(),
            image,
            depth: Depth::Manifest,
            reached: None,
            platform,
            started,
            took: record.elapsed(),
            registry: Some(RegistryFacts {
                account: "123456789012".into(),
                region: "eu-west-1".into(),
            }),
            principal: Some("arn:aws:sts::210987654321:assumed-role/host/i-0sandbox".into()),
            token: None,
            no_token: None,
            stop: pushed.stop,
            bytes: record.received(),
            layers: None,
            exchanges: record.exchanges(),
        };
        let rehearsal = Rehearsal { push: rung, left: pushed.left, seen };
        // It is judged elsewhere as it is here, and carries no secret there.
        let text = serde_json::to_string(&rehearsal).unwrap();
        assert_eq!(judge(&serde_json::from_str(&text).unwrap()), judge(&rehearsal));
        for secret in [token.base64(), &token.password()] {
            assert!(!text.contains(secret.expose_secret()), "a credential is in it");
        }
        let judged = judge(&rehearsal);
        (rehearsal, judged)
    }
}

async fn post(to: SocketAddr, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(to).await.unwrap();
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

fn code(diagnosis: &Diagnosis) -> &'static str {
    match &diagnosis.verdict {
        Verdict::Ok => "ok",
        Verdict::Bad(problem) | Verdict::Unknown(problem) => problem.reason.code(),
    }
}

/// The states by the first letter of each: in the order of the actions.
fn states(judged: &Judged) -> String {
    judged.standings.iter().map(|one| one.state.word().chars().next().unwrap()).collect()
}

/// Nothing that could be listed, pulled or paid for.
fn nothing() -> Value {
    json!([[], [], 0])
}

async fn left(bench: &Bench) -> Value {
    let residue = bench.residue().await;
    json!([residue["blobs"], residue["manifests"], residue["open"]])
}

#[tokio::test]
async fn each_rung_proves_its_action_and_none_leaves_anything_behind() {
    let bench = Bench::new().await;
    for image in ["app/multi:1", "app/web:1"] {
        for (rung, expected, verdict) in [
            (Rung::Start, "aaaannn", "ok"),
            (Rung::Part, "aaaaann", "ok"),
            (Rung::Complete, "aaaaaan", "ok"),
            // That the manifest was refused for what it lacks proves nothing about ECR.
            (Rung::Manifest, "aaaaaau", "put_image_unproven"),
        ] {
            let (_, judged) = bench.rehearse(image, rung).await;
            assert_eq!(states(&judged), expected, "{rung:?}: {judged:#?}");
            assert_eq!(code(&judged.diagnosis), verdict, "{rung:?}");
            assert_eq!(left(&bench).await, nothing(), "{image} {rung:?}");
        }
    }
    // Start and Part give their upload up; Complete ends it with what was there before.
    assert_eq!(bench.residue().await["given_up"], 4);
}

#[tokio::test]
async fn every_action_is_denied_by_the_layer_that_the_registry_names() {
    let bench = Bench::new().await;
    for (at, action) in PUSH_ACTIONS.iter().enumerate() {
        for (layer, policy, account) in [
            ("identity", PolicyKind::Identity, Some("210987654321")),
            ("resource", PolicyKind::Resource, Some("123456789012")),
            ("endpoint", PolicyKind::Endpoint, Some("210987654321")),
            ("scp", PolicyKind::ServiceControl, None),
            ("rcp", PolicyKind::ResourceControl, None),
            ("session", PolicyKind::Session, None),
        ] {
            let name = action.strip_prefix("ecr:").unwrap();
            bench.refuse(&[&format!("{name}/{layer}")]).await;
            let (_, judged) = bench.rehearse("app/web:1", Rung::Manifest).await;
            let standing = &judged.standings[at];
            assert_eq!((standing.action, standing.state), (*action, State::Denied), "{judged:#?}");
            let others = judged.standings.iter().filter(|other| other.state == State::Denied);
            assert_eq!(others.count(), 1, "{name}: {judged:#?}");
            assert_eq!(left(&bench).await, nothing(), "{name}");
            assert!(matches!(judged.diagnosis.verdict, Verdict::Bad(_)), "{judged:#?}");
            if name == "BatchCheckLayerAvailability" {
                // It is asked for by HEAD, whose answer has no words.
                assert_eq!(standing.policy, None);
                continue;
            }
            assert_eq!(standing.policy, Some(policy), "{name}");
            let statement = standing.statement.as_ref();
            let found = statement.and_then(|statement| statement.account.as_deref());
            assert_eq!(found, account, "{name} {layer}");
            if let Some(statement) = statement {
                assert_eq!(statement.statement["Action"], json!(PUSH_ACTIONS), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_denial_keeps_from_being_reached_is_not_called_anything_else() {
    let bench = Bench::new().await;
    for (refusal, expected, verdict) in [
        ("BatchGetImage/resource", "dnaaanu", "resource_policy_or_repository"),
        ("GetDownloadUrlForLayer/identity", "adaaanu", "partial_grant"),
        ("InitiateLayerUpload/identity", "aaadnnu", "identity_policy"),
        ("UploadLayerPart/identity", "aaaadnu", "push_partial_grant"),
        ("CompleteLayerUpload/scp", "aaaaadu", "explicit_deny"),
        ("PutImage/resource", "aaaaaad", "push_partial_grant"),
    ] {
        bench.refuse(&[refusal]).await;
        let (_, judged) = bench.rehearse("app/web:1", Rung::Manifest).await;
        assert_eq!(states(&judged), expected, "{refusal}: {judged:#?}");
        assert_eq!(code(&judged.diagnosis), verdict, "{refusal}");
        assert_eq!(left(&bench).await, nothing(), "{refusal}");
    }
}

#[tokio::test]
async fn a_hang_up_at_the_start_of_an_upload_is_a_matter_of_permission_and_not_of_the_network() {
    let bench = Bench::new().await;
    bench.fault(&["upload-hang-up"]).await;
    for (rung, expected) in [(Rung::Complete, "aaaunnn"), (Rung::Manifest, "aaaunnu")] {
        let (_, judged) = bench.rehearse("app/web:1", rung).await;
        assert_eq!(states(&judged), expected, "{judged:#?}");
        assert_eq!(code(&judged.diagnosis), "upload_hung_up");
        assert_eq!(judged.diagnosis.stage.unwrap().word(), "push");
        assert!(matches!(judged.diagnosis.verdict, Verdict::Bad(_)));
    }
}

#[tokio::test]
async fn either_answer_to_bytes_that_are_there_already_is_leave_to_complete() {
    let bench = Bench::new().await;
    bench.fault(&["layer-already-exists"]).await;
    let (_, judged) = bench.rehearse("app/web:1", Rung::Complete).await;
    assert_eq!((states(&judged).as_str(), code(&judged.diagnosis)), ("aaaaaan", "ok"));
    assert_eq!(left(&bench).await, nothing());
}

#[tokio::test]
async fn what_is_no_denial_is_named_for_what_it_is() {
    let bench = Bench::new().await;
    for (refusal, expected, verdict) in [
        ("part-rejected", "aaaaunn", "upload_rejected"),
        ("part-throttled", "aaaaunn", "throttled"),
        ("part-kms", "aaaaunn", "kms_key_unusable"),
        ("s3-denied", "aaaaann", "storage_denied"),
    ] {
        bench.refuse(&[refusal]).await;
        let (_, judged) = bench.rehearse("app/web:1", Rung::Complete).await;
        assert_eq!(
            (states(&judged).as_str(), code(&judged.diagnosis)),
            (expected, verdict),
            "{refusal}"
        );
        assert_eq!(left(&bench).await, nothing(), "{refusal}");
    }
    bench.refuse(&[]).await;
    let (_, judged) = bench.rehearse("app/none:1", Rung::Complete).await;
    assert_eq!(
        (states(&judged).as_str(), code(&judged.diagnosis)),
        ("nnnnnnn", "repository_missing")
    );
    // Without an image there is nothing to send again, and nothing is added in its place.
    let (_, judged) = bench.rehearse("app/web:none", Rung::Complete).await;
    assert_eq!(
        (states(&judged).as_str(), code(&judged.diagnosis)),
        ("anaaann", "push_unrehearsed")
    );
    assert_eq!(left(&bench).await, nothing());
    post(bench.aws, "/_sandbox/expire", "").await;
    let (rehearsal, judged) = bench.rehearse("app/web:1", Rung::Complete).await;
    assert_eq!((states(&judged).as_str(), code(&judged.diagnosis)), ("unnnnnn", "token_expired"));
    assert_eq!(rehearsal.seen.exchanges.len(), 1, "nothing is asked with a dead token");
}

#[tokio::test]
async fn a_real_image_is_pushed_only_on_request_then_pulled_and_deleted() {
    let bench = Bench::new().await;
    let (rehearsal, judged) = bench.rehearse("app/web:1", Rung::Image).await;
    assert_eq!(
        (states(&judged).as_str(), code(&judged.diagnosis)),
        ("aaaaaaa", "ok"),
        "{judged:#?}"
    );
    assert_eq!(rehearsal.left, None);
    assert_eq!(bench.residue().await["manifests"], json!([]));

    // One that may not be deleted is said to be left, by the digest that it has.
    for refusal in ["BatchDeleteImage/identity", "no-deletion"] {
        bench.refuse(&[refusal]).await;
        let (rehearsal, judged) = bench.rehearse("app/web:1", Rung::Image).await;
        assert_eq!(
            (states(&judged).as_str(), code(&judged.diagnosis)),
            ("aaaaaaa", "push_left_behind")
        );
        let manifests = bench.residue().await["manifests"].to_string();
        assert!(manifests.contains(&rehearsal.left.unwrap()), "{manifests}");
    }
    // What ends the push in the middle does not keep what it brought.
    let bench = Bench::new().await;
    bench.refuse(&["immutable"]).await;
    let (_, judged) = bench.rehearse("app/web:1", Rung::Image).await;
    assert_eq!(code(&judged.diagnosis), "tag_immutable");
    bench.refuse(&[]).await;
    bench.fault(&["tampered"]).await;
    let (_, judged) = bench.rehearse("app/web:1", Rung::Image).await;
    assert_ne!(code(&judged.diagnosis), "ok");
    assert_eq!(bench.residue().await["manifests"], json!([]));
}

#[tokio::test]
async fn a_registry_that_takes_any_manifest_is_left_without_it() {
    let bench = Bench::new().await;
    bench.fault(&["takes-any-manifest"]).await;
    let (rehearsal, judged) = bench.rehearse("app/web:1", Rung::Manifest).await;
    assert_eq!((states(&judged).as_str(), code(&judged.diagnosis)), ("aaaaaaa", "ok"));
    assert_eq!(rehearsal.left, None);
    assert_eq!(bench.residue().await["manifests"], json!([]));
}

/// One request to a registry without TLS: the head and the body of its answer.
async fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
) -> (String, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAccept: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Every file below a folder, uploads that are under way included.
fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

#[tokio::test]
#[ignore = "needs docker-registry in PATH"]
async fn a_real_registry_is_left_as_it_was_by_every_rung_but_the_image() {
    const KIND: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = folder.path().join("registry.yml");
    let data = folder.path().join("data");
    std::fs::write(&config, format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\nhttp: {{addr: \"{free}\", relativeurls: true}}\n",
        data.display()
    )).unwrap();
    let mut registry = tokio::process::Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while TcpStream::connect(free).await.is_err() {
        assert_eq!(registry.try_wait().unwrap(), None, "docker-registry ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut blobs = Vec::new();
    for bytes in [json!({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[sha256(b"layer")]}}).to_string().into_bytes(), b"layer".to_vec()] {
        let (head, _) = ask(free, "POST", "/v2/app/web/blobs/uploads/", KIND, b"").await;
        let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let digest = sha256(&bytes);
        let (head, body) =
            ask(free, "PUT", &format!("{place}&digest={digest}"), "application/octet-stream", &bytes).await;
        assert!(head.starts_with("HTTP/1.1 201"), "{head}{body}");
        blobs.push(json!({"size": bytes.len(), "digest": digest}));
    }
    blobs[0]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    blobs[1]["mediaType"] = json!("application/vnd.docker.image.rootfs.diff.tar.gzip");
    let manifest =
        json!({"schemaVersion":2,"mediaType":KIND,"config":blobs[0],"layers":[blobs[1]]});
    let (head, body) =
        ask(free, "PUT", "/v2/app/web/manifests/1", KIND, manifest.to_string().as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 201"), "{head}{body}");

    let bench = Bench::before(Some(Upstream { address: free, storage: "127.0.0.1".into() })).await;
    let before = files(&data);
    for (rung, expected, verdict) in [
        (Rung::Start, "aaaannn", "ok"),
        (Rung::Part, "aaaaann", "ok"),
        (Rung::Complete, "aaaaaan", "ok"),
        (Rung::Manifest, "aaaaaau", "put_image_unproven"),
    ] {
        let (_, judged) = bench.rehearse("app/web:1", rung).await;
        assert_eq!(
            (states(&judged).as_str(), code(&judged.diagnosis)),
            (expected, verdict),
            "{judged:#?}"
        );
        // Of an upload that was given up this registry forgets to remove the empty hash state.
        let mut after = files(&data);
        after.retain(|file| !file.contains("/hashstates/"));
        assert_eq!(after, before, "{rung:?}");
    }
    let (rehearsal, judged) = bench.rehearse("app/web:1", Rung::Image).await;
    assert_eq!(
        (states(&judged).as_str(), code(&judged.diagnosis)),
        ("aaaaaaa", "ok"),
        "{judged:#?}"
    );
    assert_eq!(rehearsal.left, None);
    // This registry keeps the name of a tag that leads nowhere; the image is gone by tag and digest.
    let put =
        rehearsal.seen.exchanges.iter().find(|one| one.step.word() == "manifest push").unwrap();
    let path = put.url.split_once("/v2/").unwrap().1;
    let (head, _) = ask(free, "GET", &format!("/v2/{path}"), KIND, b"").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
