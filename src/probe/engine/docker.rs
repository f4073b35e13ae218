//! Docker, and podman, which speaks the same language and does not know every word of it.

use std::{fmt::Write as _, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use hyper::{Method, StatusCode, header::HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::{
    Cleaned, Engine, EnginePlan, Offered, Pull, Seen, Space, Words,
    api::{Api, message},
    clean,
    note::Note,
    progress::Progress,
    validate,
};
use crate::{
    model::{image::Platform, outcome::Problem, reason::Reason, token::AuthorizationToken},
    probe::Depth,
};

/// How long the engine may take about what it has at hand.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to ask the registry for a manifest: Docker tries more than once.
const MANIFEST: Duration = Duration::from_secs(60);

/// Asks, and cleans up.
pub(super) async fn look(plan: &EnginePlan, offered: &Offered, seen: &mut Seen) {
    let api = Api::new(&plan.socket);
    let info = match api.json(Method::GET, "/info", None, PATIENCE).await {
        Ok((StatusCode::OK, info)) => info,
        Ok((_, said)) => {
            let problem = Problem::new(Reason::EngineUnreachable, message(&said));
            seen.unreachable = Some(problem.into());
            return;
        }
        Err(problem) => {
            seen.unreachable = Some(problem.into());
            return;
        }
    };
    seen.version = info["ServerVersion"].as_str().map(str::to_owned);
    seen.proxy = info["HttpsProxy"].as_str().and_then(without_credential);
    // A client whose helper fails stops there; one that has nothing asks as anybody.
    if offered.lacking.as_ref().is_some_and(|lacking| lacking.reason != Reason::CredentialAbsent) {
        return;
    }
    let auth = offered.token.as_ref().and_then(|token| registry_auth(token, &plan.image.host));
    if plan.engine == Engine::Docker {
        let began = Instant::now();
        seen.manifest = Some(manifest(&api, plan, auth.as_ref()).await);
        seen.manifest_took = Some(began.elapsed().as_secs_f64());
    }
    if plan.depth < Depth::Full && plan.engine == Engine::Docker {
        return;
    }
    let known = seen.manifest.as_ref().and_then(|manifest| manifest.as_ref().ok());
    let wanted = plan.wanted.as_ref().map(|wanted| &wanted.digest);
    let digest = plan.image.digest.as_ref().or(known).or(wanted).cloned();
    // Never by a tag: one that has moved would be moved on this host, too.
    if let Some(digest) = digest.filter(|_| plan.depth == Depth::Full) {
        let began = Instant::now();
        pull(&api, plan, auth.as_ref(), &info, &digest, seen).await;
        seen.pull_took = Some(began.elapsed().as_secs_f64());
    }
}

/// The digest of what the reference names, as the engine finds it. Nothing is kept of it.
async fn manifest(
    api: &Api<'_>,
    plan: &EnginePlan,
    auth: Option<&HeaderValue>,
) -> Result<String, Words> {
    let path = format!("/distribution/{}/json", plan.image);
    let (status, answer) = api.json(Method::GET, &path, auth, MANIFEST).await?;
    match answer["Descriptor"]["digest"].as_str() {
        Some(digest) if status == StatusCode::OK => Ok(digest.to_owned()),
        _ => Err(Words::said(message(&answer))),
    }
}

async fn pull(
    api: &Api<'_>,
    plan: &EnginePlan,
    auth: Option<&HeaderValue>,
    info: &Value,
    digest: &str,
    seen: &mut Seen,
) {
    let image = &plan.image;
    let repository = format!("{}/{}", image.host, image.repository);
    let name = format!("{repository}@{digest}");
    let note = Note::of(plan, &name);
    if note.is_there() {
        // A probe was killed in the middle of this: what is there is what it brought.
        let left = clean::remove(api, &name).await;
        if !matches!(left, Cleaned::Left(_)) {
            note.clear();
        }
    }
    match is_there(api, plan, &name).await {
        Ok(false) => {}
        Ok(true) => {
            (seen.pull, seen.cleaned) = (Some(Pull::WasThere), Some(Cleaned::Nothing));
            return;
        }
        Err(words) => {
            seen.pull = Some(Pull::Failed(words));
            return;
        }
    }
    let root = info["DockerRootDir"].as_str().unwrap_or("/");
    let root = plan.prefix.join(root.trim_start_matches('/'));
    let compressed = plan.wanted.as_ref().map(|wanted| wanted.bytes);
    let space =
        Space::at(Path::new(&root)).and_then(|space| space.allows(compressed, plan.least_free));
    if let Err(why) = space {
        seen.pull = Some(Pull::NoSpace(why));
        return;
    }
    let mut path = format!("/images/create?fromImage={repository}&tag={digest}");
    if !Platform::host().runs(&plan.platform) {
        let _ = write!(path, "&platform={}", plan.platform);
    }
    note.write(&name);
    let pulled = timeout(plan.timeout, create(api, &path, auth)).await;
    let pulled = pulled.unwrap_or_else(|_| {
        let problem = Problem::new(
            Reason::ProbeDeadline,
            format!("the engine did not pull {name} within {} s", plan.timeout.as_secs()),
        );
        Err(problem.into())
    });
    seen.pull = Some(match pulled {
        Ok(progress) => {
            let layers = plan.wanted.as_ref().map(|wanted| wanted.layers.as_slice());
            let (fetched, shared) = progress.counts(layers);
            let path = format!("/images/{name}/json");
            match api.json(Method::GET, &path, None, PATIENCE).await {
                Ok((StatusCode::OK, inspected)) => {
                    let wanted = plan.wanted.as_ref();
                    seen.differs =
                        validate::differs(&inspected, image, digest, &plan.platform, wanted);
                    Pull::Done { fetched, shared }
                }
                Ok((_, said)) => Pull::Failed(Words::said(message(&said))),
                Err(problem) => Pull::Failed(problem.into()),
            }
        }
        Err(words) => Pull::Failed(words),
    });
    // Also after a failure: it may have come in the last moment.
    let cleaned = clean::remove(api, &name).await;
    if !matches!(cleaned, Cleaned::Left(_)) {
        note.clear();
    }
    seen.cleaned = Some(cleaned);
}

/// Whether the image is there already, by this or any other name, or only as what a container was
/// made of: its record may be gone, and would come back to stay.
async fn is_there(api: &Api<'_>, plan: &EnginePlan, name: &str) -> Result<bool, Words> {
    let ids =
        plan.wanted.iter().flat_map(|wanted| [&wanted.config, &wanted.manifest, &wanted.digest]);
    for name in std::iter::once(name).chain(ids.map(String::as_str)) {
        let path = format!("/images/{name}/json");
        match api.json(Method::GET, &path, None, PATIENCE).await? {
            (StatusCode::OK, _) => return Ok(true),
            (StatusCode::NOT_FOUND, _) => {}
            // podman takes a digest of nothing for a mistake.
            (status, _) if status.is_client_error() => {}
            (_, said) => return Err(Words::said(message(&said))),
        }
    }
    let path = "/containers/json?all=1";
    let Some(wanted) = &plan.wanted else {
        return Ok(false);
    };
    match api.json(Method::GET, path, None, PATIENCE).await? {
        (StatusCode::OK, Value::Array(containers)) => Ok(containers.iter().any(|container| {
            let id = container["ImageID"].as_str().unwrap_or_default();
            let id = id.strip_prefix("sha256:").unwrap_or(id);
            let ids = [&wanted.config, &wanted.manifest, &wanted.digest];
            ids.into_iter().any(|own| own.strip_prefix("sha256:") == Some(id))
        })),
        (_, said) => Err(Words::said(message(&said))),
    }
}

async fn create(api: &Api<'_>, path: &str, auth: Option<&HeaderValue>) -> Result<Progress, Words> {
    let broken = |error: hyper::Error| {
        Words::from(Problem::new(
            Reason::EngineUnreachable,
            format!("in the middle of a pull: {error}"),
        ))
    };
    let mut answer = api.send(Method::POST, path, auth).await?;
    let mut progress = Progress::default();
    let mut first = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if !answer.status.is_success() && first.len() < 64 * 1024 {
            first.extend_from_slice(&piece);
        }
        progress.feed(&piece);
    }
    progress.end();
    if !answer.status.is_success() {
        let said = message(&serde_json::from_slice(&first).unwrap_or_default());
        return Err(Words::said(said));
    }
    match progress.error.take() {
        Some(error) => Err(Words::said(error)),
        None => Ok(progress),
    }
}

/// X-Registry-Auth: JSON in base64url.
fn registry_auth(token: &AuthorizationToken, host: &str) -> Option<HeaderValue> {
    let password = token.password();
    let text = Zeroizing::new(
        json!({
            "username": token.user(), "password": password.expose_secret(), "serveraddress": host,
        })
        .to_string(),
    );
    let encoded = Zeroizing::new(URL_SAFE.encode(text.as_bytes()));
    let mut value = HeaderValue::from_str(&encoded).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A proxy's URL without what is before its host.
pub(super) fn without_credential(proxy: &str) -> Option<String> {
    let host = proxy.rsplit_once('@').map_or(proxy, |(_, host)| host);
    Some(host.to_owned()).filter(|host| !host.is_empty())
}
