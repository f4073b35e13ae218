//! Whether what the engine has is what the registry has: digest, platform and number of layers, not
//! a name in a list. Pure.

use serde_json::Value;

use crate::{
    model::image::{ImageRef, Platform},
    oci::manifest::ImageManifest,
};

/// What the registry has, as our own client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of what the reference names: an index, or the image.
    pub digest: String,
    /// Of this platform's manifest: the same where there is no index.
    pub manifest: String,
    /// Of the configuration: what Docker calls the image's id.
    pub config: String,
    /// The layers' digests.
    pub layers: Vec<String>,
    /// Their compressed bytes.
    pub bytes: u64,
}

impl Wanted {
    /// Of a manifest and what it was found by.
    pub fn of(digest: String, manifest: String, image: &ImageManifest) -> Self {
        Self {
            digest,
            manifest,
            config: image.config.digest.clone(),
            layers: image.layers.iter().map(|layer| layer.digest.clone()).collect(),
            bytes: crate::probe::pull::total(&image.layers),
        }
    }
}

/// In what an engine's image (`GET /images/NAME/json`) differs; nothing if it is the one.
pub(super) fn differs(
    inspected: &Value,
    image: &ImageRef,
    digest: &str,
    platform: &Platform,
    wanted: Option<&Wanted>,
) -> Vec<String> {
    let mut found = Vec::new();
    let name = format!("{}/{}@{digest}", image.host, image.repository);
    let names = |key: &str| {
        let names = inspected[key].as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let digests = names("RepoDigests");
    // podman names the platform's manifest, too.
    if !digests.contains(&name) {
        found.push(format!("it is not known as {name}, but as {}", listed(&digests)));
    }
    let text = |key: &str| inspected[key].as_str().unwrap_or_default().to_owned();
    let own = Platform { os: text("Os"), architecture: text("Architecture"), variant: None };
    let bare = Platform { variant: None, ..platform.clone() };
    if !bare.runs(&own) {
        found.push(format!("it is for {own} instead of {platform}"));
    }
    let Some(wanted) = wanted else {
        return found;
    };
    let layers = inspected["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
    if layers != wanted.layers.len() {
        found.push(format!("it has {layers} layers instead of {}", wanted.layers.len()));
    }
    // The configuration's with Docker's own store, the manifest's or the index's with containerd's.
    let id = text("Id");
    let id = if id.contains(':') { id } else { format!("sha256:{id}") };
    if ![&wanted.config, &wanted.manifest, &wanted.digest].contains(&&id) {
        found.push(format!("its id is {id}, which the registry knows for nothing of it"));
    }
    found
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(of: char) -> String {
        format!("sha256:{}", of.to_string().repeat(64))
    }

    #[test]
    fn an_image_is_the_one_by_digest_platform_and_layers_and_not_by_its_name() {
        let image = ImageRef::parse("h.example/app/web:1").unwrap();
        let platform = Platform::parse("linux/arm64/v8").unwrap();
        let wanted = Wanted {
            digest: digest('a'),
            manifest: digest('b'),
            config: digest('c'),
            layers: vec![digest('d'), digest('e')],
            bytes: 5,
        };
        let good = json!({
            "Id": digest('c'), "Os": "linux", "Architecture": "arm64",
            "RepoDigests": [format!("h.example/app/web@{}", digest('a'))],
            "RootFS": { "Layers": ["x", "y"] },
        });
        let check =
            |inspected: &Value| differs(inspected, &image, &digest('a'), &platform, Some(&wanted));
        assert_eq!(check(&good), Vec::<String>::new());
        for id in [digest('a'), digest('b'), "c".repeat(64)] {
            let mut other = good.clone();
            other["Id"] = json!(id);
            assert_eq!(check(&other), Vec::<String>::new(), "{id}");
        }
        for (key, value) in [
            ("Id", json!(digest('f'))),
            ("Architecture", json!("amd64")),
            ("RepoDigests", json!([format!("h.example/app/web@{}", digest('f'))])),
            ("RepoDigests", Value::Null),
            ("RootFS", json!({ "Layers": ["x"] })),
        ] {
            let mut other = good.clone();
            other[key] = value;
            assert_eq!(check(&other).len(), 1, "{key}: {:?}", check(&other));
        }
        assert!(!check(&Value::Null).is_empty());
    }
}
