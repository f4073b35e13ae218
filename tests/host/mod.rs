//! A host to test on: a folder, the sandbox as one process, the daemon as another.

#![allow(dead_code, unreachable_pub)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub const BINARY: &str = env!("CARGO_BIN_EXE_ecr-warden");

/// A folder, a sandbox, and a daemon that can be started again and again.
pub struct Host {
    pub folder: tempfile::TempDir,
    pub sandbox: Child,
    pub aws: String,
    pub registry: String,
    pub daemon: Option<Child>,
}

impl Host {
    pub fn new(token_life: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sandbox = Command::new(BINARY)
            .args(["sandbox", "--host", "localhost", "--token-life", token_life, "--ca-file"])
            .arg(folder.path().join("ca.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let port = addresses["registry"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let host = Self {
            sandbox,
            aws: addresses["aws"].as_str().unwrap().to_owned(),
            registry: format!("localhost:{port}"),
            daemon: None,
            folder,
        };
        host.configure("");
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with `more` behind what every test has.
    pub fn configure(&self, more: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "[daemon]\nstate_directory = \"{folder}/state\"\nruntime_directory = \"{folder}/run\"\nlog_format = \"human\"\nlog_level = \"trace\"\n\
             [metrics]\nlisten = \"off\"\n[identity.default]\nendpoint_url = \"http://{}\"\nca_file = \"{folder}/ca.pem\"\n\
             [[registry]]\nname = \"images\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\nhosts = [\"{}\"]\n\
             [[output]]\nname = \"docker\"\nkind = \"docker-config\"\npath = \"{folder}/docker/config.json\"\n{more}\n",
            self.aws, self.registry
        );
        fs::write(self.path("config.toml"), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("config.toml"))
            .env("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox-secret-key")
            .env_remove("NOTIFY_SOCKET");
        command
    }

    pub fn start(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.path("log")).unwrap();
        self.daemon = Some(self.command(&["run"]).stderr(log).spawn().unwrap());
    }

    pub fn signal(&self, name: &str) {
        let pid = self.daemon.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The credential helper, which asks this host's daemon.
    pub fn helper(&self, argument: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_docker-credential-ecr-warden"))
            .arg(argument)
            .env_clear()
            .env("ECR_WARDEN_SOCKET", self.path("credentials.sock"))
            .env("ECR_WARDEN_STATE", self.path("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub fn stop(&mut self) {
        self.signal("-TERM");
        assert!(self.daemon.take().unwrap().wait().unwrap().success());
    }

    pub fn status(&self) -> Output {
        self.command(&["status", "--json"]).output().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn entry(&self, host: &str) -> Option<String> {
        let text = fs::read(self.path("docker/config.json")).ok()?;
        let json: Value = serde_json::from_slice(&text).expect("it is never torn");
        Some(json["auths"][host]["auth"].as_str()?.to_owned())
    }

    pub fn published(&self) -> Option<String> {
        self.entry(&self.registry)
    }

    /// Asks the sandbox's control pages.
    pub fn sandbox(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.aws).unwrap();
        let length = body.len();
        write!(stream, "{method} /_sandbox/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub fn minted(&self) -> u64 {
        self.sandbox("GET", "calls", "")["ecr:GetAuthorizationToken"].as_u64().unwrap_or(0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in [self.daemon.as_mut(), Some(&mut self.sandbox)].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Waits for something that must come, and says what did not.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not happen: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
