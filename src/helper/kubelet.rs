//! The kubelet's exec credential provider (k8s.io/kubelet, credentialprovider.kubelet.k8s.io v1 and
//! v1beta1): a CredentialProviderRequest on standard input, a response on standard output, failures
//! on standard error, which the kubelet logs.

use std::io;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Streams, host_of,
    source::{Answer, Source},
};

const GROUP: &str = "credentialprovider.kubelet.k8s.io";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// A pull that begins with a cached credential may take so long.
const PULL: SignedDuration = SignedDuration::from_mins(15);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    api_version: String,
    kind: String,
    #[serde(default)]
    image: String,
}

/// Answers one request; the exit code.
pub fn run(source: &Source, streams: &mut Streams<'_>) -> io::Result<u8> {
    let text = streams.read()?;
    match answer(&text, source, Timestamp::now()) {
        Ok(response) => {
            streams.out.write_all(&response)?;
            Ok(0)
        }
        Err(why) => {
            writeln!(streams.err, "{why}")?;
            Ok(1)
        }
    }
}

fn answer(text: &str, source: &Source, now: Timestamp) -> Result<Zeroizing<Vec<u8>>, String> {
    let request: Request = serde_json::from_str(text)
        .map_err(|error| format!("ecr-warden: no CredentialProviderRequest: {error}"))?;
    let version = request.api_version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/'));
    if request.kind != "CredentialProviderRequest"
        || !version.is_some_and(|version| VERSIONS.contains(&version))
    {
        return Err(format!(
            "ecr-warden: {} {} is not spoken here; set apiVersion: {GROUP}/v1 for this provider",
            request.api_version, request.kind
        ));
    }
    let host = host_of(&request.image);
    if host.is_empty() {
        return Err("ecr-warden: the CredentialProviderRequest names no image".to_owned());
    }
    let (cache, auth) = match source.get(&host) {
        Answer::Credential(credential) => {
            let left = credential.expires.duration_since(now);
            let auth = json!({ &host: {
                "username": credential.username,
                "password": credential.secret.expose_secret(),
            }});
            (cache(left), auth)
        }
        // Other providers and pull secrets may know; nothing is cached.
        Answer::NotOurs => (SignedDuration::ZERO, json!({})),
        Answer::Lacking(why) => return Err(why),
    };
    let response = json!({
        "apiVersion": request.api_version,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry",
        "cacheDuration": format!("{}s", cache.as_secs()),
        "auth": auth,
    });
    let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
    serde_json::to_writer(&mut *text, &response).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(text)
}

/// How long the kubelet may use a credential again that has so long to live: a pull that begins at
/// the end of it still has a quarter of an hour.
fn cache(left: SignedDuration) -> SignedDuration {
    (left - PULL).max(left / 2).max(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_credential_outlives_the_pull_that_begins_with_it() {
        let minutes = |left, cached| {
            assert_eq!(
                cache(SignedDuration::from_mins(left)),
                SignedDuration::from_mins(cached),
                "{left}"
            );
        };
        minutes(12 * 60, 12 * 60 - 15);
        minutes(31, 16);
        minutes(20, 10);
        minutes(0, 0);
        minutes(-5, 0);
    }
}
