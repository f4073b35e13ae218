use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use proptest::prelude::*;
use serde_json::json;

use super::{super::tests::*, *};
use crate::{
    model::output::OutputKind,
    output::{
        Output, Ownership, Published, file,
        place::{self, Owner},
    },
};

fn output(path: &Path) -> Box<dyn Output> {
    built(&spec(OutputKind::DockerConfig, &path.to_string_lossy()), Path::new("/"))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_new_file_is_0600_in_a_folder_0700_and_docker_can_read_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(".docker/config.json");
    let published = output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    assert_eq!((published.written, published.set.len(), published.warnings.len()), (true, 1, 0));
    assert_eq!(json_of(&path), json!({ "auths": { HOST: { "auth": "QVdTOnA=" } } }));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let seen = output(&path).read_back(&entries("p")).unwrap();
    assert!(matches!(seen[HOST], Seen::Ours { .. }));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    assert!(!output(&path).publish(&entries("p"), &Ownership::new()).unwrap().written);
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn everything_that_is_not_ours_stays_in_meaning_and_in_order() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    let text = "{\"zeta\": 1e400, \"psFormat\": \"<b>\", \"auths\": {\"z.example\": {\"auth\": \"eDp5\", \"x\": [1.0]}, \"a.example\": {}}, \"HttpHeaders\": {\"b\": \"1\", \"a\": \"2\"}}";
    fs::write(&path, text).unwrap();
    output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    output(&path).publish(&Entries::new(), &withdrawal("p")).unwrap();
    let compact = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap().to_string();
    assert_eq!(compact(&fs::read(&path).unwrap()), compact(text.as_bytes()));
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_place_and_left_alone() {
    for text in ["{\"auths\": }", "[]", "{\"auths\": []}", "{\"a\": \"s3cret", "\u{feff}{}"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config.json");
        fs::write(&path, text).unwrap();
        let problem = output(&path).publish(&entries("p"), &Ownership::new()).unwrap_err();
        assert_eq!(problem.reason, Reason::OutputMalformed, "{text}");
        assert!(!problem.detail.contains("s3cret"));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[test]
fn only_what_is_ours_is_withdrawn() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    output(&path).publish(&entries("theirs"), &Ownership::new()).unwrap();
    let kept = output(&path).publish(&Entries::new(), &withdrawal("ours")).unwrap();
    assert!(!kept.written);
    let gone = output(&path).publish(&Entries::new(), &withdrawal("theirs")).unwrap();
    assert_eq!(gone.removed, [HOST]);
    let nowhere = output(&root.path().join("none/config.json"));
    assert!(!nowhere.publish(&Entries::new(), &withdrawal("ours")).unwrap().written);
    assert!(!root.path().join("none").exists());
}

#[test]
fn rival_credentials_in_our_entry_go_and_other_keys_stay() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    let old = json!({ "auths": { HOST: { "identitytoken": "x", "email": "a@b" } } });
    fs::write(&path, old.to_string()).unwrap();
    output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    assert_eq!(json_of(&path)["auths"][HOST], json!({ "email": "a@b", "auth": "QVdTOnA=" }));
}

#[test]
fn a_store_or_helper_that_wins_over_our_entry_is_reported_as_what_it_is() {
    for (text, reason) in [
        (json!({ "credsStore": "desktop" }), Reason::OutputShadowedByStore),
        (
            json!({ "credHelpers": { HOST: "ecr-login" }, "credsStore": "x" }),
            Reason::OutputShadowedByHelper,
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config.json");
        fs::write(&path, text.to_string()).unwrap();
        output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
        let seen = output(&path).read_back(&entries("p")).unwrap();
        let Seen::NotOurs(problem) = &seen[HOST] else { panic!("{seen:?}") };
        assert_eq!(problem.reason, reason);
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    fs::write(&path, json!({ "credsStore": "", "credHelpers": { "other": "x" } }).to_string())
        .unwrap();
    output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    assert!(matches!(output(&path).read_back(&entries("p")).unwrap()[HOST], Seen::Ours { .. }));
}

#[test]
fn mode_and_owner_are_kept_and_a_file_that_others_can_read_is_a_warning() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let published = output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    assert_eq!(published.warnings[0].reason, Reason::OutputReadableByOthers);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[test]
fn a_link_is_followed_and_stays_a_link() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    let path = root.path().join("config.json");
    symlink("real/dangling.json", &path).unwrap();
    output(&path).publish(&entries("p"), &Ownership::new()).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(json_of(&root.path().join("real/dangling.json"))["auths"][HOST].is_object());
}

/// Docker's own way to write (docker/cli, configfile): read, change, temporary file, rename; no
/// lock. `DOCKER_UPDATES=10000` for the whole proof.
#[test]
fn no_login_of_dockers_is_ever_lost_by_us() {
    let updates: u32 =
        std::env::var("DOCKER_UPDATES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.json");
    output(&path).publish(&entries("first"), &Ownership::new()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let logins = std::thread::scope(|scope| {
        let docker = scope.spawn(|| {
            let mut logins = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let mut config = json_of(&path);
                config["auths"][format!("login-{logins}.example")] = json!({ "auth": "eDp5" });
                let temporary = root.path().join("config.json.docker");
                fs::write(&temporary, config.to_string()).unwrap();
                fs::rename(&temporary, &path).unwrap();
                logins += 1;
                // A login is a process: its own next one starts a few milliseconds later.
                std::thread::sleep(std::time::Duration::from_micros(fastrand::u64(1000..3000)));
                if logins % 50 == 0 {
                    // Logged out again, or the file would grow without end.
                    let mut config = settled(&path, logins - 50..logins);
                    for old in logins - 50..logins {
                        let auths = config["auths"].as_object_mut().unwrap();
                        auths.shift_remove(&format!("login-{old}.example"));
                    }
                    fs::write(&temporary, config.to_string()).unwrap();
                    fs::rename(&temporary, &path).unwrap();
                }
            }
            logins
        });
        for update in 0..updates {
            let _ =
                output(&path).publish(&entries(&format!("p{update}")), &Ownership::new()).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        docker.join().unwrap()
    });
    let _ = settled(&path, logins - logins % 50..logins);
    assert!(logins > 0);
}

/// The file once it holds these logins. Between an exchange and the merge that answers it, a login
/// can be out of sight for a moment; what is out of sight for a second is lost.
fn settled(path: &Path, logins: std::ops::Range<u32>) -> Value {
    for _ in 0..1_000 {
        let config = json_of(path);
        let there = |login: u32| config["auths"][format!("login-{login}.example")].is_object();
        if logins.clone().all(there) {
            return config;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("one of {logins:?} was lost: {}", json_of(path)["auths"]);
}

/// The tests below need root and a second user.
fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: this test needs root");
    }
    root
}

fn home_of(uid: u32) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(uid), Some(uid)).unwrap();
    home
}

fn owned_output(home: &Path, path: &Path) -> Result<Published, Problem> {
    let owner = Owner { uid: 4321, gid: 4321 };
    let place = place::open(Path::new("/"), path, owner, true)?.unwrap();
    let _ = home;
    file::publish_at(&place, owner, 0o600, &Auths::Docker, &entries("p"), &Ownership::new())
}

#[test]
fn what_root_creates_in_a_home_belongs_to_its_owner() {
    if !as_root() {
        return;
    }
    let home = home_of(4321);
    let path = home.path().join(".docker/config.json");
    owned_output(home.path(), &path).unwrap();
    for path in [&path, path.parent().unwrap()] {
        let stat = fs::metadata(path).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (4321, 4321), "{}", path.display());
    }
}

#[test]
fn a_link_that_a_user_plants_never_leads_root_to_a_file_that_is_not_theirs() {
    if !as_root() {
        return;
    }
    let secrets = tempfile::tempdir().unwrap();
    let shadow = secrets.path().join("shadow.json");
    fs::write(&shadow, "{\"root\": \"only\"}").unwrap();
    let plant = |at: &Path, target: &Path, uid: u32| {
        symlink(target, at).unwrap();
        std::os::unix::fs::lchown(at, Some(uid), Some(uid)).unwrap();
    };
    // Their own link to root's file, to root's folder, and another user's link.
    for (uid, name, target, path) in [
        (4321, "config.json", shadow.as_path(), "config.json"),
        (4321, ".docker", secrets.path(), ".docker/new.json"),
        (4322, ".docker", secrets.path(), ".docker/shadow.json"),
    ] {
        let home = home_of(4321);
        plant(&home.path().join(name), target, uid);
        let problem = owned_output(home.path(), &home.path().join(path)).unwrap_err();
        assert_eq!(problem.reason, Reason::OutputUntrustedPath, "{name} of {uid}");
        assert_eq!(fs::read_to_string(&shadow).unwrap(), "{\"root\": \"only\"}");
        assert_eq!(fs::read_dir(secrets.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    if !as_root() {
        return;
    }
    let home = home_of(4321);
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let problem = owned_output(home.path(), &home.path().join("config.json")).unwrap_err();
    assert_eq!(problem.reason, Reason::OutputUntrustedPath);
    let other = home_of(4322);
    let problem = owned_output(other.path(), &other.path().join("config.json")).unwrap_err();
    assert_eq!(problem.reason, Reason::OutputUntrustedPath);
}

#[test]
fn links_stay_below_the_hosts_root() {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir_all(host.path().join("root/real")).unwrap();
    symlink("/root/real", host.path().join("root/.docker")).unwrap();
    symlink("../../../../../../root/real", host.path().join("root/up")).unwrap();
    for path in ["/root/.docker/config.json", "/root/up/config.json"] {
        let output = built(&spec(OutputKind::DockerConfig, path), host.path());
        let _ = output.publish(&entries("p"), &Ownership::new()).unwrap();
        assert!(host.path().join("root/real/config.json").exists());
        fs::remove_file(host.path().join("root/real/config.json")).unwrap();
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-d]{1,2}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn config() -> impl Strategy<Value = Map<String, Value>> {
    let auths = proptest::collection::vec(("[a-d]{1,2}\\.example", json()), 0..4);
    (proptest::collection::vec(("[a-z]{1,6}", json()), 0..5), auths).prop_map(|(pairs, auths)| {
        let mut config: Map<String, Value> = pairs.into_iter().collect();
        config.insert("auths".into(), Value::Object(auths.into_iter().collect()));
        config
    })
}

proptest! {
    #[test]
    fn publishing_and_withdrawing_leaves_what_was_there(config in config()) {
        let before = render(&config).unwrap();
        let (wanted, nothing) = (entries("p"), Entries::new());
        let (none, ours) = (Ownership::new(), withdrawal("p"));
        let path = Path::new("x");
        let edit = |current: &[u8], entries: &Entries, withdraw: &Ownership| {
            let change = Change { entries, withdraw, path };
            match Auths::Docker.edit(Some(current), &change).unwrap().next {
                Next::Write(text) => text,
                other => panic!("{other:?}"),
            }
        };
        let after = edit(&edit(&before, &wanted, &none), &nothing, &ours);
        prop_assert_eq!(&*after, &*before);
    }

    #[test]
    fn a_three_way_merge_takes_both_sides_changes(base in config(), a in "[e-h]{1,3}", b in "[i-l]{1,3}") {
        let with = |key: &str| {
            let mut config = base.clone();
            config.insert(key.to_owned(), Value::from(1));
            Value::Object(config)
        };
        let merged = three_way(&Value::Object(base.clone()), &with(&a), with(&b));
        let mut both = base.clone();
        both.insert(a, Value::from(1));
        both.insert(b, Value::from(1));
        prop_assert_eq!(merged, Value::Object(both));
    }
}
