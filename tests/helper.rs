//! The credential helper, the kubelet's provider, `token`, `setup` and `withdraw`, as processes.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unnecessary_debug_formatting,
    missing_docs
)]
#![cfg(feature = "sandbox")]

mod host;

use std::{fs, process::Output, time::Duration};

use serde_json::{Value, json};

use self::host::{Host, until};

const NOT_FOUND: &str = "credentials not found in native keychain\n";

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A host whose daemon serves the socket, once it has a credential to give.
fn serving(token_life: &str) -> Host {
    let mut host = Host::new(token_life);
    host.configure(&socket(&host, ""));
    host.start();
    until("the helper gets a credential", || host.helper("get", &host.registry).status.success());
    host
}

fn socket(host: &Host, more: &str) -> String {
    let path = host.path("credentials.sock");
    format!("[[output]]\nname = \"helper\"\nkind = \"socket\"\npath = {path:?}\n{more}")
}

#[test]
fn the_helper_speaks_dockers_protocol_and_gives_what_the_registry_takes() {
    let host = serving("12h");
    let url = format!("https://{}/v2/", host.registry);
    let found = json_of(&host.helper("get", &format!("{url}\n")));
    assert_eq!((&found["ServerURL"], &found["Username"]), (&json!(url), &json!("AWS")));
    assert!(!found["Secret"].as_str().unwrap().is_empty());
    assert_eq!(json_of(&host.helper("list", "unused"))[&host.registry], "AWS");

    let foreign = host.helper("get", "https://index.docker.io/v1/");
    assert_eq!((said(&foreign).as_str(), foreign.status.code()), (NOT_FOUND, Some(1)));
    let nothing = host.helper("get", "\n");
    assert_eq!(said(&nothing), "no credentials server URL\n");

    let given = json!({ "ServerURL": host.registry, "Username": "AWS", "Secret": "x" }).to_string();
    assert!(host.helper("store", &given).status.success());
    assert!(host.helper("erase", &host.registry).status.success());
    let lost = host.helper("store", &given.replace(&host.registry, "ghcr.io"));
    assert!(!lost.status.success() && said(&lost).contains("ghcr.io"));
    assert!(said(&host.helper("version", "")).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(json_of(&host.helper("get", &host.registry))["Secret"], found["Secret"]);
    assert_eq!(host.helper("nonsense", "").status.code(), Some(1));
}

#[test]
fn the_kubelet_gets_the_credential_for_no_longer_than_it_lives() {
    let host = serving("12h");
    for version in ["v1", "v1beta1"] {
        let version = format!("credentialprovider.kubelet.k8s.io/{version}");
        let request = json!({
            "apiVersion": version, "kind": "CredentialProviderRequest",
            "image": format!("{}/app/web@sha256:00", host.registry),
        });
        let response = json_of(&host.helper("kubelet", &request.to_string()));
        assert_eq!(response["apiVersion"], version);
        assert_eq!(response["kind"], "CredentialProviderResponse");
        assert_eq!(response["cacheKeyType"], "Registry");
        let seconds = response["cacheDuration"].as_str().unwrap().strip_suffix('s').unwrap();
        let seconds: u64 = seconds.parse().unwrap();
        assert!(seconds > 11 * 3600 && seconds < 12 * 3600, "{seconds}");
        assert_eq!(response["auth"][&host.registry]["username"], "AWS");
    }
    let old = json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1alpha1",
        "kind": "CredentialProviderRequest", "image": host.registry,
    });
    let refused = host.helper("kubelet", &old.to_string());
    assert!(!refused.status.success() && complained(&refused).contains("v1alpha1"));
}

#[test]
fn a_stopped_daemon_leaves_the_helper_what_it_kept_until_that_dies() {
    let mut host = serving("15s");
    let before = json_of(&host.helper("get", &host.registry));
    host.stop();
    let kept = json_of(&host.helper("get", &host.registry));
    assert_eq!(kept["Username"], before["Username"]);
    assert_eq!(said(&host.helper("get", "ghcr.io")), NOT_FOUND);
    until("the kept credential dies", || {
        let dead = host.helper("get", &host.registry);
        !dead.status.success() && said(&dead).contains("expired")
    });
    assert!(said(&host.helper("get", &host.registry)).contains("systemctl start ecr-warden"));
}

#[test]
fn rotations_under_many_askers_give_no_torn_answer() {
    let host = serving("4s");
    let host = &host;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                while host.minted() < 3 {
                    let found = json_of(&host.helper("get", &host.registry));
                    assert_eq!(found["Username"], "AWS");
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
}

#[test]
fn a_pattern_is_served_by_the_socket_and_written_into_no_file() {
    let mut host = Host::new("12h");
    let registry =
        "[[registry]]\nname = \"images\"\nhosts = [\"REGISTRY\", \"*.mirror.example.test\"]\n";
    host.configure(&(registry.replace("REGISTRY", &host.registry) + &socket(&host, "")));
    let text = fs::read_to_string(host.path("config.toml")).unwrap();
    // One table of that name: the second would be another registry.
    let (first, second) = (text.find("hosts = [").unwrap(), text.rfind("[[registry]]").unwrap());
    let merged =
        text[..second].to_owned() + &text[text.find("[[output]]\nname = \"helper\"").unwrap()..];
    let end = first + merged[first..].find('\n').unwrap();
    let hosts = format!("hosts = [\"{}\", \"*.mirror.example.test\"]", host.registry);
    fs::write(host.path("config.toml"), merged[..first].to_owned() + &hosts + &merged[end..])
        .unwrap();
    host.start();
    until("any mirror is served", || host.helper("get", "eu.mirror.example.test").status.success());
    assert_eq!(said(&host.helper("get", "a.b.mirror.example.test")), NOT_FOUND);
    let listed = json_of(&host.helper("list", "")).to_string();
    assert!(listed.contains(&host.registry) && !listed.contains("mirror"), "{listed}");
    until("config.json", || host.published().is_some());
    assert!(!fs::read_to_string(host.path("docker/config.json")).unwrap().contains("mirror"));
    host.stop();
    assert!(host.helper("get", "us.mirror.example.test").status.success(), "from what was kept");
}

#[test]
fn token_prints_what_the_daemon_gives_and_mints_when_there_is_none() {
    let mut host = serving("12h");
    let given = json_of(&host.helper("get", &host.registry))["Secret"].as_str().unwrap().to_owned();
    let by_name = host.command(&["token", "images"]).output().unwrap();
    assert_eq!(said(&by_name).trim_end(), given);
    let by_host = host.command(&["token", &host.registry]).output().unwrap();
    assert_eq!(said(&by_host).trim_end(), given);
    assert_eq!(host.minted(), 1);
    let unknown = host.command(&["token", "nowhere"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(complained(&unknown).contains("images"), "{unknown:?}");
    host.stop();
    fs::remove_dir_all(host.path("state")).unwrap();
    let fresh = host.command(&["token", "images"]).output().unwrap();
    assert!(fresh.status.success() && !said(&fresh).trim().is_empty(), "{fresh:?}");
    assert_eq!(host.minted(), 2);
}

#[test]
fn without_a_daemon_a_kept_token_that_was_revoked_is_neither_printed_nor_published_again() {
    let mut host = serving("12h");
    until("config.json", || host.published().is_some());
    let kept = said(&host.command(&["token", "images"]).output().unwrap());
    host.stop();
    let same = host.command(&["token", "images"]).output().unwrap();
    assert_eq!((said(&same), host.minted()), (kept.clone(), 1), "what works is not minted again");
    host.sandbox("POST", "forget", "");
    let fresh = said(&host.command(&["token", "images"]).output().unwrap());
    assert!(fresh != kept && host.minted() == 2, "minted {} times", host.minted());
    host.sandbox("POST", "forget", "");
    let before = host.published();
    assert!(host.command(&["refresh"]).output().unwrap().status.success());
    assert_ne!(host.published(), before);
    assert_eq!(host.minted(), 3);
}

#[test]
fn withdraw_takes_out_what_is_ours_and_only_while_nobody_puts_it_back() {
    let mut host = serving("12h");
    until("config.json", || host.published().is_some());
    let busy = host.command(&["withdraw", "--all"]).output().unwrap();
    assert_eq!(busy.status.code(), Some(2));
    assert!(complained(&busy).contains("systemctl stop ecr-warden"));
    assert!(host.published().is_some());
    host.stop();
    let config = host.path("docker/config.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["auths"]["ghcr.io"] = json!({ "auth": "YTpi" });
    fs::write(&config, json.to_string()).unwrap();
    let alive = host.command(&["withdraw", "--expired"]).output().unwrap();
    assert!(alive.status.success() && alive.stdout.is_empty(), "{alive:?}");
    assert!(host.published().is_some());
    let all = host.command(&["withdraw", "--all"]).output().unwrap();
    assert!(all.status.success() && said(&all).contains(&host.registry), "{all:?}");
    assert_eq!(host.published(), None);
    assert_eq!(host.entry("ghcr.io").as_deref(), Some("YTpi"));
    assert!(!host.path("state/helper.json").exists());
    let again = host.command(&["withdraw", "--all"]).output().unwrap();
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
}

#[test]
fn what_dies_while_the_daemon_is_down_is_withdrawn_by_the_timers_command() {
    let mut host = serving("60s");
    until("config.json", || host.published().is_some());
    host.stop();
    // Dead before the timer comes again.
    let done = host.command(&["withdraw", "--expired"]).output().unwrap();
    assert!(done.status.success() && said(&done).contains(&host.registry), "{done:?}");
    assert_eq!(host.published(), None);
}

#[test]
fn setup_docker_has_docker_ask_the_helper_and_takes_that_back() {
    let mut host = serving("12h");
    let folder = host.path("other");
    let program = env!("CARGO_BIN_EXE_docker-credential-ecr-warden");
    let path = std::path::Path::new(program).parent().unwrap().to_owned();
    let setup = |host: &Host, more: &[&str]| {
        let mut command = host.command(&[&["setup", "docker"], more].concat());
        command.env("DOCKER_CONFIG", &folder).env("PATH", &path).output().unwrap()
    };
    let file = folder.join("config.json");
    let done = setup(&host, &[]);
    assert!(done.status.success(), "{done:?}");
    let text: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(text["credHelpers"][&host.registry], "ecr-warden");
    assert_eq!(text.as_object().unwrap().len(), 1);
    assert!(setup(&host, &["--undo"]).status.success() && !file.exists());

    // A host whose helper has nothing to give keeps the Docker that it had.
    host.stop();
    fs::remove_file(host.path("state/helper.json")).unwrap();
    let refused = setup(&host, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(complained(&refused).contains("nothing was changed") && !file.exists());
    assert!(setup(&host, &["--anyway"]).status.success() && file.exists());
    let all = host.command(&["withdraw", "--all"]).output().unwrap();
    assert!(all.status.success() && !file.exists(), "{all:?}");
}

#[test]
fn setup_kubelet_prints_a_configuration_with_every_host() {
    let host = Host::new("12h");
    let nobody = host.command(&["setup", "kubelet"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(complained(&nobody).contains("kind = \"socket\""));
    host.configure(&socket(&host, ""));
    let printed = said(&host.command(&["setup", "kubelet"]).output().unwrap());
    for line in [
        "apiVersion: kubelet.config.k8s.io/v1",
        "kind: CredentialProviderConfig",
        "  - name: docker-credential-ecr-warden",
        "    apiVersion: credentialprovider.kubelet.k8s.io/v1",
        &format!("      - {:?}", host.registry),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in:\n{printed}");
    }
    assert!(printed.contains("ECR_WARDEN_SOCKET"), "{printed}");
}
