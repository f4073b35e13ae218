//! The agent's introspection API on loopback (Amazon ECS developer guide, "ECS container
//! introspection").

use std::{
    io::{self, Read as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;

/// Where the agent listens.
pub const AGENT: SocketAddr =
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

/// A task that the agent runs here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// `NONE`, `PENDING`, `RUNNING`, `STOPPED`, ...
    pub known_status: String,
    /// The family of its definition.
    #[serde(default)]
    pub family: String,
    /// The revision of its definition.
    #[serde(default)]
    pub version: String,
    /// Its containers, as far as they were created.
    #[serde(default)]
    pub containers: Vec<Container>,
}

/// A container of a task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its id in Docker.
    #[serde(default)]
    pub docker_id: String,
    /// Its name in the task definition.
    #[serde(default)]
    pub name: String,
}

/// The tasks of this host.
pub fn tasks(agent: SocketAddr) -> io::Result<Vec<Task>> {
    let stream = TcpStream::connect_timeout(&agent, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = get(stream, "/v1/tasks")?;
    let tasks: Tasks = serde_json::from_str(&body)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    Ok(tasks.tasks)
}

/// The body of one plain answer: what the agent and Docker speak on this host.
pub fn get(mut stream: impl io::Read + io::Write, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| broken("no HTTP answer"))?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(broken(head.lines().next().unwrap_or_default()));
    }
    Ok(body.to_owned())
}

/// A task that is on its way to run; none if the agent may be restarted.
pub(super) fn placing(agent: SocketAddr) -> io::Result<Option<String>> {
    let placing = tasks(agent)?
        .into_iter()
        .find(|task| task.desired_status == "RUNNING" && task.known_status != "RUNNING");
    Ok(placing.map(|task| task.arn))
}
