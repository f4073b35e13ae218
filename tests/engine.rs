//! An engine's socket that answers as told: what can't be brought about with a real one at will.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ecr_warden::{
    model::{
        image::{ImageRef, Platform},
        outcome::Problem,
        reason::Reason,
        token::AuthorizationToken,
    },
    probe::{
        Depth,
        engine::{Cleaned, Engine, EnginePlan, Offered, Pull, Seen, Wanted, look},
    },
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

const NAME: &str = "h.example/app";

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn reference() -> String {
    format!("{NAME}@{}", digest('a'))
}

/// What the engine answers.
#[derive(Clone)]
struct World {
    /// Whether the image is there before, and after the pull.
    before: bool,
    /// The pull's lines; none: it never ends.
    pull: Option<Vec<Value>>,
    /// Changes of the image after the pull.
    image: Value,
    containers: Value,
    delete: u16,
}

impl Default for World {
    fn default() -> Self {
        Self {
            before: false,
            pull: Some(vec![
                json!({ "status": "Pulling from app", "id": digest('a') }),
                json!({ "status": "Pull complete", "id": "d".repeat(12) }),
                json!({ "status": format!("Digest: {}", digest('a')) }),
            ]),
            image: json!({
                "Id": digest('c'), "Os": "linux", "Architecture": "amd64", "RepoTags": [],
                "RepoDigests": [reference()], "RootFS": { "Layers": ["x"] },
            }),
            containers: json!([]),
            delete: 200,
        }
    }
}

/// Serves it; what it was asked.
fn serve(world: World) -> (tempfile::TempDir, PathBuf, Arc<Mutex<Vec<String>>>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (world, notes) = (world.clone(), Arc::clone(&notes));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let line =
                    head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
                let there = {
                    let notes = notes.lock().unwrap();
                    let last = notes.iter().rev().find(|one| !one.starts_with("GET"));
                    match last {
                        None => world.before,
                        Some(last) => last.starts_with("POST") || world.delete != 200,
                    }
                };
                notes.lock().unwrap().push(line.clone());
                let answer = |status: u16, body: &Value| {
                    let body = body.to_string();
                    format!(
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    )
                };
                let said = match line.split_once(' ').unwrap() {
                    ("GET", "/info") => {
                        answer(200, &json!({ "ServerVersion": "1", "DockerRootDir": "/" }))
                    }
                    ("GET", path) if path.starts_with("/distribution/") => {
                        answer(200, &json!({ "Descriptor": { "digest": digest('a') } }))
                    }
                    ("GET", path) if path.starts_with("/containers/") => {
                        answer(200, &world.containers)
                    }
                    ("GET", path) if path.starts_with("/images/") && there => {
                        answer(200, &world.image)
                    }
                    ("GET", path) if path.starts_with("/images/") => {
                        answer(404, &json!({ "message": "No such image" }))
                    }
                    ("DELETE", _) => {
                        answer(world.delete, &json!({ "message": "conflict: in use" }))
                    }
                    ("POST", _) => {
                        // The good status is sent before anything can go wrong.
                        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
                        stream.write_all(head.as_bytes()).await.unwrap();
                        let Some(lines) = world.pull else {
                            return std::future::pending().await;
                        };
                        lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\r\n")
                    }
                    _ => answer(500, &json!({ "message": line })),
                };
                let _ = stream.write_all(said.as_bytes()).await;
            });
        }
    });
    (folder, socket, asked)
}

fn plan(socket: PathBuf, timeout: Duration) -> EnginePlan {
    EnginePlan {
        engine: Engine::Docker,
        socket,
        prefix: "/".into(),
        image: ImageRef::parse(&format!("{NAME}:1")).unwrap(),
        depth: Depth::Full,
        platform: Platform::parse("linux/amd64").unwrap(),
        wanted: Some(Wanted {
            digest: digest('a'),
            manifest: digest('b'),
            config: digest('c'),
            layers: vec![digest('d')],
            bytes: 1,
        }),
        timeout,
        least_free: 1,
        hosts_folder: None,
        scratch: "/tmp".into(),
        notes: None,
    }
}

async fn pull(world: World, timeout: Duration) -> (Seen, Vec<String>) {
    let (_folder, socket, asked) = serve(world);
    let (seen, plan) = (asked, plan(socket, timeout));
    let told = look(&plan, &offered()).await;
    assert!(!serde_json::to_string(&told).unwrap().contains("never-told"));
    let asked = seen.lock().unwrap().clone();
    (told, asked)
}

fn offered() -> Offered {
    let token = Some(AuthorizationToken::of("AWS", &SecretString::from("never-told")));
    Offered { from: "file".into(), token, lacking: None, stands_in_hosts: false }
}

async fn pulled(world: World) -> (Seen, Vec<String>) {
    pull(world, Duration::from_secs(5)).await
}

fn deletions(asked: &[String]) -> Vec<&String> {
    asked.iter().filter(|line| line.starts_with("DELETE")).collect()
}

#[tokio::test]
async fn what_the_probe_brought_is_removed_by_its_reference_and_without_force() {
    let (seen, asked) = pulled(World::default()).await;
    assert_eq!(seen.pull, Some(Pull::Done { fetched: 1, shared: 0 }));
    assert_eq!((seen.cleaned, seen.differs), (Some(Cleaned::Removed), vec![]));
    let expected = format!("DELETE /images/{}?force=false&noprune=true", reference());
    assert_eq!(deletions(&asked), [&expected]);
    assert!(asked.contains(&format!("POST /images/create?fromImage={NAME}&tag={}", digest('a'))));
}

#[tokio::test]
async fn what_was_there_before_is_neither_pulled_nor_removed() {
    for world in [
        World { before: true, ..World::default() },
        // Only a container is left of it.
        World { containers: json!([{ "ImageID": digest('c') }]), ..World::default() },
    ] {
        let (seen, asked) = pulled(world).await;
        assert_eq!(
            (seen.pull.as_ref(), seen.reached()),
            (Some(&Pull::WasThere), Some(Depth::Manifest))
        );
        assert!(asked.iter().all(|line| line.starts_with("GET")), "{asked:?}");
    }
}

#[tokio::test]
async fn what_somebody_has_begun_to_use_meanwhile_is_kept() {
    let image = |key: &str, value: Value| {
        let mut world = World::default();
        world.image[key] = value;
        world
    };
    for world in [
        image("RepoTags", json!([format!("{NAME}:1")])),
        image("RepoDigests", json!([reference(), format!("other.example/x@{}", digest('a'))])),
        World { containers: json!([{ "ImageID": digest('9') }]), ..World::default() },
    ] {
        let (seen, asked) = pulled(world).await;
        assert!(matches!(seen.cleaned, Some(Cleaned::Kept(_))), "{:?}", seen.cleaned);
        assert!(deletions(&asked).is_empty(), "{asked:?}");
    }
    // The engine itself knows better in the last moment.
    let (seen, asked) = pulled(World { delete: 409, ..World::default() }).await;
    assert!(matches!(seen.cleaned, Some(Cleaned::Kept(_))), "{:?}", seen.cleaned);
    assert_eq!(deletions(&asked).len(), 1);
    let (seen, _) = pulled(World { delete: 500, ..World::default() }).await;
    assert!(matches!(seen.cleaned, Some(Cleaned::Left(_))), "{:?}", seen.cleaned);
}

#[tokio::test]
async fn an_error_after_a_good_status_is_an_error_and_what_came_all_the_same_is_removed() {
    let lines = vec![
        json!({ "status": "Pulling from app" }),
        json!({ "errorDetail": { "message": "no space left on device" }, "error": "no space left on device" }),
    ];
    let (seen, asked) = pulled(World { pull: Some(lines), ..World::default() }).await;
    assert!(
        matches!(&seen.pull, Some(Pull::Failed(words)) if words.words == "no space left on device")
    );
    assert_eq!(seen.cleaned, Some(Cleaned::Removed));
    assert_eq!(deletions(&asked).len(), 1);
}

#[tokio::test]
async fn a_pull_that_never_ends_is_given_up_and_what_came_is_removed() {
    let world = World { pull: None, ..World::default() };
    let (seen, _) = pull(world, Duration::from_millis(200)).await;
    let Some(Pull::Failed(words)) = &seen.pull else { panic!("{:?}", seen.pull) };
    assert_eq!(words.code.as_deref(), Some("probe_deadline"));
    assert_eq!(seen.cleaned, Some(Cleaned::Removed));
}

#[tokio::test]
async fn another_image_than_the_registrys_is_told_and_removed() {
    let mut world = World::default();
    world.image["RootFS"] = json!({ "Layers": ["x", "y"] });
    let (seen, _) = pulled(world).await;
    assert_eq!(seen.differs, ["it has 2 layers instead of 1"]);
    assert_eq!(seen.cleaned, Some(Cleaned::Removed));
}

#[tokio::test]
async fn a_client_whose_helper_fails_asks_nothing_and_neither_does_the_probe() {
    let (_folder, socket, asked) = serve(World::default());
    let plan = plan(socket, Duration::from_secs(5));
    let lacking = Some(Problem::new(Reason::HelperFailed, "it fails"));
    let offered = Offered { from: "file".into(), token: None, lacking, stands_in_hosts: false };
    let seen = look(&plan, &offered).await;
    assert_eq!((seen.manifest, seen.pull), (None, None));
    assert_eq!(*asked.lock().unwrap(), ["GET /info"]);
}

#[test]
fn what_a_probe_left_that_was_killed_is_removed_by_the_next() {
    let notes = tempfile::tempdir().unwrap();
    let run = |world: World, killed: bool| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, socket, asked) = serve(world);
            let mut plan = plan(socket, Duration::from_secs(30));
            plan.notes = Some(notes.path().to_owned());
            let (offered, patience) =
                (offered(), Duration::from_millis(if killed { 300 } else { 5000 }));
            let seen = tokio::time::timeout(patience, look(&plan, &offered)).await.ok();
            let asked = asked.lock().unwrap().clone();
            (seen, asked)
        })
    };
    let left = || std::fs::read_dir(notes.path()).unwrap().count();
    let (seen, _) = run(World { pull: None, ..World::default() }, true);
    assert_eq!((seen, left()), (None, 1));
    let (seen, asked) = run(World { before: true, ..World::default() }, false);
    assert_eq!(seen.unwrap().pull, Some(Pull::Done { fetched: 1, shared: 0 }));
    assert_eq!((deletions(&asked).len(), left()), (2, 0));
    // Without a note the same image is somebody else's.
    let (seen, asked) = run(World { before: true, ..World::default() }, false);
    assert_eq!((seen.unwrap().pull, deletions(&asked).len()), (Some(Pull::WasThere), 0));
}
