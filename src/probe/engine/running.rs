//! What runs on this host now, by digest: would it start again? A tag may have moved since, and an
//! image may have gone from the registry while its containers go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::{
    Engine,
    api::{Api, message},
    ctr::Ctr,
};
use crate::model::{image::ImageRef, outcome::Problem, reason::Reason};

const PATIENCE: Duration = Duration::from_secs(20);

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// `HOST/REPOSITORY@DIGEST` of each image that a registry could be asked for, with the number of
    /// its containers.
    pub images: BTreeMap<String, usize>,
    /// Images of containers that no registry knows by digest: built or loaded here. What they are
    /// called, with the number of their containers.
    pub local: BTreeMap<String, usize>,
}

impl Running {
    /// What runs on another engine as well.
    pub fn add(&mut self, other: Self) {
        for (name, count) in other.images {
            *self.images.entry(name).or_default() += count;
        }
        for (name, count) in other.local {
            *self.local.entry(name).or_default() += count;
        }
    }

    fn note(&mut self, name: &str, digests: &[String]) {
        let repository = repository(name);
        let usable = || digests.iter().filter(|digest| is_reference(digest));
        // Of several repositories the one counts that the container was started from.
        let own = usable().find(|digest| Some(self::repository(digest)) == Some(repository));
        match own.or_else(|| usable().next()) {
            Some(digest) => *self.images.entry(digest.clone()).or_default() += 1,
            None => *self.local.entry(name.to_owned()).or_default() += 1,
        }
    }
}

/// The name without tag and digest.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

fn is_reference(digest: &str) -> bool {
    ImageRef::parse(digest).is_ok_and(|image| image.digest.is_some())
}

/// Looks at an engine's running containers. The containers of ECS tasks are among Docker's.
pub async fn running(engine: Engine, socket: &Path) -> Result<Running, Problem> {
    match engine {
        Engine::Docker | Engine::Podman => of_docker(&Api::new(socket)).await,
        Engine::Containerd => of_containerd(&Ctr::at(socket).await?).await,
    }
}

async fn of_docker(api: &Api<'_>) -> Result<Running, Problem> {
    let failed = |said: &Value| Problem::new(Reason::EngineUnreachable, message(said));
    let path = "/containers/json";
    let (status, answer) = api.json(Method::GET, path, None, PATIENCE).await?;
    let (StatusCode::OK, Value::Array(containers)) = (status, &answer) else {
        return Err(failed(&answer));
    };
    let mut found = Running::default();
    let mut known: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in containers {
        let text = |key: &str| container[key].as_str().unwrap_or_default();
        let id = text("ImageID");
        if !known.contains_key(id) {
            let path = format!("/images/{id}/json");
            let (status, image) = api.json(Method::GET, &path, None, PATIENCE).await?;
            // An image that was removed by force from under its container has no name any more.
            let digests = image["RepoDigests"].as_array().filter(|_| status == StatusCode::OK);
            let digests = digests.into_iter().flatten().filter_map(Value::as_str);
            known.insert(id, digests.map(str::to_owned).collect());
        }
        found.note(text("Image"), known.get(id).map(Vec::as_slice).unwrap_or_default());
    }
    Ok(found)
}

async fn of_containerd(ctr: &Ctr) -> Result<Running, Problem> {
    let mut found = Running::default();
    for namespace in lines(ctr, None, &["namespaces", "ls", "-q"]).await? {
        let namespace = Some(namespace.as_str());
        let tasks = lines(ctr, namespace, &["tasks", "ls"]).await?;
        let containers = lines(ctr, namespace, &["containers", "ls"]).await?;
        let images = lines(ctr, namespace, &["images", "ls"]).await?;
        found.add(in_namespace(&tasks, &containers, &images));
    }
    Ok(found)
}

async fn lines(
    ctr: &Ctr,
    namespace: Option<&str>,
    arguments: &[&str],
) -> Result<Vec<String>, Problem> {
    let said = ctr.run(namespace, arguments, PATIENCE).await;
    said.map(|said| said.lines())
        .map_err(|words| Problem::new(Reason::EngineUnreachable, words.words))
}

/// From the tables of `ctr tasks ls`, `containers ls` and `images ls`.
fn in_namespace(tasks: &[String], containers: &[String], images: &[String]) -> Running {
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let runs: BTreeSet<String> = tasks
        .iter()
        .map(|line| columns(line))
        .filter(|task| task.last().is_some_and(|status| status == "RUNNING"))
        .filter_map(|task| task.into_iter().next())
        .collect();
    let images: Vec<(String, String)> = images
        .iter()
        .filter_map(|line| match columns(line).as_slice() {
            [name, _, digest, ..] if digest.starts_with("sha256:") => {
                Some((name.clone(), digest.clone()))
            }
            _ => None,
        })
        .collect();
    let mut found = Running::default();
    for container in containers {
        let columns = columns(container);
        let [id, image, ..] = columns.as_slice() else {
            continue;
        };
        // Docker's own namespace has containers without an image: Docker is asked itself.
        if !runs.contains(id) || image == "-" {
            continue;
        }
        let digest = images.iter().find(|(name, _)| name == image).map(|(_, digest)| digest);
        let same = images.iter().filter(|(_, other)| Some(other) == digest);
        let names = same.map(|(name, digest)| format!("{}@{digest}", repository(name)));
        found.note(image, &names.collect::<Vec<_>>());
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn digest(of: char) -> String {
        format!("sha256:{}", of.to_string().repeat(64))
    }

    #[test]
    fn what_runs_is_named_by_the_digest_of_the_repository_that_it_was_started_from() {
        let mut found = Running::default();
        let digests =
            [format!("{ECR}/other@{}", digest('b')), format!("{ECR}/app@{}", digest('a'))];
        found.note(&format!("{ECR}/app:1"), &digests);
        found.note(&format!("{ECR}/app:1"), &digests);
        // By its id: whatever it is called.
        found.note(&digest('c'), &digests[..1]);
        found.note("built-here:1", &[]);
        found.note("nginx", &[format!("nginx@{}", digest('d'))]);
        let images: Vec<_> = found.images.into_iter().collect();
        assert_eq!(
            images,
            [
                (format!("{ECR}/app@{}", digest('a')), 2),
                (format!("{ECR}/other@{}", digest('b')), 1)
            ]
        );
        assert_eq!(found.local.keys().collect::<Vec<_>>(), ["built-here:1", "nginx"]);
    }

    #[test]
    fn of_containerds_tables_only_running_tasks_count() {
        let table = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let tasks = table(
            "TASK    PID    STATUS\none     12     RUNNING\ntwo     13     STOPPED\nthree   14     RUNNING\nfour    15     RUNNING\n",
        );
        let containers = table(&format!(
            "CONTAINER IMAGE RUNTIME\none {ECR}/app:1 io.containerd.runc.v2\ntwo {ECR}/gone:1 x\nthree {} x\nfour - x\n",
            digest('c')
        ));
        let images = table(&format!(
            "REF TYPE DIGEST SIZE PLATFORMS LABELS\n{ECR}/app:1 application/x {} 1 MiB linux/amd64 -\n{} application/x {} 1 MiB linux/amd64 -\n{ECR}/pause:3 application/x {} 1 MiB linux/amd64 -\n",
            digest('a'),
            digest('c'),
            digest('e'),
            digest('e'),
        ));
        let found = in_namespace(&tasks, &containers, &images);
        assert_eq!(
            found.images.into_keys().collect::<Vec<_>>(),
            [format!("{ECR}/app@{}", digest('a')), format!("{ECR}/pause@{}", digest('e'))]
        );
        assert!(found.local.is_empty());
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(lines in proptest::collection::vec("\\PC{0,40}", 0..6)) {
            let _ = in_namespace(&lines, &lines, &lines);
        }
    }
}
