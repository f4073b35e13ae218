//! The image that is asked about.

/// An image of a registry that its name names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry's host, with its port if it has one.
    pub host: String,
    /// The repository.
    pub repository: String,
}

impl Image {
    /// Reads `HOST/REPOSITORY[:TAG][@DIGEST]`; why it is none.
    pub fn parse(name: &str) -> Result<Self, String> {
        let name = name.trim();
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        let (host, rest) = name.split_once('/').unwrap_or((name, ""));
        // Docker's own rule for what is a host and not the beginning of a repository.
        if !(host.contains(['.', ':']) || host == "localhost") || name.contains(char::is_whitespace)
        {
            return Err(format!(
                "{name:?} names no registry: write HOST/REPOSITORY[:TAG], such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app/web:1"
            ));
        }
        let rest = rest.split_once('@').map_or(rest, |(before, _)| before);
        let repository = match rest.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => before,
            _ => rest,
        };
        Ok(Self { host: host.to_ascii_lowercase(), repository: repository.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_are_no_part_of_the_repository_and_a_registry_must_be_named() {
        let of = |name| Image::parse(name).map(|image| (image.host, image.repository));
        for name in
            ["H.example:5000/a/b:1", "h.example:5000/a/b@sha256:00", "docker://h.example:5000/a/b"]
        {
            assert_eq!(of(name), Ok(("h.example:5000".into(), "a/b".into())), "{name}");
        }
        assert_eq!(of("h.example"), Ok(("h.example".into(), String::new())));
        for name in ["nginx", "library/nginx", "", "h.example/a b"] {
            assert!(of(name).is_err(), "{name}");
        }
    }
}
