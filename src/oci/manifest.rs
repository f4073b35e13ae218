//! Manifests, indexes and image configurations of Docker (schema 2) and OCI. Pure.

use serde::{Deserialize, Serialize};

use crate::model::image::{Platform, is_digest};

/// What a client of images accepts: both kinds, index and single.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Indexes and manifests are bounded by ECR and Docker at 4 MiB.
pub const LONGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// Configurations of images with very many layers stay far below.
pub const LONGEST_CONFIG: usize = 8 * 1024 * 1024;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Layers that every engine can unpack.
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A thing by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its kind.
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub digest: String,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<RawPlatform>,
    /// Where else it is to be had: layers that registries do not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Whether the registry keeps it: layers that are not to be distributed come from elsewhere.
    pub fn is_kept(&self) -> bool {
        self.urls.is_empty()
    }

    /// Whether every engine can unpack it as a layer.
    pub fn is_layer(&self) -> bool {
        LAYERS.contains(&self.media_type.as_str())
            || self.media_type.contains(".nondistributable.")
            || self.media_type.contains(".foreign.")
    }
}

/// A platform as it stands in an index, where attestations are of no platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPlatform {
    /// `linux`; `unknown` for attestations.
    #[serde(default)]
    pub os: String,
    /// `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl RawPlatform {
    fn platform(&self) -> Option<Platform> {
        let real = |word: &str| !word.is_empty() && word != "unknown";
        (real(&self.os) && real(&self.architecture)).then(|| Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
        })
    }
}

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Several images, by platform.
    Index(Vec<Descriptor>),
    /// One image, or an artifact in an image's clothes.
    Image(ImageManifest),
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ImageManifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

impl ImageManifest {
    /// Whether its configuration is an image's: an artifact (a chart, a signature) has no platform.
    pub fn is_image(&self) -> bool {
        CONFIGS.contains(&self.config.media_type.as_str())
    }
}

/// Why something is no manifest that can be pulled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not what it should be: a captive portal's page, a proxy's.
    #[error("it can't be read: {0}")]
    Unreadable(String),
    /// A kind that engines no longer pull, or never did.
    #[error("{0}")]
    Unsupported(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<serde_json::Value>,
}

impl Manifest {
    /// Reads one. The body's own `mediaType` wins over the header, which wins over its shape.
    pub fn parse(body: &[u8], content_type: &str) -> Result<Self, ManifestError> {
        let unreadable = |error: serde_json::Error| ManifestError::Unreadable(error.to_string());
        let raw: Raw = serde_json::from_slice(body).map_err(unreadable)?;
        if raw.schema_version == Some(1) {
            return Err(ManifestError::Unsupported("schema 1 of Docker".to_owned()));
        }
        let header = content_type.split(';').next().unwrap_or_default().trim();
        let known = |kind: &&str| INDEXES.contains(kind) || MANIFESTS.contains(kind);
        let stated = raw.media_type.as_deref().or(Some(header)).filter(known);
        let is_index = match stated {
            Some(kind) => INDEXES.contains(&kind),
            None if raw.manifests.is_some() => true,
            None if raw.config.is_some() => false,
            None => {
                let kind = raw.media_type.unwrap_or_else(|| header.to_owned());
                return Err(ManifestError::Unsupported(kind));
            }
        };
        let manifest = if is_index {
            Self::Index(raw.manifests.unwrap_or_default())
        } else {
            Self::Image(serde_json::from_slice(body).map_err(unreadable)?)
        };
        let wrong = manifest.descriptors().find(|descriptor| !is_digest(&descriptor.digest));
        if let Some(wrong) = wrong {
            let digest: String = wrong.digest.chars().take(80).collect();
            return Err(ManifestError::Unsupported(format!("the digest {digest:?}")));
        }
        Ok(manifest)
    }

    fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let (children, image) = match self {
            Self::Index(children) => (children.as_slice(), None),
            Self::Image(image) => (image.layers.as_slice(), Some(&image.config)),
        };
        children.iter().chain(image)
    }
}

/// The child of an index that an engine on this platform takes: an exact variant before none.
pub fn choose<'a>(children: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let fits = |child: &&Descriptor| {
        let platform = child.platform.as_ref().and_then(RawPlatform::platform);
        platform.is_some_and(|platform| wanted.runs(&platform))
    };
    let exact = |child: &&Descriptor| {
        child.platform.as_ref().and_then(RawPlatform::platform).as_ref() == Some(wanted)
    };
    children.iter().find(exact).or_else(|| children.iter().find(fits))
}

/// The platforms of an index.
pub fn offered(children: &[Descriptor]) -> Vec<Platform> {
    let platforms = children.iter().filter_map(|child| child.platform.as_ref()?.platform());
    platforms.collect()
}

/// An image's configuration, as far as a pull needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    #[serde(default)]
    rootfs: RootFs,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl ImageConfig {
    /// Reads one.
    pub fn parse(body: &[u8]) -> Result<Self, ManifestError> {
        serde_json::from_slice(body)
            .map_err(|error| ManifestError::Unreadable(format!("the configuration: {error}")))
    }

    /// What the image runs on, if it says so.
    pub fn platform(&self) -> Option<Platform> {
        let Self { os, architecture, variant, .. } = self.clone();
        RawPlatform { os, architecture, variant }.platform()
    }

    /// How many layers it has, unpacked.
    pub fn layers(&self) -> usize {
        self.rootfs.diff_ids.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn child(os: &str, architecture: &str, variant: Option<&str>, mark: char) -> Descriptor {
        Descriptor {
            media_type: MANIFESTS[0].into(),
            size: 1,
            digest: format!("sha256:{}", mark.to_string().repeat(64)),
            platform: Some(RawPlatform {
                os: os.into(),
                architecture: architecture.into(),
                variant: variant.map(str::to_owned),
            }),
            urls: Vec::new(),
        }
    }

    fn linux(architecture: &str) -> Platform {
        Platform::parse(&format!("linux/{architecture}")).unwrap()
    }

    #[test]
    fn the_child_of_this_platform_is_chosen_and_attestations_never_are() {
        let children = [
            child("unknown", "unknown", None, 'a'),
            child("linux", "arm64", None, 'b'),
            child("linux", "arm64", Some("v8"), 'c'),
            child("linux", "amd64", None, 'd'),
        ];
        let chosen = |wanted: Platform| choose(&children, &wanted).map(|child| &child.digest[7..8]);
        assert_eq!(chosen(linux("arm64/v8")), Some("c"));
        assert_eq!(chosen(linux("arm64")), Some("b"));
        assert_eq!(chosen(linux("amd64")), Some("d"));
        assert_eq!(chosen(linux("s390x")), None);
        assert_eq!(offered(&children).len(), 3);
    }

    #[test]
    fn both_kinds_are_read_and_what_is_none_is_told() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for kind in MANIFESTS {
            let text = format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"{kind}\",\"config\":{{\"mediaType\":\"{}\",\"size\":2,\"digest\":\"{digest}\"}},\"layers\":[]}}",
                CONFIGS[0]
            );
            let Ok(Manifest::Image(image)) = Manifest::parse(text.as_bytes(), "") else {
                panic!("{kind}");
            };
            assert!(image.is_image());
        }
        let index = "{\"schemaVersion\":2,\"manifests\":[]}";
        assert_eq!(Manifest::parse(index.as_bytes(), INDEXES[1]), Ok(Manifest::Index(Vec::new())));
        for (text, kind, unsupported) in [
            ("<html>sign in</html>", "text/html", false),
            ("{\"schemaVersion\":1,\"fsLayers\":[]}", "", true),
            ("{\"schemaVersion\":2}", "application/vnd.example", true),
            ("{\"schemaVersion\":2,\"config\":{\"size\":1,\"digest\":\"md5:1\"}}", "", true),
        ] {
            let error = Manifest::parse(text.as_bytes(), kind).unwrap_err();
            assert_eq!(matches!(error, ManifestError::Unsupported(_)), unsupported, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(body in proptest::collection::vec(any::<u8>(), 0..200), kind in "\\PC{0,20}") {
            let _ = Manifest::parse(&body, &kind);
            let _ = ImageConfig::parse(&body);
        }
    }
}
