//! Image references and platforms. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An image in a registry: `HOST/REPOSITORY[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageRef {
    /// The registry's host name, with its port if it has one.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// The tag, as written.
    pub tag: Option<String>,
    /// `sha256:` and 64 hexadecimal digits; it wins over the tag.
    pub digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// It has a scheme in front.
    #[error("a scheme does not belong there: write HOST/REPOSITORY:TAG")]
    Scheme,
    /// There is no registry host in front.
    #[error(
        "the registry's host is missing: write HOST/REPOSITORY:TAG, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1"
    )]
    Host,
    /// Not a repository's name.
    #[error("{0:?} is no repository: lower-case letters, digits and . _ - between slashes")]
    Repository(String),
    /// Not a tag.
    #[error("{0:?} is no tag: up to 128 letters, digits and . _ -")]
    Tag(String),
    /// Not a digest.
    #[error("{0:?} is no digest: sha256: and 64 hexadecimal digits")]
    Digest(String),
}

impl ImageRef {
    /// Reads a reference. The registry's host must be in it: nothing is guessed.
    pub fn parse(text: &str) -> Result<Self, ImageRefError> {
        if text.contains("://") {
            return Err(ImageRefError::Scheme);
        }
        let (host, rest) = text.split_once('/').ok_or(ImageRefError::Host)?;
        if !is_registry_host(host) {
            return Err(ImageRefError::Host);
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
            return Err(ImageRefError::Digest(digest.to_owned()));
        }
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_repository(repository) {
            return Err(ImageRefError::Repository(repository.to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageRefError::Tag(tag.to_owned()));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// What the registry is asked for: the digest, else the tag, else `latest`.
    pub fn reference(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_registry_host(text: &str) -> bool {
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.contains('.') || port.is_some() || name == "localhost")
        && name.len() <= 253
        && name.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Components of lower-case letters and digits, with single separators inside (or `__`, or dashes).
fn is_repository(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 256
        && text.split('/').all(|part| {
            part.bytes().next().is_some_and(fine)
                && part.bytes().next_back().is_some_and(fine)
                && part.bytes().all(|b| fine(b) || b"._-".contains(&b))
                && !part.contains("..")
        })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// What an image runs on: `OS/ARCHITECTURE[/VARIANT]` in Go's names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `v7`, `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This host's.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// Reads `OS/ARCHITECTURE[/VARIANT]`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture) = (parts.next()?, parts.next()?);
        let variant = parts.next();
        let words = [Some(&os), Some(&architecture), variant.as_ref()];
        let fine = words.into_iter().flatten().all(|word| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        });
        (fine && parts.next().is_none()).then_some(Self { os, architecture, variant })
    }

    /// Whether an image for `other` runs here. A variant that either leaves open is no hindrance.
    pub fn runs(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && match (&self.variant, &other.variant) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => true,
            }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    #[test]
    fn a_reference_is_read_as_engines_read_it() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, tag, digested, asked) in [
            (format!("{ECR}/app/web:1.2"), Some("1.2"), false, "1.2"),
            (format!("{ECR}/app/web"), None, false, "latest"),
            (format!("{ECR}/app/web:1.2@{digest}"), Some("1.2"), true, digest.as_str()),
            (format!("localhost:5000/app@{digest}"), None, true, digest.as_str()),
        ] {
            let image = ImageRef::parse(&text).unwrap();
            assert_eq!(image.tag.as_deref(), tag, "{text}");
            assert_eq!((image.digest.is_some(), image.reference()), (digested, asked), "{text}");
            assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_reference_is_told_what_is_wrong_with_it() {
        for (text, why) in [
            ("nginx", ImageRefError::Host),
            ("library/nginx:1", ImageRefError::Host),
            ("https://h.example/a:1", ImageRefError::Scheme),
            ("h.example/App:1", ImageRefError::Repository("App".into())),
            ("h.example/", ImageRefError::Repository(String::new())),
            ("h.example/a:-1", ImageRefError::Tag("-1".into())),
            ("h.example/a@sha256:abc", ImageRefError::Digest("sha256:abc".into())),
        ] {
            assert_eq!(ImageRef::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn a_platform_runs_images_of_its_kind_alone() {
        let arm = Platform::parse("linux/arm64/v8").unwrap();
        assert!(arm.runs(&Platform::parse("linux/arm64").unwrap()));
        assert!(!arm.runs(&Platform::parse("linux/amd64").unwrap()));
        assert!(!arm.runs(&Platform::parse("linux/arm64/v9").unwrap()));
        assert_eq!(arm.to_string(), "linux/arm64/v8");
        for wrong in ["", "linux", "linux/", "linux/arm64/v8/x", "linux/arm 64"] {
            assert_eq!(Platform::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_problem_and_what_is_read_is_written_the_same(text in "\\PC{0,60}") {
            if let Ok(image) = ImageRef::parse(&text) {
                prop_assert_eq!(image.to_string().to_ascii_lowercase(), text.to_ascii_lowercase());
            }
        }

        #[test]
        fn references_go_round(
            repository in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}(-[a-z0-9]{1,4})?){0,2}",
            tag in proptest::option::of("[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,12}"),
        ) {
            let image = ImageRef { host: ECR.into(), repository, tag, digest: None };
            prop_assert_eq!(ImageRef::parse(&image.to_string()), Ok(image));
        }
    }
}
