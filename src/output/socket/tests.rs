use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    super::{Host, build, tests::*},
    *,
};
use crate::model::output::OutputKind;

/// Hosts below `ours.test` are ours.
#[derive(Default)]
struct Watcher {
    given: AtomicUsize,
}

impl DeskWatcher for Watcher {
    fn lacking(&self, host: &str) -> Option<Problem> {
        host.ends_with("ours.test").then(|| Problem::new(Reason::AwsUnreachable, "no route"))
    }

    fn asked(&self, what: Asked) {
        self.given.fetch_add(usize::from(what == Asked::Given), Ordering::Relaxed);
    }
}

struct Stage {
    root: tempfile::TempDir,
    watcher: Arc<Watcher>,
}

impl Stage {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), watcher: Arc::default() }
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("run/credentials.sock")
    }

    fn output(&self) -> Box<dyn Output> {
        let spec = spec(OutputKind::Socket, self.socket().to_str().unwrap());
        let watcher = Arc::clone(&self.watcher) as Arc<dyn DeskWatcher>;
        let state = self.root.path().join("state");
        build(&spec, &Host { prefix: Path::new("/"), state: &state, desk: Some(watcher) })
    }

    fn ask(&self, request: &Request) -> Reply {
        Line::open(&self.socket()).unwrap().ask(request).unwrap()
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_gets_the_token_and_everybody_else_the_reason() {
    let stage = Stage::new();
    let output: Arc<dyn Output> = Arc::from(stage.output());
    aside(move || {
        let empty = output.publish(&Entries::new(), &Ownership::new()).unwrap();
        assert!(empty.set.is_empty());
        let Reply::Lacking(why) = stage.ask(&Request::Get("a.ours.test".into())) else {
            panic!("a registry of ours without a token")
        };
        assert_eq!((why.code.as_str(), why.detail.as_str()), ("aws_unreachable", "no route"));
        assert!(matches!(stage.ask(&Request::Get("docker.io".into())), Reply::NotOurs));
        for password in ["one", "two"] {
            let wanted = entries(password);
            let published = output.publish(&wanted, &Ownership::new()).unwrap();
            assert_eq!(published.set, [HOST]);
            let again = output.publish(&wanted, &Ownership::new()).unwrap();
            assert!(!again.written, "{again:?}");
            let Reply::Credential(given) = stage.ask(&Request::Get(HOST.into())) else {
                panic!("there is a token")
            };
            assert_eq!((given.username.as_str(), given.secret.expose_secret()), ("AWS", password));
            assert!(matches!(output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. }));
            let kept = Kept::read(&stage.root.path().join("state/helper.json")).unwrap();
            assert_eq!(kept.hosts[HOST].secret.expose_secret(), password);
        }
        // What the daemon asks itself is not counted; a helper's questions are (tests/helper.rs).
        assert_eq!(stage.watcher.given.load(Ordering::Relaxed), 0);
        // A socket that somebody removed is made again.
        fs::remove_file(stage.socket()).unwrap();
        assert!(output.publish(&entries("two"), &Ownership::new()).unwrap().written);
        assert!(matches!(stage.ask(&Request::List), Reply::Hosts(hosts) if hosts[HOST] == "AWS"));
        drop(output);
        assert!(!stage.socket().exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_exist_shuts_nobody_else_out() {
    let stage = Stage::new();
    let mut spec = spec(OutputKind::Socket, stage.socket().to_str().unwrap());
    spec.users = vec!["nobody-of-this-name".into(), "root".into()];
    spec.groups = vec!["no-group-of-this-name".into()];
    let kept_in = stage.root.path().join("state");
    let desk = Some(Arc::clone(&stage.watcher) as Arc<dyn DeskWatcher>);
    // No prefix is the root, whatever the working directory is.
    let output = build(&spec, &Host { prefix: Path::new(""), state: &kept_in, desk });
    aside(move || {
        let published = output.publish(&entries("p"), &Ownership::new()).unwrap();
        let told: Vec<&str> = published.warnings.iter().map(|one| one.detail.as_str()).collect();
        assert_eq!(told, ["user nobody-of-this-name", "group no-group-of-this-name"]);
        assert!(matches!(stage.ask(&Request::Get(HOST.into())), Reply::Credential(_)));
        assert!(Kept::read(&kept_in.join("helper.json")).is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_credential_is_neither_given_nor_kept() {
    let stage = Stage::new();
    let output: Arc<dyn Output> = Arc::from(stage.output());
    aside(move || {
        let _ = output.publish(&entries("p"), &Ownership::new()).unwrap();
        let gone = output.publish(&Entries::new(), &withdrawal("p")).unwrap();
        assert_eq!(gone.removed, [HOST]);
        assert!(matches!(stage.ask(&Request::Get(HOST.into())), Reply::NotOurs));
        assert!(!stage.root.path().join("state/helper.json").exists());
    })
    .await;
}

#[test]
fn without_a_daemon_only_what_is_kept_is_changed() {
    let root = tempfile::tempdir().unwrap();
    let spec = spec(OutputKind::Socket, root.path().join("s").to_str().unwrap());
    let output = build(&spec, &Host { prefix: Path::new("/"), state: root.path(), desk: None });
    let wanted = entries("p");
    assert!(output.publish(&wanted, &Ownership::new()).unwrap().written);
    assert!(matches!(output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. }));
    assert!(!root.path().join("s").exists() && root.path().join("helper.json").exists());
    assert_eq!(output.publish(&Entries::new(), &withdrawal("p")).unwrap().removed, [HOST]);
    assert!(!root.path().join("helper.json").exists());
}

#[test]
fn an_access_list_is_by_user_and_by_primary_group() {
    // The kernel's numbers of this process: nobody but it is on the list.
    let me = rustix::process::geteuid().as_raw();
    let (one, _other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _guard = runtime.enter();
    let peer = tokio::net::UnixStream::from_std(one).unwrap().peer_cred().unwrap();
    let of = |uids: &[u32], gids: &[u32]| Access {
        uids: uids.iter().copied().collect(),
        gids: gids.iter().copied().collect(),
    };
    assert!(desk::admits(&of(&[me], &[]), &peer));
    assert!(desk::admits(&of(&[], &[peer.gid()]), &peer));
    assert!(!desk::admits(&of(&[me + 1], &[peer.gid() + 1]), &peer));
}
