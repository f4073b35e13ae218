use std::fs;

use super::{super::tests::*, *};
use crate::model::output::OutputKind;

/// An output below a root of its own, and what is in a host's file there.
struct Bench {
    root: tempfile::TempDir,
    output: Box<dyn Output>,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let output = built(&spec(OutputKind::ContainerdHosts, "/certs.d"), root.path());
        Self { root, output }
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.root.path().join("certs.d").join(folder)
    }

    fn put(&self, folder: &str, file: &str, text: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        fs::write(self.path(folder).join(file), text).unwrap();
    }

    fn text(&self, folder: &str) -> String {
        fs::read_to_string(self.path(folder).join(FILE)).unwrap()
    }

    fn publish(&self, password: &str) -> Published {
        self.output.publish(&entries(password), &Ownership::new()).unwrap()
    }

    fn withdraw(&self, password: &str) -> Published {
        self.output.publish(&Entries::new(), &withdrawal(password)).unwrap()
    }

    fn holds(&self, password: &str) -> bool {
        let wanted = entries(password);
        matches!(self.output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. })
    }
}

#[test]
fn a_new_file_has_the_header_first_and_the_same_registry_without_it_behind() {
    let bench = Bench::new();
    assert!(bench.publish("p").written);
    assert!(bench.holds("p"));
    let text = bench.text(HOST);
    let expected = format!(
        "# Made by ecr-warden, which removes this file when it has nothing to say here.\n\
         server = \"https://{HOST}\"\n\n\
         # ecr-warden keeps this entry. When its header has expired, containerd goes on to the server.\n\
         [host.\"https://{HOST}\"]\ncapabilities = [\"pull\", \"resolve\", \"push\"]\n\n\
         [host.\"https://{HOST}\".header]\nAuthorization = \"Basic QVdTOnA=\"\n"
    );
    assert_eq!(text, expected);
    assert!(!bench.publish("p").written, "equal content is never written again");
    assert!(bench.publish("q").written && bench.holds("q") && !bench.holds("p"));
}

#[test]
fn withdrawn_a_file_of_ours_goes_with_its_folder_which_would_hide_the_default() {
    let bench = Bench::new();
    bench.publish("p");
    assert!(bench.withdraw("other").removed.is_empty() && bench.holds("p"));
    assert_eq!(bench.withdraw("p").removed, [HOST]);
    assert!(!bench.path(HOST).exists());
    bench.publish("p");
    bench.put(HOST, "notes.txt", "theirs");
    bench.withdraw("p");
    assert!(bench.path(HOST).join("notes.txt").exists() && !bench.path(HOST).join(FILE).exists());
}

#[test]
fn what_an_administrator_has_in_the_file_stays_to_the_letter() {
    for theirs in [
        "# mirrors first\nserver = \"https://H\"\nca = \"/etc/ssl/corp.pem\" # corporate\n\n[host.\"https://mirror.example\"]\n  capabilities = [\"pull\"]   # odd  spacing\n",
        "server = \"https://H\"\n[host]\n[host.\"https://H\"]\nskip_verify = true\n[host.\"https://H\".header]\nx-team = [\"infra\"]\n",
        "host = { \"https://H\" = { capabilities = [\"pull\"] } }\n",
        "ca = [\"/a.pem\", \"/b.pem\"]\n",
    ] {
        let theirs = theirs.replace("https://H", &format!("https://{HOST}"));
        let bench = Bench::new();
        bench.put(HOST, FILE, &theirs);
        bench.publish("p");
        assert!(bench.holds("p"), "{}", bench.text(HOST));
        bench.publish("q");
        let text = bench.text(HOST);
        assert_eq!(text.matches("Authorization").count(), 1, "{text}");
        bench.withdraw("q");
        assert_eq!(bench.text(HOST), theirs);
    }
}

#[test]
fn the_entry_for_the_same_registry_gets_the_connection_settings_of_the_root() {
    let bench = Bench::new();
    bench.put(HOST, FILE, "ca = \"/etc/ssl/corp.pem\"\nskip_verify = false\n");
    bench.publish("p");
    let document: toml_edit::DocumentMut = bench.text(HOST).parse().unwrap();
    let entry = &document["host"][&format!("https://{HOST}")];
    assert_eq!(entry["ca"].as_str(), Some("/etc/ssl/corp.pem"));
    assert_eq!(entry["skip_verify"].as_bool(), Some(false));
}

#[test]
fn a_default_that_the_new_folder_would_hide_is_carried_over() {
    let bench = Bench::new();
    bench.put("_default", FILE, "[host.\"https://mirror.example\"]\ncapabilities = [\"pull\"]\n");
    bench.publish("p");
    let text = bench.text(HOST);
    let mirror = text.find("mirror.example").unwrap();
    assert!(mirror < text.find("Basic QVdTOnA=").unwrap(), "their mirror stays first: {text}");
    bench.withdraw("p");
    assert!(!bench.path(HOST).exists(), "the default counts again");
    bench.publish("p");
    let edited = bench.text(HOST).replace("\"pull\"]\n", "\"pull\"]\n# edited\n");
    bench.put(HOST, FILE, &edited);
    bench.withdraw("p");
    assert!(bench.text(HOST).contains("# edited") && !bench.text(HOST).contains("Basic"));
}

#[test]
fn certificates_that_containerd_would_no_longer_load_are_a_reason_to_leave_it_alone() {
    for folder in [HOST, "_default"] {
        let bench = Bench::new();
        bench.put(folder, "ca.crt", "PEM");
        let problem = bench.output.publish(&entries("p"), &Ownership::new()).unwrap_err();
        assert_eq!(problem.reason, Reason::OutputHidesSettings, "{folder}");
        assert!(problem.detail.contains("ca.crt"), "{problem}");
        assert!(!bench.path(HOST).join(FILE).exists());
    }
}

#[test]
fn a_file_that_is_no_toml_is_left_alone_and_its_words_are_not_told() {
    let bench = Bench::new();
    let text = "server = \"x\"\nsecret secret secret\n";
    bench.put(HOST, FILE, text);
    let problem = bench.output.publish(&entries("p"), &Ownership::new()).unwrap_err();
    assert_eq!(problem.reason, Reason::OutputMalformed);
    assert!(problem.detail.ends_with("no TOML at line 2"), "{problem}");
    assert_eq!(bench.text(HOST), text);
}

#[test]
fn a_host_with_a_port_is_looked_for_in_both_of_containerds_spellings() {
    let with = |existing: Option<&str>, expected: &str| {
        let bench = Bench::new();
        if let Some(folder) = existing {
            fs::create_dir_all(bench.path(folder)).unwrap();
        }
        let wanted = Entries::from([("localhost:5000".to_owned(), token("p"))]);
        let _ = bench.output.publish(&wanted, &Ownership::new()).unwrap();
        assert!(bench.text(expected).contains("https://localhost:5000"));
        assert!(matches!(
            bench.output.read_back(&wanted).unwrap()["localhost:5000"],
            Seen::Ours { .. }
        ));
    };
    with(None, "localhost_5000_");
    with(Some("localhost:5000"), "localhost:5000");
    with(Some("localhost_5000_"), "localhost_5000_");
}

#[test]
fn what_makes_containerd_ignore_the_folder_is_named() {
    let cri = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n";
    let images = "[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = false\n[plugins.\"io.containerd.cri.v1.images\".registry]\n";
    for (dump, expected) in [
        (format!("{cri}config_path = \"\"\n"), Some(Reason::ContainerdNoConfigPath)),
        (format!("{cri}config_path = \"/etc/containerd/certs.d\"\n"), None),
        (format!("{cri}config_path = \"/opt/certs\"\n"), Some(Reason::ContainerdOtherPath)),
        (format!("{cri}config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"), None),
        (
            format!("{images}config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"),
            Some(Reason::ContainerdPathList),
        ),
        (format!("{images}config_path = \"/etc/containerd/certs.d\"\n"), None),
        (
            format!(
                "{images}config_path = \"/etc/containerd/certs.d\"\n[plugins.\"io.containerd.cri.v1.images\".registry.configs.\"{HOST}\".auth]\nusername = \"AWS\"\n"
            ),
            Some(Reason::ContainerdStaticCredential),
        ),
        (
            format!(
                "{cri}config_path = \"/etc/containerd/certs.d\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.headers]\nAuthorization = [\"x\"]\n"
            ),
            Some(Reason::ContainerdStaticCredential),
        ),
        (
            format!(
                "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n{cri}config_path = \"\"\n"
            ),
            None,
        ),
    ] {
        let found = ignored::problem(&dump, Path::new("/etc/containerd/certs.d"));
        assert_eq!(found.map(|problem| problem.reason), expected, "{dump}");
    }
}
