//! The images: a tiny one that can really be pulled, one with an index, and some that are broken.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(super) const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// Media type and bytes, by tag and by digest.
    pub(super) manifests: BTreeMap<String, (&'static str, Vec<u8>)>,
    /// By digest.
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
}

/// `sha256:...` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every repository by its name.
pub(super) fn repositories() -> BTreeMap<&'static str, Repository> {
    BTreeMap::from([
        ("app/web", tiny()),
        ("app/multi", multi(true)),
        ("app/childless", multi(false)),
        ("app/schema1", schema1()),
        ("app/odd", odd(Some("application/vnd.example.layer"), 1)),
        ("app/unmatched", odd(None, 2)),
    ])
}

impl Repository {
    fn blob(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let (name, size) = (digest(&bytes), bytes.len());
        self.blobs.insert(name.clone(), bytes);
        json!({ "mediaType": kind, "size": size, "digest": name })
    }

    fn manifest(&mut self, kind: &'static str, manifest: &Value, tags: &[&str]) -> Value {
        let bytes = manifest.to_string().into_bytes();
        let (name, size) = (digest(&bytes), bytes.len());
        for tag in tags.iter().copied().chain([name.as_str()]) {
            self.manifests.insert(tag.to_owned(), (kind, bytes.clone()));
        }
        json!({ "mediaType": kind, "size": size, "digest": name })
    }
}

/// `app/web:1`: Docker v2, schema 2, linux/amd64, an uncompressed layer.
fn tiny() -> Repository {
    let mut repository = Repository::default();
    let layer = tar("hello.txt", b"pulled with a credential that did not go stale\n");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        "history": [{ "created_by": "ecr-warden sandbox" }],
    });
    let config = config.to_string().into_bytes();
    let config = repository.blob("application/vnd.docker.container.image.v1+json", config);
    let layer = repository.blob("application/vnd.docker.image.rootfs.diff.tar", layer);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer],
    });
    repository.manifest(MANIFEST_TYPE, &manifest, &["1", "latest"]);
    repository
}

/// `app/multi:1`: an index of two platforms and an attestation; layers that are called gzip, zstd
/// and plain. They are noise: a probe looks at digests and does not unpack.
fn multi(complete: bool) -> Repository {
    let mut repository = Repository::default();
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let mut layers = Vec::new();
        for (suffix, size) in [("", 20_000), ("+gzip", 300_000), ("+zstd", 1)] {
            let mut noise = fastrand::Rng::with_seed(size as u64);
            let bytes = std::iter::repeat_with(|| noise.u8(..)).take(size).collect();
            layers.push(repository.blob(&format!("{OCI_LAYER}{suffix}"), bytes));
        }
        let unpacked: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": unpacked },
        });
        let config = repository.blob(OCI_CONFIG, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
        });
        let mut child = repository.manifest(OCI_MANIFEST, &manifest, &[]);
        child["platform"] = json!({ "os": "linux", "architecture": architecture });
        children.push(child);
    }
    if !complete {
        repository.manifests.clear();
    }
    let mut attestation = children[0].clone();
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    children.insert(0, attestation);
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children });
    repository.manifest(OCI_INDEX, &index, &["1"]);
    repository
}

/// What engines have stopped to pull.
fn schema1() -> Repository {
    let mut repository = Repository::default();
    let manifest = json!({ "schemaVersion": 1, "name": "app/schema1", "fsLayers": [] });
    repository.manifest(
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        &manifest,
        &["1"],
    );
    repository
}

/// An image that engines pull and then can't use.
fn odd(kind: Option<&str>, unpacked: usize) -> Repository {
    let mut repository = Repository::default();
    let layer = repository.blob(kind.unwrap_or(OCI_LAYER), b"layer".to_vec());
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": vec![&layer["digest"]; unpacked] },
    });
    let config = repository.blob(OCI_CONFIG, config.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    repository.manifest(OCI_MANIFEST, &manifest, &["1"]);
    repository
}

/// A tar archive of one file (POSIX ustar).
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
