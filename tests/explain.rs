//! `ecr-warden explain` tells the truth about broken hosts. A host is a folder tree, the registry
//! is the sandbox's; what is asserted is what a user reads, in the table and as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::unused_self)]
#![cfg(feature = "sandbox")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_ecr-warden");

/// A host as a folder tree, and a registry on loopback.
struct Host {
    root: tempfile::TempDir,
    /// The configuration and the authority, which are not the host's.
    aside: tempfile::TempDir,
    sandbox: Child,
    aws: String,
    registry: String,
}

/// What a user reads.
struct Answer {
    code: Option<i32>,
    table: String,
    json: Value,
}

impl Host {
    /// An empty host. Its root is whoever runs the test.
    fn new() -> Self {
        let (root, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Another user of the host must get there.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut sandbox = Command::new(BINARY)
            .args(["sandbox", "--host", "localhost", "--ca-file"])
            .arg(aside.path().join("ca.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(sandbox.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let port = addresses["registry"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let host = Self {
            root,
            aside,
            sandbox,
            aws: addresses["aws"].as_str().unwrap().to_owned(),
            registry: format!("localhost:{port}"),
        };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        host.file("/etc/passwd", &format!("root:x:{uid}:{gid}::/root:/bin/sh\n"));
        host.file("/etc/hostname", "worker-7\n");
        host
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.replace("REGISTRY", &self.registry)).unwrap();
    }

    fn program(&self, path: &str, script: &str) {
        self.file(path, &format!("#!/bin/sh\n{script}\n"));
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn ask_aws(&self, head: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.aws).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {head}\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default()
    }

    /// A token that works, as it comes from GetAuthorizationToken.
    fn token(&self) -> String {
        let target = "X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
        let answer = self.ask_aws(
            &format!("/ HTTP/1.1\r\n{target}\r\nContent-Type: application/x-amz-json-1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIASANDBOX/20260101/eu-west-1/ecr/aws4_request, SignedHeaders=host, Signature=00"),
            "{}",
        );
        answer["authorizationData"][0]["authorizationToken"].as_str().unwrap().to_owned()
    }

    /// A token that was good once.
    fn expired(&self) -> String {
        let password = json!({
            "payload": "x", "datakey": "x", "version": "2", "type": "DATA_KEY", "expiration": 1_700_000_000
        });
        STANDARD.encode(format!("AWS:{}", STANDARD.encode(password.to_string())))
    }

    fn auths(&self, token: &str) -> String {
        json!({ "auths": { &self.registry: { "auth": token } } }).to_string()
    }

    /// What a helper answers that gives this token.
    fn helper(&self, token: &str) -> String {
        let plain = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        let (user, password) = plain.split_once(':').unwrap();
        format!("echo '{{\"ServerURL\":\"x\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'")
    }

    /// A node with a kubelet whose provider gives this token.
    fn kubelet(&self, token: &str, pattern: &str) {
        let plain = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        let (user, password) = plain.split_once(':').unwrap();
        let response = json!({
            "kind": "CredentialProviderResponse", "cacheKeyType": "Registry", "cacheDuration": "1h",
            "auth": { &self.registry: { "username": user, "password": password } },
        });
        self.program("/usr/bin/kubelet", "");
        self.program(
            "/opt/providers/ecr",
            &format!("grep -q CredentialProviderRequest && echo '{response}'"),
        );
        self.file("/etc/kubernetes/providers.yaml", &format!(
            "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders:\n- name: ecr\n  matchImages: [\"{pattern}\"]\n  defaultCacheDuration: 12h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
        ));
        self.file("/etc/systemd/system/kubelet.service.d/10.conf", "[Service]\nEnvironment=\"X=--image-credential-provider-config=/etc/kubernetes/providers.yaml --image-credential-provider-bin-dir=/opt/providers\"\n");
    }

    /// A containerd whose CRI plugin looks there.
    fn containerd(&self, config_path: &str) {
        self.program("/usr/bin/containerd", "");
        self.file("/etc/containerd/config.toml", &format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{config_path}\"\n"
        ));
    }

    /// The folder of the registry below certs.d, as containerd spells it.
    fn folder(&self) -> String {
        format!("/etc/containerd/certs.d/{}_", self.registry.replace(':', "_"))
    }

    fn header(&self, token: &str) -> String {
        format!("[host.\"https://REGISTRY\".header]\nAuthorization = \"Basic {token}\"\n")
    }

    fn explain_image(&self, image: &str) -> Answer {
        let (root, aside) = (self.root.path().display(), self.aside.path());
        let config = format!(
            "[daemon]\nhost_prefix = \"{root}\"\n[identity.default]\nca_file = \"{}\"\n",
            aside.join("ca.pem").display()
        );
        fs::write(aside.join("config.toml"), config).unwrap();
        let run = |more: &[&str]| {
            let mut command = Command::new(BINARY);
            command
                .args(["explain", image])
                .args(more)
                .arg("--config")
                .arg(aside.join("config.toml"));
            for name in ["HTTPS_PROXY", "https_proxy"] {
                command.env_remove(name);
            }
            command.output().unwrap()
        };
        let (table, as_json) = (run(&[]), run(&["--json"]));
        assert_eq!(table.status.code(), as_json.status.code());
        Answer {
            code: table.status.code(),
            table: String::from_utf8(table.stdout).unwrap()
                + &String::from_utf8_lossy(&table.stderr),
            json: serde_json::from_slice(&as_json.stdout).unwrap_or_default(),
        }
    }

    fn explain(&self) -> Answer {
        self.explain_image(&format!("{}/app/web:1", self.registry))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
    }
}

impl Answer {
    fn consumer(&self, name: &str) -> &Value {
        let all = self.json["consumers"].as_array().expect("there are consumers");
        all.iter()
            .find(|one| one["consumer"] == name)
            .unwrap_or_else(|| panic!("{name}: {}", self.table))
    }

    /// The consumer is not fine for this reason, and table and JSON both say all of these words.
    fn says(&self, consumer: &str, code: &str, words: &[&str]) {
        let one = self.consumer(consumer);
        assert_eq!(self.code, Some(1), "{}", self.table);
        assert_eq!(self.json["verdict"], "bad");
        assert_eq!(one["verdict"], "bad", "{}", self.table);
        assert_eq!(one["reason"]["code"], code, "{}", self.table);
        assert!(one["reason"]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()));
        let as_json = format!(
            "{} {} {} {}",
            one["from"], one["reason"]["detail"], one["reason"]["remedy"], one["notes"]
        )
        .replace('\\', "");
        assert!(self.table.contains(&format!("[{code}]\n  -> ")), "{}", self.table);
        for word in words {
            assert!(self.table.contains(word), "{word:?} is not in the table:\n{}", self.table);
            assert!(as_json.contains(word), "{word:?} is not in the JSON:\n{as_json}");
        }
        let row = self.table.lines().find(|line| line.starts_with(consumer)).unwrap();
        assert!(row.contains(" NO "), "{row}");
    }

    fn works(&self, consumer: &str, words: &[&str]) {
        let one = self.consumer(consumer);
        assert_eq!(one["verdict"], "ok", "{}", self.table);
        for word in words {
            assert!(self.table.contains(word), "{word:?} is not in the table:\n{}", self.table);
        }
    }
}

#[test]
fn broken_1_a_creds_store_shadows_a_good_entry() {
    let host = Host::new();
    host.program("/usr/bin/docker", "");
    host.program(
        "/usr/local/bin/docker-credential-vault",
        "echo credentials not found in native keychain; exit 1",
    );
    let mut config: Value = serde_json::from_str(&host.auths(&host.token())).unwrap();
    config["credsStore"] = json!("vault");
    host.file("/root/.docker/config.json", &config.to_string());
    let answer = host.explain();
    answer.says(
        "docker",
        "credential_absent",
        &["credsStore = vault", "docker-credential-vault has none"],
    );
}

#[test]
fn broken_2_a_helper_that_is_not_installed() {
    let host = Host::new();
    let mut config: Value = serde_json::from_str(&host.auths(&host.token())).unwrap();
    config["credHelpers"] = json!({ &host.registry: "ecr-login" });
    host.file("/root/.docker/config.json", &config.to_string());
    let answer = host.explain();
    answer.says(
        "docker",
        "helper_missing",
        &[
            "there is no docker-credential-ecr-login",
            "install docker-credential-ecr-login in /usr/local/bin",
        ],
    );
}

#[test]
fn broken_3_a_dead_header_with_nothing_behind_it() {
    let host = Host::new();
    host.kubelet(&host.token(), &host.registry);
    host.containerd("/etc/containerd/certs.d");
    let closed = format!("[header]\nAuthorization = \"Basic {}\"\n", host.expired());
    host.file(&format!("{}/hosts.toml", host.folder()), &closed);
    let answer = host.explain();
    answer.works("kubelet", &[]);
    answer.says(
        "containerd CRI",
        "containerd_fails_closed",
        &["answered 403", "nothing stands behind the header", "server = "],
    );
    assert_eq!(answer.consumer("containerd CRI")["valid_until"], "2023-11-14T22:13:20Z");
    // The same header in the layout that fails open: the kubelet's credential counts.
    let open = format!("server = \"https://REGISTRY\"\n{}", host.header(&host.expired()));
    host.file(&format!("{}/hosts.toml", host.folder()), &open);
    let answer = host.explain();
    assert_eq!(answer.code, Some(0), "{}", answer.table);
    answer.works("containerd CRI", &["the kubelet sends it", "it comes here only after"]);
}

#[test]
fn broken_4_the_registrys_own_folder_hides_default() {
    let host = Host::new();
    host.containerd("/etc/containerd/certs.d");
    host.file(&format!("{}/ca.crt", host.folder()), "");
    host.file("/etc/containerd/certs.d/_default/hosts.toml", &host.header(&host.token()));
    host.explain().says(
        "containerd CRI",
        "containerd_default_hidden",
        &["certs.d/_default/hosts.toml is not read"],
    );
    // Without that folder _default is what counts.
    fs::remove_dir_all(host.root.path().join(&host.folder()[1..])).unwrap();
    host.explain().works("containerd CRI", &["_default/hosts.toml: the Authorization header"]);
}

#[test]
fn broken_5_containerd_does_not_look_into_the_folder() {
    let host = Host::new();
    host.containerd("");
    host.file(&format!("{}/hosts.toml", host.folder()), &host.header(&host.token()));
    host.explain().says(
        "containerd CRI",
        "containerd_no_config_path",
        &["config_path is not set", "set config_path = \"/etc/containerd/certs.d\""],
    );
    host.containerd("/etc/containerd/certs.d");
    host.explain().works("containerd CRI", &[]);
}

#[test]
fn broken_6_podman_reads_an_earlier_file_first() {
    let host = Host::new();
    host.program("/usr/bin/podman", "");
    let uid = rustix::process::geteuid().as_raw();
    host.file(&format!("/run/containers/{uid}/auth.json"), &host.auths(&host.expired()));
    host.file("/root/.config/containers/auth.json", &host.auths(&host.token()));
    let first = format!("/run/containers/{uid}/auth.json is read first");
    host.explain().says(
        "podman",
        "credential_expired",
        &[
            "/root/.config/containers/auth.json has one as well",
            &first,
            "it died at 2023-11-14T22:13:20Z",
        ],
    );
}

#[test]
fn broken_7_another_registrys_bad_entry_costs_all() {
    let host = Host::new();
    let mut config: Value = serde_json::from_str(&host.auths(&host.token())).unwrap();
    config["auths"]["other.example"] = json!({ "auth": "not*base64" });
    host.file("/root/.docker/config.json", &config.to_string());
    let answer = host.explain();
    answer.says(
        "docker",
        "credential_malformed",
        &["auths[\"other.example\"]", "remove that entry"],
    );
    assert!(!answer.table.contains("not*base64"));
}

#[test]
fn broken_8_a_login_by_hand_has_died() {
    let host = Host::new();
    host.file("/root/.docker/config.json", &host.auths(&host.expired()));
    let answer = host.explain();
    answer.says(
        "docker",
        "credential_expired",
        &["/root/.docker/config.json: auths[", "2023-11-14T22:13:20Z"],
    );
    assert_eq!(answer.consumer("docker")["valid_from"], "2023-11-14T10:13:20Z");
    // One that says of itself that it lives, and that the registry no longer takes.
    let token = host.token();
    host.ask_aws("/_sandbox/expire HTTP/1.1", "");
    host.file("/root/.docker/config.json", &host.auths(&token));
    host.explain().says("docker", "credential_expired", &["Your authorization token has expired"]);
    host.ask_aws("/_sandbox/forget HTTP/1.1", "");
    host.explain().says("docker", "credential_refused", &["Your Authorization Token is invalid"]);
}

#[test]
fn broken_9_no_provider_of_the_kubelet_matches_the_image() {
    let host = Host::new();
    host.kubelet(&host.token(), "*.dkr.ecr.*.amazonaws.com");
    host.explain().says(
        "kubelet",
        "kubelet_no_match",
        &[
            "matchImages has *.dkr.ecr.*.amazonaws.com",
            "to matchImages in /etc/kubernetes/providers.yaml",
        ],
    );
}

#[test]
fn broken_10_the_ecs_agents_file_has_a_dead_credential() {
    let host = Host::new();
    let data =
        json!({ format!("https://{}", host.registry): { "username": "AWS", "password": "stale" } });
    host.file(
        "/etc/ecs/ecs.config",
        &format!("ECS_CLUSTER=blue\nECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={data}\n"),
    );
    let answer = host.explain();
    answer.says(
        "ECS agent",
        "credential_refused",
        &["ECS_ENGINE_AUTH_DATA[", "systemctl restart ecs"],
    );
    // For ECR's own host names the agent does not use that, and what it does use can't be seen.
    let answer = host.explain_image("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1");
    assert_eq!(answer.code, Some(3), "{}", answer.table);
    assert_eq!(answer.consumer("ECS agent")["reason"]["code"], "ecs_role_unseen");
    assert!(answer.table.contains("not asked"), "{}", answer.table);
}

#[test]
fn a_host_where_all_is_well_is_said_to_be_so_with_the_time_until_which() {
    let host = Host::new();
    let token = host.token();
    for name in ["docker", "podman", "skopeo", "buildah", "nerdctl", "ctr"] {
        host.program(&format!("/usr/bin/{name}"), "");
    }
    host.program("/usr/libexec/docker/cli-plugins/docker-compose", "");
    host.program("/usr/bin/docker-credential-box", &host.helper(&token));
    host.file("/root/.docker/config.json", "{\"credHelpers\":{\"REGISTRY\":\"box\"}}");
    host.kubelet(&token, &host.registry);
    host.containerd("/etc/containerd/certs.d");
    let answer = host.explain();
    assert_eq!(answer.code, Some(0), "{}", answer.table);
    for consumer in
        ["docker", "compose", "podman", "skopeo", "buildah", "nerdctl", "containerd CRI", "kubelet"]
    {
        answer.works(consumer, &[]);
        let until: jiff::Timestamp =
            answer.consumer(consumer)["valid_until"].as_str().unwrap().parse().unwrap();
        assert!(until > jiff::Timestamp::now());
    }
    assert_eq!(answer.consumer("ctr")["verdict"], "by-hand");
    assert!(
        answer.table.contains("worker-7 at ") && answer.table.contains("(11 h "),
        "{}",
        answer.table
    );
    assert!(answer.json.get("reason").is_none());
}

#[test]
fn a_registry_that_does_not_answer_leaves_it_undecided() {
    let mut host = Host::new();
    host.file("/root/.docker/config.json", &host.auths(&host.token()));
    host.sandbox.kill().unwrap();
    host.sandbox.wait().unwrap();
    let answer = host.explain();
    assert_eq!(answer.code, Some(3), "{}", answer.table);
    assert_eq!(answer.consumer("docker")["reason"]["code"], "registry_unreachable");
    assert!(answer.table.contains(" unknown "), "{}", answer.table);
}

#[test]
fn a_host_without_consumers_and_an_image_without_a_registry_are_never_fine() {
    let host = Host::new();
    let answer = host.explain();
    assert_eq!((answer.code, &answer.json["reason"]["code"]), (Some(3), &json!("no_consumer")));
    let answer = host.explain_image("nginx");
    assert_eq!(answer.code, Some(2));
    assert!(answer.table.contains("names no registry"), "{}", answer.table);
}

#[test]
fn another_users_helper_is_run_as_that_user_or_not_at_all() {
    let host = Host::new();
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let (other, token) = (uid + 54_321, host.token());
    host.file(
        "/etc/passwd",
        &format!("root:x:{uid}:{gid}::/root:/bin/sh\nci:x:{other}:{other}::/home/ci:/bin/sh\n"),
    );
    host.program(
        "/usr/bin/docker-credential-mine",
        &format!("[ $(id -u) = {other} ] || exit 7\n{}", host.helper(&token)),
    );
    host.file("/home/ci/.docker/config.json", "{\"credsStore\":\"mine\"}");
    let answer = host.explain();
    let ci = answer.consumer("docker");
    assert_eq!(ci["user"], "ci");
    if uid == 0 {
        assert_eq!(ci["verdict"], "ok", "{}", answer.table);
        // What the user can't read, the user's docker does not get.
        let file = host.root.path().join("home/ci/.docker/config.json");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        host.explain().says("docker", "output_unreadable", &["/home/ci/.docker/config.json"]);
    } else {
        assert_eq!((answer.code, &ci["reason"]["code"]), (Some(3), &json!("credential_untried")));
    }
}

#[test]
fn a_link_leads_where_it_leads_on_the_host_and_a_pipe_does_not_hang() {
    let host = Host::new();
    host.file("/etc/docker/shared.json", &host.auths(&host.token()));
    fs::create_dir_all(host.root.path().join("root/.docker")).unwrap();
    let file = host.root.path().join("root/.docker/config.json");
    std::os::unix::fs::symlink("/etc/docker/shared.json", &file).unwrap();
    host.explain().works("docker", &[]);
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    host.explain().says("docker", "output_unreadable", &["it is not a regular file"]);
}

#[test]
fn no_secret_is_told() {
    let host = Host::new();
    let (token, dead) = (host.token(), host.expired());
    host.file("/root/.docker/config.json", &host.auths(&token));
    host.program("/usr/bin/podman", "");
    host.file("/root/.config/containers/auth.json", &host.auths(&dead));
    host.kubelet(&token, &host.registry);
    host.containerd("/etc/containerd/certs.d");
    host.file(&format!("{}/hosts.toml", host.folder()), &host.header(&dead));
    let answer = host.explain();
    let said = answer.table.clone() + &answer.json.to_string();
    for secret in [token, dead] {
        let plain = String::from_utf8(STANDARD.decode(&secret).unwrap()).unwrap();
        for part in [&secret[8..40], &plain[8..40]] {
            assert!(!said.contains(part), "{said}");
        }
    }
}

#[test]
fn a_containerd_setting_that_hides_nothing_is_not_complained_of() {
    let host = Host::new();
    host.kubelet(&host.token(), &host.registry);
    host.program("/usr/bin/containerd", "");
    // What 2.2 and later say by themselves: the transfer service takes the list for one folder.
    host.file("/etc/containerd/config.toml", "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = false\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n");
    let answer = host.explain();
    answer.works("containerd CRI", &[]);
    assert!(!answer.table.contains("it comes here only after"), "{}", answer.table);
    // With a header in one of them it matters.
    host.file(&format!("{}/hosts.toml", host.folder()), &host.header(&host.token()));
    host.explain().works("containerd CRI", &["it comes here only after", "[containerd_path_list]"]);
}
