//! Configured test pulls in the running daemon: metrics, status, history, alarms without noise.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_ecr-warden");

struct Bench {
    folder: tempfile::TempDir,
    sandbox: Child,
    daemon: Option<Child>,
    aws: String,
    registry: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sandbox = Command::new(BINARY)
            .args(["sandbox", "--host", "localhost", "--ca-file"])
            .arg(folder.path().join("ca.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let port = addresses["registry"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        Self {
            sandbox,
            daemon: None,
            aws: addresses["aws"].as_str().unwrap().to_owned(),
            registry: format!("localhost:{port}"),
            folder,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    fn configure(&self, probes: &str) {
        let at = self.folder.path().display();
        let config = format!(
            "[daemon]\nstate_directory = \"{at}/state\"\nruntime_directory = \"{at}/run\"\n\
             [metrics]\nlisten = \"off\"\n\
             [identity.default]\nendpoint_url = \"http://{0}\"\nca_file = \"{at}/ca.pem\"\n\
             [identity.prober]\nendpoint_url = \"http://{0}\"\nca_file = \"{at}/ca.pem\"\n\
             [[registry]]\nname = \"images\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\nhosts = [\"{1}\"]\n\
             {2}",
            self.aws,
            self.registry,
            probes.replace("REGISTRY", &self.registry)
        );
        fs::write(self.config(), config).unwrap();
    }

    fn start(&mut self, probes: &str) {
        self.configure(probes);
        let daemon = Command::new(BINARY)
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .env("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env_remove("AWS_PROFILE")
            .stderr(fs::File::create(self.folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn refuse(&self, names: &str) {
        let mut stream = TcpStream::connect(&self.aws).unwrap();
        let length = names.len();
        write!(
            stream,
            "POST /_sandbox/refusals HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{names}"
        )
        .unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
    }

    fn ask(&self, path: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("run/control.sock")).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        self.ask(path).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Waits until it is so; the last answer is in the failure.
    fn until(&self, path: &str, so: impl Fn(&str) -> bool) -> String {
        let patience = Instant::now();
        loop {
            let answer = self.ask(path).unwrap_or_default();
            if so(&answer) {
                return answer;
            }
            assert!(patience.elapsed() < Duration::from_secs(60), "{answer}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for child in [Some(&mut self.sandbox), self.daemon.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn status(code: &str) -> impl Fn(&str) -> bool {
    let code = code.to_owned();
    move |text: &str| {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        json["probes"][0]["verdict"] == code.as_str()
    }
}

#[test]
fn a_probe_that_fails_is_an_alarm_with_its_reason_and_over_when_it_is_over() {
    let mut bench = Bench::new();
    bench.start("[[probe]]\nname = \"web\"\nimage = \"REGISTRY/app/multi:1\"\nschedule = \"1s\"\n");
    bench.until("/status", status("ok"));
    let metrics = bench.ask("/metrics").unwrap();
    for line in [
        "ecr_warden_probe_success{probe=\"web\"} 1",
        "ecr_warden_probe_duration_seconds{hop=\"registry\",phase=\"tls\",probe=\"web\"}",
        "ecr_warden_probe_duration_seconds{hop=\"storage\",phase=\"processing\",probe=\"web\"}",
        "ecr_warden_probe_certificate_expiry_timestamp_seconds{hop=\"storage\",probe=\"web\"}",
        "ecr_warden_probe_runs_total{probe=\"web\",reason=\"\",result=\"ok\"}",
        "ecr_warden_probe_budget_left{unit=\"requests\"} 49",
        "ecr_warden_seconds_until_first_predicted_failure{cause=\"certificate\"",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("probe_failure_reason{"), "{metrics}");

    bench.refuse("[\"s3-denied\"]");
    let text = bench.until("/status", status("bad"));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["reason"]["code"], "storage_denied");
    assert_eq!(json["predicted"]["cause"], "probe");
    assert!(json["probes"][0]["failures"].as_u64().unwrap() >= 2, "{json:#}");
    let metrics = bench.ask("/metrics").unwrap();
    assert!(metrics.contains("probe_failure_reason{probe=\"web\",reason=\"storage_denied\"} 1"));
    assert!(metrics.contains("ecr_warden_probe_success{probe=\"web\"} 0"), "{metrics}");

    // What is kept can be looked at elsewhere.
    let kept = bench.json("/probes/web");
    let failed = kept["results"].as_array().unwrap().iter().find(|one| one["verdict"] == "bad");
    let file = bench.folder.path().join("capsule.json");
    fs::write(&file, failed.unwrap()["capsule"].to_string()).unwrap();
    let explained =
        Command::new(BINARY).args(["explain", "--capsule"]).arg(&file).output().unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("[storage_denied]"), "{explained}");

    bench.refuse("[]");
    bench.until("/status", status("ok"));
    assert!(!bench.ask("/metrics").unwrap().contains("probe_failure_reason{"));
    let log = bench.log();
    assert_eq!(
        log.matches("storage denies the layers").count(),
        2,
        "noted once, alarmed once: {log}"
    );
    assert!(log.contains("failed once, tried again in"), "{log}");
    assert!(log.contains("fine again"), "{log}");
}

#[test]
fn one_failure_alone_is_no_alarm() {
    let mut bench = Bench::new();
    bench.start(
        "[[probe]]\nname = \"web\"\nimage = \"REGISTRY/app/multi:1\"\nschedule = \"1s\"\nfailures_to_alarm = 100\n",
    );
    bench.until("/status", status("ok"));
    bench.refuse("[\"resource\"]");
    bench.until("/metrics", |text| text.contains("probe_success{probe=\"web\"} 0"));
    let status = bench.json("/status");
    assert_eq!(status["verdict"], "ok", "{status:#}");
    assert_eq!(status["probes"][0]["reason"]["code"], "resource_policy_or_repository");
    assert!(!bench.ask("/metrics").unwrap().contains("probe_failure_reason{"));
}

#[test]
fn a_probe_with_an_identity_of_its_own_uses_its_token_and_publishes_it_nowhere() {
    let mut bench = Bench::new();
    let output = bench.folder.path().join("docker.json");
    bench.start(&format!(
        "[[output]]\nname = \"docker\"\nkind = \"docker-config\"\npath = {output:?}\n\
         [[probe]]\nname = \"web\"\nimage = \"REGISTRY/app/multi:1\"\nidentity = \"prober\"\nschedule = \"1s\"\n"
    ));
    let text = bench.until("/status", status("ok"));
    let json: Value = serde_json::from_str(&text).unwrap();
    let mut tokens: Vec<&str> = json["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["identity"].as_str().unwrap())
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, ["default", "prober"]);
    bench.until("/readyz", |text| text.contains("\"ready\": true"));
    let published: Value = serde_json::from_str(&fs::read_to_string(&output).unwrap()).unwrap();
    let hosts: Vec<&String> = published["auths"].as_object().unwrap().keys().collect();
    assert_eq!(hosts.len(), 2, "the registry's two names, once each: {hosts:?}");
}

#[test]
fn a_probe_comes_and_goes_with_the_configuration_and_a_long_pull_holds_nobody_up() {
    let mut bench = Bench::new();
    bench.start("[[probe]]\nname = \"web\"\nimage = \"REGISTRY/app/multi:1\"\nschedule = \"1s\"\n");
    bench.until("/status", status("ok"));
    bench.configure("[[probe]]\nname = \"other\"\nimage = \"REGISTRY/app/multi:1\"\ndepth = \"full\"\nschedule = \"1s\"\n");
    bench.until("/status", |text| text.contains("\"other\"") && !text.contains("\"web\""));
    bench.until("/metrics", |text| text.contains("probe_success{probe=\"other\"} 1"));
    let metrics = bench.ask("/metrics").unwrap();
    assert!(!metrics.contains("probe_success{probe=\"web\"}"), "{metrics}");
    assert!(metrics.contains("probe_throughput_bytes_per_second{probe=\"other\",streams=\"all\"}"));
    assert_eq!(bench.json("/probes")["probes"][0]["probe"], "other");

    // A pull that stands still for its whole timeout is given up when its probe goes.
    let mut stream = TcpStream::connect(&bench.aws).unwrap();
    write!(stream, "POST /_sandbox/faults HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\n[\"stall\"]").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    bench.until("/status", |text| {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        let mut jobs = json["jobs"].as_array().cloned().unwrap_or_default().into_iter();
        jobs.any(|job| job["name"] == "probe:other" && !job["running_since"].is_null())
    });
    let since = Instant::now();
    bench.configure("");
    bench.until("/status", |text| !text.contains("\"other\""));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

#[test]
fn a_spent_budget_is_said_and_never_called_fine() {
    let mut bench = Bench::new();
    bench.start(
        "[probing]\nbytes_per_day = \"1kB\"\n\
         [[probe]]\nname = \"web\"\nimage = \"REGISTRY/app/multi:1\"\ndepth = \"full\"\nschedule = \"1s\"\nfailures_to_alarm = 1\n",
    );
    let text = bench.until("/status", status("unknown"));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["probes"][0]["reason"]["code"], "probe_budget_spent");
    assert_eq!(json["probes"][0]["reached"], "first-byte");
    let metrics = bench.ask("/metrics").unwrap();
    assert!(!metrics.contains("probe_success{probe=\"web\"}"), "unknown is absent: {metrics}");
}
