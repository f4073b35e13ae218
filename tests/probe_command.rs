//! `ecr-warden probe` and `explain --capsule` as their users meet them: a process, its output, its
//! exit code, its files.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_ecr-warden");

struct Bench {
    folder: tempfile::TempDir,
    sandbox: Child,
    aws: String,
    registry: String,
}

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
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
        let bench = Self {
            sandbox,
            aws: addresses["aws"].as_str().unwrap().to_owned(),
            registry: format!("localhost:{port}"),
            folder,
        };
        let at = bench.folder.path().display();
        let config = format!(
            "[daemon]\nstate_directory = \"{at}/state\"\nruntime_directory = \"{at}/run\"\n\
             [identity.default]\nendpoint_url = \"http://{}\"\nca_file = \"{at}/ca.pem\"\n\
             [[registry]]\nname = \"images\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\nhosts = [\"{}\"]\n",
            bench.aws, bench.registry
        );
        fs::write(bench.folder.path().join("config.toml"), config).unwrap();
        bench
    }

    fn refuse(&self, name: &str) {
        let mut stream = TcpStream::connect(&self.aws).unwrap();
        let body = format!("[{name:?}]");
        let length = body.len();
        write!(
            stream,
            "POST /_sandbox/refusals HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn run(&self, args: &[&str]) -> Answer {
        let mut command = Command::new(BINARY);
        command.args(args).arg("--config").arg(self.folder.path().join("config.toml"));
        answer(&mut command)
    }

    fn probe(&self, image: &str, args: &[&str]) -> Answer {
        let image = format!("{}/{image}", self.registry);
        self.run(&[&["probe", &image], args].concat())
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
    }
}

fn answer(command: &mut Command) -> Answer {
    let output = command
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env_remove("AWS_PROFILE")
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn an_image_that_can_be_pulled_is_said_to_be_only_as_deep_as_it_was_tried() {
    let bench = Bench::new();
    for (depth, said) in [
        ("manifest", "manifest and configuration can be pulled ("),
        ("first-byte", "can be pulled, tried to the first byte of its largest layer ("),
        ("full", "can be pulled, every byte of it ("),
    ] {
        let answer = bench.probe("app/multi:1", &["--depth", depth]);
        assert_eq!(answer.code, Some(0), "{}{}", answer.out, answer.err);
        let second = answer.out.lines().nth(1).unwrap();
        assert!(second.starts_with(said), "{second}");
        assert_eq!(second.contains("layers were not tried"), depth == "manifest");
        assert!(answer.out.contains("platform manifest  registry  200"), "{}", answer.out);
        assert_eq!(answer.err, "", "nothing is drawn where nobody watches");
    }
}

#[test]
fn what_broke_comes_first_with_the_remedy_and_the_statement_and_exit_code_1() {
    let bench = Bench::new();
    bench.refuse("layer-resource");
    let answer = bench.probe("app/web:1", &["--platform", "linux/amd64"]);
    assert_eq!(answer.code, Some(1));
    for said in [
        "can't be pulled: the manifest may be read, but not the layers [partial_grant]",
        "denied: ecr:GetDownloadUrlForLayer, by the repository's or registry's policy",
        "-> add ecr:GetDownloadUrlForLayer beside ecr:BatchGetImage",
        "For the repository policy of app/web, in account 123456789012:",
        "\"AWS\": \"arn:aws:iam::210987654321:role/host\"",
    ] {
        assert!(answer.out.contains(said), "{said}\n{}", answer.out);
    }
    let answer = bench.probe("app/web:1", &["--platform", "linux/amd64", "--json"]);
    assert_eq!(answer.code, Some(1));
    let json: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(json["reason"]["code"], "partial_grant");
    assert!(json["reason"]["remedy"].as_str().unwrap().contains("ecr:GetDownloadUrlForLayer"));
    assert_eq!(json["verdict"], "bad");
    assert_eq!(json["stage"], "layer_url");
    assert_eq!(json["statement"]["account"], "123456789012");
    assert!(json["seconds"]["registry"]["processing"].is_number(), "{json:#}");
}

#[test]
fn what_could_not_be_asked_or_told_has_exit_codes_of_its_own() {
    let bench = Bench::new();
    for image in ["nginx", "localhost:1/App:1"] {
        let answer = bench.run(&["probe", image]);
        assert_eq!(answer.code, Some(2), "{image}");
        assert!(answer.err.contains(image), "{}", answer.err);
    }
    // No token because AWS throttles: engines may well hold one.
    let mut stream = TcpStream::connect(&bench.aws).unwrap();
    let fault = "POST /_sandbox/faults HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nConnection: close\r\n\r\n[\"throttle\"]";
    stream.write_all(fault.as_bytes()).unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let answer = bench.probe("app/web:1", &[]);
    assert_eq!(answer.code, Some(3), "{}", answer.out);
    assert!(answer.out.contains("was not to be told"), "{}", answer.out);
    assert!(answer.out.contains("[throttled]"), "{}", answer.out);
}

#[test]
fn a_capsule_says_elsewhere_what_was_said_here() {
    let bench = Bench::new();
    bench.refuse("resource");
    let file = bench.file("capsule.json");
    let here = bench.probe("app/web:1", &["--trace", &file]);
    assert_eq!(here.code, Some(1));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // Elsewhere there is neither configuration nor network.
    let mut command = Command::new(BINARY);
    let there = answer(command.args(["explain", "--capsule", &file]));
    assert_eq!((there.code, &there.out), (here.code, &here.out), "{}", there.err);
    let json = answer(Command::new(BINARY).args(["explain", "--capsule", &file, "--json"]));
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["reason"]["code"], "resource_policy_or_repository");

    let again = bench.probe("app/web:1", &["--trace", &file]);
    assert_eq!(again.code, Some(2), "a file that is there is left alone");
    assert!(again.err.contains("is there already"), "{}", again.err);

    fs::write(&file, "{\"version\": 1}").unwrap();
    let broken = answer(Command::new(BINARY).args(["explain", "--capsule", &file]));
    assert_eq!(broken.code, Some(2));
    assert!(broken.err.contains(&file), "{}", broken.err);
}

#[test]
fn without_an_image_every_configured_probe_is_run_and_the_worst_is_the_exit_code() {
    let bench = Bench::new();
    let none = bench.run(&["probe"]);
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("no [[probe]] in the configuration"), "{}", none.err);
    let file = bench.folder.path().join("config.toml");
    let mut config = fs::read_to_string(&file).unwrap();
    for (name, image) in [("good", "app/multi:1"), ("gone", "app/multi:2")] {
        let image = format!("{}/{image}", bench.registry);
        let table = format!("[[probe]]\nname = {name:?}\nimage = {image:?}\n");
        config.push_str(&table);
    }
    fs::write(&file, config).unwrap();
    let all = bench.run(&["probe"]);
    assert_eq!(all.code, Some(1), "{}{}", all.out, all.err);
    assert!(all.out.contains("[image_missing]"), "{}", all.out);
    assert!(all.out.ends_with("1 of 2 fine, 1 not, 0 could not be told\n"), "{}", all.out);
    let json: Value = serde_json::from_str(&bench.run(&["probe", "--json"]).out).unwrap();
    assert_eq!(json["reason"]["code"], "image_missing");
    assert_eq!(json["probes"][0]["verdict"], "ok");
    assert_eq!(bench.run(&["probe", "--depth", "full"]).code, Some(2), "it needs an image");
}

/// A proxy or a portal may show its clients what they sent: the capsule goes to somebody else.
#[test]
fn no_secret_is_in_a_capsule_even_when_it_is_echoed() {
    let bench = Bench::new();
    assert_eq!(bench.probe("app/web:1", &[]).code, Some(0));
    let kept = fs::read_dir(bench.folder.path().join("state/tokens")).unwrap();
    let kept = fs::read_to_string(kept.map(|file| file.unwrap().path()).next().unwrap()).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let token = kept["token"].as_str().unwrap();
    assert!(token.len() > 100, "a real token");
    for (refusal, marked) in
        [("echo", "you sent Basic [redacted]"), ("s3-echo", "X-Amz-Signature=[redacted]")]
    {
        bench.refuse(refusal);
        let file = bench.file(refusal);
        let answer = bench.probe("app/web:1", &["--trace", &file]);
        assert_eq!(answer.code, Some(1));
        let json = bench.probe("app/web:1", &["--json"]);
        let capsule = fs::read_to_string(&file).unwrap();
        for text in [&capsule, &answer.out, &json.out, &answer.err] {
            assert!(!text.contains(token), "{text}");
        }
        assert!(capsule.contains(marked), "{capsule}");
    }
}

#[test]
fn a_push_is_rehearsed_and_each_of_its_actions_told_here_and_from_the_trace_elsewhere() {
    let bench = Bench::new();
    let fine = bench.probe("app/web:1", &["--push"]);
    assert_eq!(fine.code, Some(0), "{}{}", fine.out, fine.err);
    for action in ["ecr:BatchGetImage", "ecr:CompleteLayerUpload"] {
        assert!(fine.out.contains(&format!("{action:<34}allowed")), "{}", fine.out);
    }
    assert!(fine.out.contains(&format!("{:<34}not reached", "ecr:PutImage")), "{}", fine.out);
    let unproven = bench.probe("app/web:1", &["--push=manifest"]);
    assert_eq!(unproven.code, Some(3), "{}", unproven.out);
    assert_eq!(bench.probe("app/web:1", &["--push=everything"]).code, Some(2));

    bench.refuse("UploadLayerPart/resource");
    let trace = bench.file("trace.json");
    let denied = bench.probe("app/web:1", &["--push", "--json", "--trace", &trace]);
    assert_eq!(denied.code, Some(1), "{}", denied.err);
    let told: Value = serde_json::from_str(&denied.out).unwrap();
    assert_eq!(told["reason"]["code"], "push_partial_grant");
    assert_eq!(told["statement"]["account"], "123456789012");
    let states: Vec<&str> = told["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    let [a, n] = ["allowed", "not_reached"];
    assert_eq!(states, [a, a, a, a, "denied", n, n]);
    assert_eq!(told["actions"][4]["policy"], "resource");
    let elsewhere = bench.run(&["explain", "--json", "--capsule", &trace]);
    assert_eq!((elsewhere.code, elsewhere.out), (Some(1), denied.out));
}
