//! The agent's introspection API on loopback (Amazon ECS developer guide, "ECS container
//! introspection").

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;

/// Where the agent listens.
pub(super) const AGENT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 51_678);

const PATIENCE: Duration = Duration::from_secs(2);

/// The longest answer that is read: some thousand tasks.
const LONGEST: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tasks {
    #[serde(default)]
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    arn: String,
    desired_status: String,
    known_status: String,
}

/// A task that is on its way to run; none if the agent may be restarted.
pub(super) fn placing(agent: SocketAddr) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect_timeout(&agent, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /v1/tasks HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| broken("no HTTP answer"))?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(broken(head.lines().next().unwrap_or_default()));
    }
    let tasks: Tasks = serde_json::from_str(body).map_err(|error| broken(&error.to_string()))?;
    let placing = tasks
        .tasks
        .into_iter()
        .find(|task| task.desired_status == "RUNNING" && task.known_status != "RUNNING");
    Ok(placing.map(|task| task.arn))
}
