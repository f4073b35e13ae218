//! The kubelet's exec credential providers (kubelet.config.k8s.io, CredentialProviderConfig).

use std::path::Path;

use serde::Deserialize;

use crate::model::{outcome::Problem, reason::Reason};

/// The flag that names the providers' configuration, a file or a folder of files.
pub const CONFIG_FLAG: &str = "--image-credential-provider-config";

/// The flag that names the folder of the providers' programs.
pub const BIN_FLAG: &str = "--image-credential-provider-bin-dir";

/// The providers of one file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Providers {
    /// In their order.
    #[serde(default)]
    pub providers: Vec<Provider>,
}

/// One provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// The program's name.
    pub name: String,
    /// The images it is asked for.
    #[serde(default)]
    pub match_images: Vec<String>,
    /// The version of its protocol.
    #[serde(default)]
    pub api_version: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// What is added to its environment.
    #[serde(default)]
    pub env: Option<Vec<Variable>>,
    /// It wants a service account's token.
    #[serde(default)]
    pub token_attributes: Option<serde::de::IgnoredAny>,
}

/// A variable of the environment.
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Reads a CredentialProviderConfig, YAML or JSON.
pub fn parse(text: &[u8], path: &Path) -> Result<Providers, Problem> {
    serde_yaml_ng::from_slice(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        let detail = format!("{}: no CredentialProviderConfig at line {line}", path.display());
        Problem::new(Reason::OutputMalformed, detail)
    })
}

/// The value of a flag in a command line, a unit file or a file of variables.
pub fn flag(text: &str, name: &str) -> Option<String> {
    let live = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut found = None;
    for line in live {
        for (at, _) in line.match_indices(name) {
            let rest = &line[at + name.len()..];
            let Some(value) = rest.strip_prefix(['=', ' ', '\0']) else {
                continue;
            };
            let value = value.trim_start();
            let end = value.find([' ', '"', '\'', '\0', '\t', '\\']).unwrap_or(value.len());
            found = Some(value[..end].to_owned()).filter(|value| !value.is_empty()).or(found);
        }
    }
    found
}

/// Whether a pattern of `matchImages` takes an image: as many labels, each glob within one label,
/// the same port, and the path a prefix of the image's.
pub fn matches(pattern: &str, image: &str) -> bool {
    let split = |text: &str| -> (String, Option<String>, String) {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.to_owned())),
            None => (host, None),
        };
        (name.to_owned(), port, format!("/{path}"))
    };
    let (wanted, wanted_port, wanted_path) = split(pattern);
    let (name, port, path) = split(image);
    let wanted: Vec<&str> = wanted.split('.').collect();
    let labels: Vec<&str> = name.split('.').collect();
    wanted.len() == labels.len()
        && wanted_port == port
        && path.starts_with(&wanted_path)
        && wanted.iter().zip(&labels).all(|(pattern, label)| glob(pattern, label))
}

/// `*` is any run of letters, `?` any single one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Where the last star stood, and how much it has swallowed.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&letter) if letter == '?' || letter == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, swallowed)) => {
                    star = Some((place, swallowed + 1));
                    at = place + 1;
                    seen = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_glob_stays_within_its_label_and_ports_and_paths_count() {
        let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app/web";
        for (pattern, expected) in [
            ("*.dkr.ecr.*.amazonaws.com", true),
            ("*.dkr.ecr.eu-*-1.amazonaws.com/app", true),
            ("https://*.dkr.ecr.eu-west-?.amazonaws.com", true),
            ("*.amazonaws.com", false),
            ("*.dkr.ecr.*.amazonaws.com.cn", false),
            ("*.dkr.ecr.*.amazonaws.com:443", false),
            ("*.dkr.ecr.*.amazonaws.com/other", false),
            ("*", false),
        ] {
            assert_eq!(matches(pattern, image), expected, "{pattern}");
        }
        assert!(
            matches("localhost:5000", "localhost:5000/a")
                && !matches("localhost", "localhost:5000/a")
        );
    }

    #[test]
    fn flags_are_found_wherever_they_are_written() {
        for text in [
            "kubelet\0--image-credential-provider-config=/etc/c.yaml\0--v=2",
            "kubelet\0--image-credential-provider-config\0/etc/c.yaml\0",
            "Environment=\"KUBELET_ARGS=--x --image-credential-provider-config=/etc/c.yaml\"",
            "ExecStart=/usr/bin/kubelet \\\n  --image-credential-provider-config /etc/c.yaml \\\n",
        ] {
            assert_eq!(flag(text, CONFIG_FLAG).as_deref(), Some("/etc/c.yaml"), "{text}");
        }
        assert_eq!(flag("# --image-credential-provider-config=/x", CONFIG_FLAG), None);
    }

    proptest! {
        #[test]
        fn no_text_is_a_problem(pattern in "[*?a-c.:/]{0,12}", image in "[a-c.:/]{0,12}", text in "\\PC{0,40}") {
            let _ = matches(&pattern, &image);
            let _ = parse(text.as_bytes(), Path::new("/p"));
            let _ = flag(&text, CONFIG_FLAG);
            prop_assert!(glob("*", &image));
        }
    }
}
