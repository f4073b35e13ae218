//! Removes what a pull brought, and nothing else: by the reference that the probe pulled, without
//! force, and not if anybody has named or used the image since.

use std::time::Duration;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    Cleaned, Words,
    api::{Api, message},
};

/// How long each request may take; an image of some GB is not removed at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Removes `name`, a repository with a digest that was not there before the pull.
pub(super) async fn remove(api: &Api<'_>, name: &str) -> Cleaned {
    let path = format!("/images/{name}/json");
    let image = match api.json(Method::GET, &path, None, PATIENCE).await {
        Ok((StatusCode::OK, image)) => image,
        Ok((StatusCode::NOT_FOUND, _)) => return Cleaned::Nothing,
        Ok((_, said)) => return Cleaned::Left(Words::said(message(&said))),
        Err(problem) => return Cleaned::Left(problem.into()),
    };
    match wanted_by(api, &image, name).await {
        Ok(None) => {}
        Ok(Some(why)) => return Cleaned::Kept(why),
        Err(words) => return Cleaned::Left(words),
    }
    let path = format!("/images/{name}?force=false&noprune=true");
    match api.json(Method::DELETE, &path, None, PATIENCE).await {
        Ok((StatusCode::CONFLICT, said)) => Cleaned::Kept(message(&said)),
        Ok((status, said)) if !status.is_success() && status != StatusCode::NOT_FOUND => {
            Cleaned::Left(Words::said(message(&said)))
        }
        Err(problem) => Cleaned::Left(problem.into()),
        Ok(_) => {
            let path = format!("/images/{name}/json");
            match api.json(Method::GET, &path, None, PATIENCE).await {
                Ok((StatusCode::NOT_FOUND, _)) => Cleaned::Removed,
                Ok(_) => Cleaned::Left(Words::said("it is still there")),
                Err(problem) => Cleaned::Left(problem.into()),
            }
        }
    }
}

/// Who has begun to use the image since it came.
async fn wanted_by(api: &Api<'_>, image: &Value, name: &str) -> Result<Option<String>, Words> {
    if let Some(why) = named_by_others(image, name) {
        return Ok(Some(why));
    }
    let id = image["Id"].as_str().unwrap_or_default();
    let filter = json!({ "ancestor": [id] }).to_string();
    let filter = utf8_percent_encode(&filter, NON_ALPHANUMERIC);
    let path = format!("/containers/json?all=1&filters={filter}");
    match api.json(Method::GET, &path, None, PATIENCE).await {
        Ok((StatusCode::OK, Value::Array(containers))) => {
            let count = containers.len();
            Ok((count > 0).then(|| format!("{count} containers use it by now")))
        }
        Ok((_, said)) => Err(Words::said(message(&said))),
        Err(problem) => Err(problem.into()),
    }
}

/// Another name that the image has got.
fn named_by_others(image: &Value, name: &str) -> Option<String> {
    let all = |key: &str| {
        let names = image[key].as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let repository = name.split('@').next().unwrap_or_default();
    let tags = all("RepoTags").into_iter().filter(|tag| !tag.starts_with("<none>"));
    // Of the same repository podman names the platform's manifest beside the index.
    let digests = all("RepoDigests").into_iter().filter(|digest| {
        !digest.starts_with("<none>") && digest.split('@').next() != Some(repository)
    });
    tags.chain(digests).next().map(|other| format!("it is {other} by now"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_somebody_has_named_since_is_somebody_elses() {
        let name = "h.example/app@sha256:a";
        let ours = json!({ "RepoTags": ["<none>:<none>"], "RepoDigests": [name, "h.example/app@sha256:b"] });
        assert_eq!(named_by_others(&ours, name), None);
        assert_eq!(
            named_by_others(&json!({ "RepoTags": null, "RepoDigests": [name] }), name),
            None
        );
        for theirs in [
            json!({ "RepoTags": ["h.example/app:1"], "RepoDigests": [name] }),
            json!({ "RepoTags": [], "RepoDigests": [name, "other.example/app@sha256:a"] }),
        ] {
            assert!(named_by_others(&theirs, name).is_some(), "{theirs}");
        }
    }
}
