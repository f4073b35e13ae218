use std::{
    fs,
    io::{Read as _, Write as _},
};

use super::{super::tests::*, *};
use crate::model::{output::OutputKind, reason::Reason};

/// Publishes "p", then "q", then withdraws: the file after "p", and at the end.
fn round(before: &str) -> (String, String) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ecs.config");
    fs::write(&path, before).unwrap();
    let output = built(&spec(OutputKind::EcsConfig, "/ecs.config"), root.path());
    let _ = output.publish(&entries("p"), &Ownership::new()).unwrap();
    assert!(matches!(output.read_back(&entries("p")).unwrap()[HOST], Seen::Ours { .. }));
    let published = fs::read_to_string(&path).unwrap();
    let _ = output.publish(&entries("q"), &Ownership::new()).unwrap();
    let again = output.publish(&entries("q"), &Ownership::new()).unwrap();
    assert!(!again.written);
    assert!(matches!(output.read_back(&entries("p")).unwrap()[HOST], Seen::NotOurs(_)));
    let _ = output.publish(&Entries::new(), &withdrawal("q")).unwrap();
    (published, fs::read_to_string(&path).unwrap())
}

#[test]
fn other_lines_and_other_registries_stay_to_the_letter() {
    let theirs = "# cluster\nECS_CLUSTER=blue\n\nECS_ENGINE_AUTH_TYPE=dockercfg\nECS_ENGINE_AUTH_DATA={\"registry.example\":{\"auth\":\"eDp5\",\"email\":\"a@b\"}}\nECS_LOGLEVEL=info\n";
    let (published, after) = round(theirs);
    assert!(published.contains("\"registry.example\":{\"auth\":\"eDp5\""), "{published}");
    assert!(published.contains(&format!("\"{HOST}\":{{\"auth\":\"QVdTOnA=\"}}")), "{published}");
    assert_eq!(published.lines().count(), theirs.lines().count());
    assert_eq!(after, theirs);
}

#[test]
fn a_file_without_registries_gets_both_lines_and_loses_both() {
    let (published, after) = round("ECS_CLUSTER=blue");
    assert_eq!(
        published,
        format!(
            "ECS_CLUSTER=blue\nECS_ENGINE_AUTH_TYPE=dockercfg\nECS_ENGINE_AUTH_DATA={{\"{HOST}\":{{\"auth\":\"QVdTOnA=\"}}}}\n"
        )
    );
    assert_eq!(after, "ECS_CLUSTER=blue\n");
}

#[test]
fn the_docker_type_gets_user_and_password() {
    let theirs = "ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA='{\"https://r.example\":{\"username\":\"u\",\"password\":\"w\"}}'\n";
    let (published, after) = round(theirs);
    assert!(
        published.contains(&format!("\"{HOST}\":{{\"username\":\"AWS\",\"password\":\"p\"}}}}'\n")),
        "{published}"
    );
    assert_eq!(after, theirs);
}

#[test]
fn an_administrators_type_stays_when_our_data_go() {
    let (published, after) = round("ECS_ENGINE_AUTH_TYPE=docker\nECS_CLUSTER=blue\n");
    assert!(published.contains("\"username\":\"AWS\""), "{published}");
    assert_eq!(after, "ECS_ENGINE_AUTH_TYPE=docker\nECS_CLUSTER=blue\n");
}

#[test]
fn data_that_is_not_understood_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let text = "ECS_ENGINE_AUTH_DATA={\"secret\n";
    fs::write(root.path().join("ecs.config"), text).unwrap();
    let output = built(&spec(OutputKind::EcsConfig, "/ecs.config"), root.path());
    let problem = output.publish(&entries("p"), &Ownership::new()).unwrap_err();
    assert_eq!(problem.reason, Reason::OutputMalformed);
    assert!(!problem.detail.contains("secret"));
    assert_eq!(fs::read_to_string(root.path().join("ecs.config")).unwrap(), text);
}

fn agent(answer: &'static str) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(answer.as_bytes());
    });
    address
}

#[test]
fn the_agent_is_not_restarted_while_a_task_is_being_placed() {
    let busy = agent(
        "HTTP/1.0 200 OK\r\n\r\n{\"Tasks\":[{\"Arn\":\"task/1\",\"DesiredStatus\":\"RUNNING\",\"KnownStatus\":\"RUNNING\"},{\"Arn\":\"task/2\",\"DesiredStatus\":\"RUNNING\",\"KnownStatus\":\"PENDING\"}]}",
    );
    assert_eq!(introspection::placing(busy).unwrap().as_deref(), Some("task/2"));
    let idle = agent(
        "HTTP/1.0 200 OK\r\n\r\n{\"Tasks\":[{\"Arn\":\"task/1\",\"DesiredStatus\":\"STOPPED\",\"KnownStatus\":\"RUNNING\"}]}",
    );
    assert_eq!(introspection::placing(idle).unwrap(), None);
    assert!(introspection::placing(agent("HTTP/1.0 500 Oops\r\n\r\n")).is_err());
    assert!(introspection::placing(agent("what")).is_err());
}
