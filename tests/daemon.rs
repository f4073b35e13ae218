//! The daemon as a process, against the sandbox as another: what its users see.

#![allow(clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "sandbox")]

mod host;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::host::{Host, until};

#[test]
fn a_restart_publishes_what_was_kept_and_mints_nothing() {
    let mut host = Host::new("12h");
    host.start();
    until("the first credential", || host.published().is_some());
    until("it is kept", || {
        host.path("state/tokens").exists() && host.status().status.code() == Some(0)
    });
    host.stop();
    fs::remove_file(host.path("docker/config.json")).unwrap();
    host.sandbox("POST", "faults", "[\"cut\"]");
    host.start();
    until("the kept credential", || host.published().is_some());
    host.sandbox("POST", "faults", "[]");
    assert_eq!(host.minted(), 1);
}

#[test]
fn a_token_that_dies_early_is_replaced_at_the_next_check() {
    let mut host = Host::new("12h");
    host.configure("[refresh]\ncheck = \"1s\"");
    host.start();
    until("the first credential", || host.published().is_some());
    let first = host.published();
    host.sandbox("POST", "forget", "");
    until("another credential", || host.published().is_some_and(|now| Some(now) != first));
}

#[test]
fn credentials_never_go_stale_over_many_lives() {
    let mut host = Host::new("8s");
    host.start();
    until("the first credential", || host.published().is_some());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(17) {
        // What a pull would send at this moment is accepted.
        let auth = host.published().expect("there is always one");
        let answer = curl(&host, &auth);
        assert_eq!(answer, "200", "{}", host.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(host.minted() >= 3);
}

fn curl(host: &Host, auth: &str) -> String {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
        .arg(host.path("ca.pem"))
        .args([
            "-H",
            &format!("Authorization: Basic {auth}"),
            &format!("https://{}/v2/", host.registry),
        ])
        .output()
        .expect("curl is there");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_invalid_configuration_leaves_the_old_one_running_and_says_where_the_mistake_is() {
    let mut host = Host::new("12h");
    host.start();
    until("it is fine", || host.status().status.code() == Some(0));
    host.configure("[refresh]\nchek = \"1s\"");
    until("the mistake in status", || {
        let output = host.status();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        output.status.code() == Some(1)
            && json["reason"]["code"] == "config_invalid"
            && json["config"]["mistakes"][0]
                .as_str()
                .unwrap()
                .contains("did you mean refresh.check?")
    });
    assert!(host.log().contains("did you mean refresh.check?"));
    assert!(host.published().is_some());
    host.configure("");
    until("it is fine again", || host.status().status.code() == Some(0));
}

#[test]
fn a_reload_is_a_difference_what_did_not_change_mints_nothing_and_what_went_is_withdrawn() {
    let mut host = Host::new("12h");
    let second = host.path("second.json");
    let output = format!(
        "[[output]]\nname = \"second\"\nkind = \"docker-config\"\npath = \"{}\"",
        second.display()
    );
    let alias =
        "[[registry]]\nname = \"other\"\naccount = \"234567890123\"\nregion = \"eu-west-1\"";
    host.start();
    until("the first credential", || host.published().is_some());
    host.configure(&format!("{output}\n{alias}"));
    host.signal("-HUP");
    let other = "234567890123.dkr.ecr.eu-west-1.amazonaws.com";
    until("the new registry in both", || {
        host.entry(other).is_some()
            && fs::read_to_string(&second).is_ok_and(|text| text.contains(other))
    });
    fs::write(&second, fs::read_to_string(&second).unwrap().replacen('{', "{\"theirs\": 1, ", 1))
        .unwrap();
    host.configure("");
    host.signal("-HUP");
    until("both are withdrawn", || {
        let text = fs::read_to_string(&second).unwrap();
        host.entry(other).is_none() && !text.contains("auth\":") && text.contains("theirs")
    });
    assert!(host.published().is_some());
    assert_eq!(host.minted(), 1);
}

#[test]
fn an_output_taken_out_while_the_daemon_was_stopped_is_withdrawn_at_its_next_start() {
    let mut host = Host::new("12h");
    let second = host.path("second.json");
    host.configure(&format!(
        "[[output]]\nname = \"second\"\nkind = \"docker-config\"\npath = \"{}\"",
        second.display()
    ));
    host.start();
    until("the second output", || {
        fs::read_to_string(&second).is_ok_and(|text| text.contains("auth"))
    });
    host.stop();
    host.configure("");
    host.start();
    until("it is withdrawn", || !fs::read_to_string(&second).unwrap().contains("localhost"));
}

#[test]
fn each_fault_of_aws_is_named_by_its_reason() {
    for (fault, code) in [
        ("throttle", "throttled"),
        ("deny", "permission_missing"),
        ("skew", "clock_skew"),
        ("broken", "aws_server_error"),
        ("cut", "aws_unreachable"),
    ] {
        let mut host = Host::new("12h");
        host.sandbox("POST", "faults", &format!("[\"{fault}\"]"));
        host.start();
        until(&format!("{fault} is {code}"), || {
            let output = host.status();
            let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            output.status.code() == Some(1) && json["reason"]["code"] == code
        });
        host.sandbox("POST", "faults", "[]");
        until("it works when the fault is gone", || host.published().is_some());
    }
}

#[test]
fn no_secret_reaches_log_status_or_ledger_at_any_level() {
    let mut host = Host::new("4s");
    host.start();
    until("a refresh", || host.minted() > 1);
    let auth = host.published().unwrap();
    let pages = fs::read_dir(host.path("state/outputs")).unwrap();
    let ledger = pages.map(|page| fs::read_to_string(page.unwrap().path()).unwrap()).collect();
    let shown = [
        host.log(),
        String::from_utf8(host.status().stdout).unwrap(),
        ledger,
        fs::read_to_string(format!("/proc/{}/cmdline", host.daemon.as_ref().unwrap().id()))
            .unwrap(),
    ];
    for text in shown {
        for secret in [&auth[..], &auth[8..40], "sandbox-secret-key"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn refresh_publishes_once_and_exits_with_what_came_of_it() {
    let host = Host::new("12h");
    let output = host.command(&["refresh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(host.published().is_some());
    let host = Host::new("12h");
    host.sandbox("POST", "faults", "[\"deny\"]");
    let output = host.command(&["refresh"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("[permission_missing]") && text.contains("->"), "{text}");
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_file() {
    let rounds = std::env::var("KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut host = Host::new("1s");
    host.start();
    until("the first credential", || host.published().is_some());
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..120)));
        host.signal("-KILL");
        host.daemon.take().unwrap().wait().unwrap();
        assert!(host.path("docker/config.json").exists(), "round {round}");
        let text = fs::read(host.path("docker/config.json")).unwrap();
        serde_json::from_slice::<Value>(&text)
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        host.start();
    }
    until("a credential again", || host.published().is_some());
}

#[test]
fn without_a_daemon_status_says_so_and_what_to_do() {
    let host = Host::new("12h");
    let output = host.command(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("systemctl start ecr-warden"), "{text}");
}

#[test]
fn setup_systemd_lists_the_outputs_folders() {
    let host = Host::new("12h");
    let output = host.command(&["setup", "systemd"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let folder: &Path = &host.path("docker");
    assert!(text.contains(&format!("ReadWritePaths=-{}", folder.display())), "{text}");
}

#[test]
fn a_chain_of_roles_is_assumed_one_on_top_of_the_other() {
    let mut host = Host::new("12h");
    host.configure(&format!(
        "[identity.hub]\nendpoint_url = \"http://{0}\"\nrole_arn = \"arn:aws:iam::210987654321:role/hub\"\n\
         [identity.puller]\nendpoint_url = \"http://{0}\"\nsource = \"hub\"\nexternal_id = \"x\"\nrole_arn = \"arn:aws:iam::345678901234:role/puller\"\n\
         [[registry]]\naccount = \"123456789012\"\nregion = \"us-east-1\"\nname = \"far\"\nidentity = \"puller\"",
        host.aws
    ));
    host.start();
    until("the credential of the role", || {
        host.entry("123456789012.dkr.ecr.us-east-1.amazonaws.com").is_some()
    });
    assert_eq!(host.sandbox("GET", "calls", "")["sts:AssumeRole"], 2);
}

#[test]
fn an_expiry_that_cannot_be_right_is_named_and_the_token_used() {
    let mut host = Host::new("12h");
    host.sandbox("POST", "faults", "[\"past-expiry\"]");
    host.start();
    until("it is named", || {
        let json: Value = serde_json::from_slice(&host.status().stdout).unwrap_or_default();
        json["reason"]["code"] == "token_expiry_implausible"
    });
    until("it is used all the same", || host.published().is_some());
    assert_eq!(host.minted(), 1);
}

#[test]
fn a_second_daemon_on_the_same_socket_does_not_start() {
    let mut host = Host::new("12h");
    host.start();
    until("it runs", || host.status().status.code() == Some(0));
    let output = host.command(&["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("another daemon listens"), "{text}");
    assert_eq!(host.status().status.code(), Some(0), "the first one is not harmed");
}

#[test]
fn a_registry_that_exchanges_passwords_for_bearer_tokens_is_asked_there() {
    let mut host = Host::new("12h");
    host.sandbox("POST", "faults", "[\"bearer\"]");
    host.configure("[refresh]\ncheck = \"1s\"");
    host.start();
    until("it is accepted", || host.published().is_some() && host.status().status.success());
    let first = host.published();
    host.sandbox("POST", "forget", "");
    until("another credential", || host.published().is_some_and(|now| Some(now) != first));
}

#[test]
fn a_failed_refresh_keeps_the_working_credential_until_it_expires_and_then_withdraws_it() {
    let mut host = Host::new("6s");
    host.start();
    until("the first credential", || host.published().is_some());
    host.sandbox("POST", "faults", "[\"deny\"]");
    let last = host.published();
    until("the failure is told", || {
        let json: Value = serde_json::from_slice(&host.status().stdout).unwrap_or_default();
        json["reason"]["code"] == "permission_missing"
    });
    assert_eq!(host.published(), last, "it still works");
    until("it is withdrawn", || host.published().is_none());
    let gone = curl(&host, &last.unwrap());
    assert_eq!(gone, "403", "not before it had expired");
    host.sandbox("POST", "faults", "[]");
    until("a credential again", || host.published().is_some());
}
