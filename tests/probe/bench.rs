//! The sandbox, a client that trusts it, and test pulls between the two.

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
    oci::{client::Client, connect::Patience, trace::Record},
    probe::{
        Depth,
        capsule::{Capsule, NoToken, RegistryFacts, TokenFacts},
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
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    aws: SocketAddr,
    pub(crate) registry: SocketAddr,
    token: Option<AuthorizationToken>,
}

/// What a test pull is asked, where it differs from `app/multi:1`, whole.
pub(crate) struct Ask {
    pub(crate) image: String,
    pub(crate) depth: Depth,
    pub(crate) platform: Platform,
    pub(crate) timeout: Duration,
    pub(crate) proxy: Option<String>,
    pub(crate) trusted: bool,
    pub(crate) minted: Option<(i64, &'static str)>,
    pub(crate) no_token: Option<NoToken>,
}

impl Bench {
    pub(crate) async fn with(certificate: Certificate) -> Self {
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

    pub(crate) async fn new() -> Self {
        Self::with(Certificate::Good).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Value {
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

    pub(crate) async fn fault(&self, name: &str) {
        self.post("/_sandbox/faults", &json!([name]).to_string()).await;
    }

    pub(crate) async fn refusal(&self, name: &str) {
        self.post("/_sandbox/refusals", &json!([name]).to_string()).await;
    }

    pub(crate) fn image(&self, path: &str) -> String {
        format!("localhost:{}/{path}", self.registry.port())
    }

    pub(crate) fn ask(&self) -> Ask {
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

    pub(crate) async fn pull(&self, ask: &Ask) -> Capsule {
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

    pub(crate) fn no_secret(&self, text: &str) {
        use secrecy::ExposeSecret as _;
        let token = self.token.as_ref().unwrap();
        for secret in [token.base64(), &token.password()] {
            assert!(!text.contains(secret.expose_secret()), "a credential is in it");
        }
        assert!(!text.contains("X-Amz-Signature"), "a signature is in it");
    }

    pub(crate) async fn diagnose(&self, ask: &Ask) -> Diagnosis {
        diagnose(&self.pull(ask).await)
    }
}

pub(crate) fn code(diagnosis: &Diagnosis) -> &'static str {
    match &diagnosis.verdict {
        Verdict::Ok => "ok",
        Verdict::Bad(problem) | Verdict::Unknown(problem) => problem.reason.code(),
    }
}

pub(crate) fn stage(diagnosis: &Diagnosis) -> &'static str {
    diagnosis.stage.map_or("", |stage| stage.word())
}

/// A proxy that allows what `allows` says and notes whom it was asked for.
pub(crate) async fn proxy(
    allows: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::default());
    let notes: Arc<std::sync::Mutex<Vec<String>>> = Arc::clone(&asked);
    let allows = Arc::new(allows);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (notes, allows) = (Arc::clone(&notes), Arc::clone(&allows));
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

/// There is no token, and this is why.
pub(crate) fn lacking(code: &str) -> NoToken {
    NoToken { code: code.into(), detail: "seen".into() }
}
