//! Where a request goes: an origin, and a path on it. Redirects are decided here. Pure.

use std::fmt;

use hyper::Uri;

/// A host and a port; the scheme is always https.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The host name, in lower case.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// Reads `HOST[:PORT]`.
    pub fn of(host: &str) -> Self {
        let (name, port) = match host.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
            Some((name, Ok(port))) => (name, port),
            _ => (host, 443),
        };
        Self { name: name.to_ascii_lowercase(), port }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == 443 {
            f.write_str(&self.name)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// An origin with a path and a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Where.
    pub origin: Origin,
    /// What: begins with `/`; may hold a signature in its query.
    pub path: String,
}

impl Url {
    /// A path at an origin.
    pub fn at(origin: &Origin, path: impl Into<String>) -> Self {
        Self { origin: origin.clone(), path: path.into() }
    }

    /// Where a `Location` leads from here; the error says why it is not followed.
    pub fn follow(&self, location: &str) -> Result<Self, String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let path = location.parse::<Uri>().map_err(|error| error.to_string())?;
            return Ok(Self::at(
                &self.origin,
                path.path_and_query().map_or("/", |all| all.as_str()),
            ));
        }
        let absolute = if location.starts_with("//") {
            format!("https:{location}")
        } else {
            location.to_owned()
        };
        let uri: Uri = absolute.parse().map_err(|error| format!("it is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(other) => {
                return Err(format!("it leads to {other}://, and bytes come over https alone"));
            }
            None => return Err("it is no absolute URL".to_owned()),
        }
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("there is a credential in it".to_owned());
        }
        let name = uri.host().unwrap_or_default().to_ascii_lowercase();
        let origin = Origin { name, port: uri.port_u16().unwrap_or(443) };
        Ok(Self::at(&origin, uri.path_and_query().map_or("/", |all| all.as_str())))
    }
}

impl Url {
    /// The same with one more parameter, whose value needs no escaping.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        Self::at(&self.origin, format!("{}{joint}{key}={value}", self.path))
    }
}

impl fmt::Display for Url {
    /// Without the query: there is a signature in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.split_once('?') {
            Some((path, _)) => write!(f, "https://{}{path}?...", self.origin),
            None => write!(f, "https://{}{}", self.origin, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn here() -> Url {
        Url::at(&Origin::of("123456789012.dkr.ecr.eu-west-1.amazonaws.com"), "/v2/app/blobs/x")
    }

    #[test]
    fn a_redirect_is_followed_over_https_alone() {
        let s3 = here()
            .follow("https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com/a?X-Amz-Signature=secret")
            .unwrap();
        assert_eq!(s3.origin.port, 443);
        assert_eq!(s3.path, "/a?X-Amz-Signature=secret");
        assert!(!s3.to_string().contains("secret"), "{s3}");
        assert_eq!(here().follow("/x?y").unwrap(), Url::at(&here().origin, "/x?y"));
        assert_eq!(
            here().follow("//h.example:8443/x").unwrap().origin,
            Origin::of("h.example:8443")
        );
        for wrong in ["http://h.example/x", "ftp://h/x", "x/y", "", "https://", "https://a:b@h/x"] {
            assert!(here().follow(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_port_is_another_origin() {
        assert_ne!(Origin::of("h.example"), Origin::of("h.example:8443"));
        assert_eq!(Origin::of("H.Example:443"), Origin::of("h.example"));
    }

    proptest! {
        #[test]
        fn no_location_makes_it_fail(location in "(https?:)?(//)?[\\PC]{0,40}") {
            let _ = here().follow(&location);
        }
    }
}
