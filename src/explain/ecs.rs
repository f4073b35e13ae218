//! The ECS agent: what its file has against what it fetches itself, and the tasks of this host.

use std::{os::unix::net::UnixStream, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Credential, Image, Step, Trouble, Way, look::Tree};
use crate::{
    consumer::ecs::{AuthData, DATA},
    model::{outcome::Problem, reason::Reason, registry::RegistryHost},
    output::ecs_config::introspection::{AGENT, Container, Task, get, tasks},
};

const FILE: &str = "/etc/ecs/ecs.config";
const DOCKER: &str = "/var/run/docker.sock";
const PATIENCE: Duration = Duration::from_secs(3);

/// The tasks of an ECS host, and what pulls their images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// Each container of each task.
    pub containers: Vec<TaskContainer>,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskContainer {
    /// The task's ARN.
    pub task: String,
    /// `FAMILY:REVISION` of its definition.
    pub definition: String,
    /// The agent's word for where it stands.
    pub status: String,
    /// Its name in the definition.
    pub container: String,
    /// Its image, where Docker told it.
    pub image: Option<String>,
    /// The role that pulls it.
    pub execution_role: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    config: InspectedConfig,
    #[serde(default)]
    state: InspectedState,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    #[serde(default)]
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    #[serde(default)]
    started_at: Option<jiff::Timestamp>,
}

/// Whether this is an ECS host.
fn present(tree: &Tree) -> bool {
    ["/etc/ecs/ecs.config", "/var/lib/ecs", "/usr/libexec/amazon-ecs-init"]
        .iter()
        .any(|path| tree.exists(Path::new(path)))
}

/// The agent's way, if it is on this host.
pub(super) fn way(tree: &Tree, image: &Image) -> Option<Way> {
    if !present(tree) {
        return None;
    }
    let mut way = Way { consumers: vec!["ECS agent"], ..Way::default() };
    let file = Path::new(FILE);
    let read = tree.read(file).and_then(|text| {
        let text =
            text.as_ref().map_or_else(Default::default, |text| String::from_utf8_lossy(text));
        AuthData::of(&text, file)
    });
    let host = &image.host;
    let is_ecr = RegistryHost::parse(host).is_some();
    match read {
        _ if is_ecr => {
            if read.is_ok_and(|data| data.data.contains_key(&data.key(host))) {
                way.notes.push(format!("{FILE}: {DATA} has an entry for it, which the agent does not use for ECR's own host names"));
            }
            let detail =
                "the task's execution role, else the instance's; it was not asked".to_owned();
            let trouble = Trouble::new(Problem::new(Reason::EcsRoleUnseen, detail));
            way.steps.push(Step::new(
                "the agent's own GetAuthorizationToken",
                Credential::Unknown(trouble),
            ));
        }
        Err(problem) if problem.reason == Reason::OutputUnreadable => {
            way.steps.push(Step::new(FILE, Credential::Unknown(Trouble::new(problem))));
        }
        Err(problem) => way.steps.push(Step::bad(
            FILE,
            Trouble::new(problem)
                .fix("repair the line; the agent then needs a restart: systemctl restart ecs"),
        )),
        Ok(data) => {
            let key = data.key(host);
            let from = format!("{FILE}: {DATA}[{key:?}]");
            let renew = "renew it ([[output]] kind = \"ecs-config\" does) and restart the agent: systemctl restart ecs";
            way.steps.push(match data.token(&key) {
                Some(token) => {
                    let mut step = Step::new(from, Credential::Token(token));
                    step.refused = Some(Trouble::new(Problem::new(Reason::CredentialExpired, String::new())).fix(renew));
                    step
                }
                None if data.data.contains_key(&key) => Step::bad(from.clone(), Trouble::new(Problem::new(Reason::CredentialMalformed, from)).fix(renew)),
                None => {
                    let detail = format!("{FILE}: {DATA} has none for {host}, and the agent fetches tokens for ECR's own host names only");
                    Step::bad(FILE, Trouble::new(Problem::new(Reason::CredentialAbsent, detail)).fix("publish it: [[output]] kind = \"ecs-config\"; then restart the agent: systemctl restart ecs"))
                }
            });
            if let Some(late) = late(tree, file) {
                way.steps.insert(0, Step::bad(FILE, late));
                way.steps.truncate(1);
            }
        }
    }
    Some(way)
}

/// The agent runs since before its file was written.
fn late(tree: &Tree, file: &Path) -> Option<Trouble> {
    let written = tree.written(file)?;
    let agent = inspect(&tree.here(Path::new(DOCKER)), "ecs-agent").ok()?;
    let started = agent.state.started_at?;
    (started < written).then(|| {
        let detail = format!("{FILE} was written after {started:.0}");
        Trouble::new(Problem::new(Reason::EcsAgentNotRestarted, detail))
    })
}

/// The tasks of this host; none if it is no ECS host.
pub fn examine(tree: &Tree) -> Option<Examination> {
    present(tree).then(|| examined(tasks(AGENT), &tree.here(Path::new(DOCKER))))
}

fn examined(tasks: std::io::Result<Vec<Task>>, docker: &Path) -> Examination {
    let tasks = match tasks {
        Ok(tasks) => tasks,
        Err(error) => {
            let unseen =
                format!("the agent's introspection API at {AGENT} does not answer: {error}");
            return Examination { containers: Vec::new(), unseen: Some(unseen) };
        }
    };
    let mut unseen = None;
    let mut image_of = |container: &Container| match inspect(docker, &container.docker_id) {
        Ok(found) => Some(found.config.image),
        Err(error) => {
            unseen.get_or_insert_with(|| format!("Docker did not tell every image: {error}"));
            None
        }
    };
    let mut containers = Vec::new();
    for task in &tasks {
        for container in &task.containers {
            containers.push(TaskContainer {
                task: task.arn.clone(),
                definition: format!("{}:{}", task.family, task.version),
                status: task.known_status.clone(),
                container: container.name.clone(),
                image: image_of(container),
                execution_role: "not asked",
            });
        }
    }
    Examination { containers, unseen }
}

/// What Docker knows of a container.
fn inspect(docker: &Path, id: &str) -> std::io::Result<Inspected> {
    // It becomes part of a path.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(std::io::Error::other(format!("{id:?} is no container's id")));
    }
    let stream = UnixStream::connect(docker)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = get(stream, &format!("/containers/{id}/json"))?;
    serde_json::from_str(&body).map_err(|error| std::io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixListener,
    };

    use super::*;

    fn task() -> Task {
        serde_json::from_str(
            r#"{"Arn":"arn:aws:ecs:eu-west-1:1:task/c/1","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Family":"web","Version":"7","Containers":[{"DockerId":"abc123","DockerName":"ecs-web","Name":"app"},{"DockerId":"../x","Name":"odd"}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_agent_names_the_tasks_and_docker_their_images() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The request may come in pieces.
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let answer = r#"{"Config":{"Image":"h.example/app:1"},"State":{"StartedAt":"2026-01-01T00:00:00.5Z"}}"#;
            write!(stream, "HTTP/1.0 200 OK\r\n\r\n{answer}").unwrap();
            String::from_utf8(request).unwrap()
        });
        let found = examined(Ok(vec![task()]), &socket);
        assert!(asked.join().unwrap().starts_with("GET /containers/abc123/json HTTP/1.0\r\n"));
        assert_eq!(found.containers[0].image.as_deref(), Some("h.example/app:1"));
        assert_eq!(found.containers[0].definition, "web:7");
        assert_eq!(found.containers[0].execution_role, "not asked");
        // An id that would lead elsewhere is not asked for.
        assert_eq!(found.containers[1].image, None);
        assert!(found.unseen.unwrap().contains("no container's id"));
    }

    #[test]
    fn an_agent_that_does_not_answer_is_told_and_is_not_an_empty_host() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let found = examined(Err(refused), Path::new("/no"));
        assert!(found.unseen.unwrap().contains("127.0.0.1:51678"));
    }
}
