//! `WWW-Authenticate` of a registry (RFC 9110, section 11.6.1), and where a Bearer challenge sends
//! its client (the distribution project's token authentication).

use hyper::{HeaderMap, header::WWW_AUTHENTICATE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A Bearer challenge: ECR Public sends one, private ECR asks for Basic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    realm: String,
    service: String,
    scope: String,
}

impl Bearer {
    /// The first Bearer challenge of an answer.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        let start = text.to_ascii_lowercase().find("bearer ")?;
        let rest = text.get(start + "bearer ".len()..)?;
        let mut found = Self { realm: String::new(), service: String::new(), scope: String::new() };
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => found.realm = value,
                "service" => found.service = value,
                "scope" => found.scope = value,
                _ => {}
            }
        }
        (!found.realm.is_empty()).then_some(found)
    }

    /// The path and query to ask for a token at `host`; none if the realm is anywhere else. A
    /// credential is never sent to another origin than the registry's own.
    pub(super) fn path_at(&self, host: &str) -> Option<String> {
        let path = self.realm.strip_prefix("https://")?.strip_prefix(host)?;
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return None;
        }
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<String> = [("service", &self.service), ("scope", &self.scope)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let mark = if path.contains('?') { '&' } else { '?' };
        Some(if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}{mark}{}", query.join("&"))
        })
    }

    /// Where it sends its client.
    pub(super) fn realm(&self) -> &str {
        &self.realm
    }
}

/// `name="value"` or `name=value`, separated by commas; a quoted value may hold commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
            for (at, letter) in quoted.char_indices() {
                match letter {
                    _ if escaped => {
                        value.push(letter);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    _ => value.push(letter),
                }
            }
            (value, &quoted[end..])
        } else {
            let (value, next) = after.split_once(',').unwrap_or((after, ""));
            (value.trim().to_owned(), next)
        };
        found.push((name.trim_matches([' ', ',', '\t']).to_owned(), value));
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_credential_is_sent_to_the_realm_only_if_that_is_the_registry_itself() {
        let public = Bearer::parse(
            r#"Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#,
        )
        .unwrap();
        assert_eq!(
            public.path_at("public.ecr.aws").as_deref(),
            Some("/token/?service=public%2Eecr%2Eaws&scope=aws")
        );
        for other in ["ecr.aws", "public.ecr.aws.example", "public.ecr.a"] {
            assert_eq!(public.path_at(other), None, "{other}");
        }
        for realm in [
            "http://public.ecr.aws/",
            "https://public.ecr.aws.evil.example/",
            "https://x@public.ecr.aws/",
        ] {
            let bearer = Bearer::parse(&format!("bearer realm=\"{realm}\"")).unwrap();
            assert_eq!(bearer.path_at("public.ecr.aws"), None, "{realm}");
        }
    }

    #[test]
    fn other_challenges_are_none_of_these() {
        assert_eq!(Bearer::parse(r#"Basic realm="https://x/",service="ecr.amazonaws.com""#), None);
        assert_eq!(Bearer::parse("Bearer"), None);
        let both =
            Bearer::parse(r#"Basic realm="x", Bearer realm="https://h/t",scope="a,b""#).unwrap();
        assert_eq!((both.realm(), both.scope.as_str()), ("https://h/t", "a,b"));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_fail(text in "\\PC{0,80}") {
            let _ = Bearer::parse(&text).map(|bearer| bearer.path_at("h"));
        }
    }
}
