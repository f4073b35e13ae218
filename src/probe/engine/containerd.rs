//! containerd, in a namespace of the probe's own: whatever is in it is ours, also what a probe left
//! that was killed, and no other namespace is touched.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Cleaned, EnginePlan, Offered, Pull, Seen, Space, Words, ctr::Ctr, docker::without_credential,
    hosts_folder,
};
use crate::{
    model::{outcome::Problem, reason::Reason},
    probe::{Depth, pull::sha256},
};

const NAMESPACE: &str = "ecr-warden-probe";

/// How long it may take about what it has at hand.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to ask the registry for a manifest.
const MANIFEST: Duration = Duration::from_secs(60);

/// Asks, and cleans up.
pub(super) async fn look(plan: &EnginePlan, offered: &Offered, seen: &mut Seen) {
    let ctr = match Ctr::at(&plan.socket).await {
        Ok(ctr) => ctr,
        Err(problem) => {
            seen.unreachable = Some(problem.into());
            return;
        }
    };
    match ctr.run(None, &["version"], PATIENCE).await {
        Ok(said) => seen.version = server_version(&said.lines()),
        Err(words) => {
            let problem = Problem::new(Reason::EngineUnreachable, words.words);
            seen.unreachable = Some(problem.into());
            return;
        }
    }
    seen.blind = ctr.is_blind();
    seen.proxy = ctr.proxy().as_deref().and_then(without_credential);
    let folder = match hosts_folder::of(plan, offered) {
        Ok(folder) => folder,
        Err(problem) => {
            seen.unreachable = Some(problem.into());
            return;
        }
    };
    let began = Instant::now();
    seen.manifest = Some(manifest(&ctr, plan, folder.path()).await);
    seen.manifest_took = Some(began.elapsed().as_secs_f64());
    if plan.depth < Depth::Full {
        return;
    }
    let known = seen.manifest.as_ref().and_then(|manifest| manifest.as_ref().ok());
    let wanted = plan.wanted.as_ref().map(|wanted| &wanted.digest);
    let Some(digest) = plan.image.digest.as_ref().or(known).or(wanted).cloned() else {
        return;
    };
    let began = Instant::now();
    let name = format!("{}/{}@{digest}", plan.image.host, plan.image.repository);
    seen.pull = Some(match pull(&ctr, plan, folder.path(), &name, seen).await {
        Ok(pull) => pull,
        Err(words) => Pull::Failed(words),
    });
    seen.pull_took = Some(began.elapsed().as_secs_f64());
    seen.cleaned = Some(match clean(&ctr).await {
        Ok(true) => Cleaned::Removed,
        Ok(false) => Cleaned::Nothing,
        Err(words) => Cleaned::Left(words),
    });
}

/// The digest of what the reference names. Nothing is kept of it.
async fn manifest(ctr: &Ctr, plan: &EnginePlan, folder: Option<&Path>) -> Result<String, Words> {
    let image = plan.image.to_string();
    let mut arguments = vec!["content", "fetch-object"];
    let shown = folder.map(|folder| folder.display().to_string());
    if let Some(folder) = &shown {
        arguments.extend(["--hosts-dir", folder]);
    }
    arguments.push(&image);
    let said = ctr.run(Some(NAMESPACE), &arguments, MANIFEST).await?;
    Ok(sha256(&said.out))
}

async fn pull(
    ctr: &Ctr,
    plan: &EnginePlan,
    folder: Option<&Path>,
    name: &str,
    seen: &mut Seen,
) -> Result<Pull, Words> {
    clean(ctr).await?;
    if let Err(why) = space(ctr, plan).await {
        return Ok(Pull::NoSpace(why));
    }
    let elsewhere = elsewhere(ctr, plan).await?;
    let platform = plan.platform.to_string();
    let mut arguments = vec!["images", "pull", "--platform", &platform];
    let shown = folder.map(|folder| folder.display().to_string());
    if let Some(folder) = &shown {
        arguments.extend(["--hosts-dir", folder]);
    }
    arguments.push(name);
    ctr.run(Some(NAMESPACE), &arguments, plan.timeout).await?;
    let content = digests(ctr, NAMESPACE).await?;
    seen.differs = differs(plan, name, &content);
    let layers = plan.wanted.iter().flat_map(|wanted| &wanted.layers).collect::<BTreeSet<_>>();
    let shared = layers.iter().filter(|layer| elsewhere.contains(**layer)).count();
    Ok(Pull::Done { fetched: layers.len() - shared, shared })
}

/// What the image should have brought and did not.
fn differs(plan: &EnginePlan, name: &str, content: &BTreeSet<String>) -> Vec<String> {
    let digest = name.rsplit_once('@').map(|(_, digest)| digest.to_owned());
    let wanted = plan.wanted.iter().flat_map(|wanted| {
        [&wanted.manifest, &wanted.config].into_iter().chain(&wanted.layers).cloned()
    });
    let expected: BTreeSet<String> = digest.into_iter().chain(wanted).collect();
    expected.difference(content).map(|missing| format!("it lacks {missing}")).collect()
}

async fn digests(ctr: &Ctr, namespace: &str) -> Result<BTreeSet<String>, Words> {
    let said = ctr.run(Some(namespace), &["content", "ls", "-q"], PATIENCE).await?;
    Ok(said.lines().into_iter().collect())
}

/// The content of all other namespaces: what is there already is linked and not fetched.
async fn elsewhere(ctr: &Ctr, plan: &EnginePlan) -> Result<BTreeSet<String>, Words> {
    let mut all = BTreeSet::new();
    if plan.wanted.is_none() {
        return Ok(all);
    }
    for namespace in ctr.run(None, &["namespaces", "ls", "-q"], PATIENCE).await?.lines() {
        if namespace != NAMESPACE {
            all.extend(digests(ctr, &namespace).await?);
        }
    }
    Ok(all)
}

async fn space(ctr: &Ctr, plan: &EnginePlan) -> Result<(), String> {
    let said = ctr.run(None, &["plugins", "ls", "--detailed", "id==content"], PATIENCE).await;
    let said = said.map_err(|words| words.words)?;
    let root = root(&said.lines()).ok_or("containerd does not say where its content is")?;
    let root = plan.prefix.join(root.strip_prefix("/").unwrap_or(&root));
    let compressed = plan.wanted.as_ref().map(|wanted| wanted.bytes);
    Space::at(&root)?.allows(compressed, plan.least_free)
}

/// The folder that the content plugin exports.
fn root(lines: &[String]) -> Option<PathBuf> {
    lines.iter().find_map(|line| {
        let (key, value) = line.split_once(char::is_whitespace)?;
        let value = value.trim();
        (key == "root" && value.starts_with('/')).then(|| PathBuf::from(value))
    })
}

/// Empties the namespace and removes it; whether there was one. Blobs that other namespaces have as
/// well stay theirs.
async fn clean(ctr: &Ctr) -> Result<bool, Words> {
    let known = ctr.run(None, &["namespaces", "ls", "-q"], PATIENCE).await?;
    if !known.lines().iter().any(|name| name == NAMESPACE) {
        return Ok(false);
    }
    // A pull that was cut off leaves its lease, which would keep its content for a day.
    for (list, remove) in [
        (["images", "ls", "-q"], ["images", "rm", "--sync"]),
        (["leases", "ls", "-q"], ["leases", "rm", "--sync"]),
    ] {
        let found = ctr.run(Some(NAMESPACE), &list, PATIENCE).await?.lines();
        if !found.is_empty() {
            let arguments: Vec<&str> =
                remove.into_iter().chain(found.iter().map(String::as_str)).collect();
            ctr.run(Some(NAMESPACE), &arguments, PATIENCE).await?;
        }
    }
    let rest = digests(ctr, NAMESPACE).await?;
    if !rest.is_empty() {
        let arguments: Vec<&str> =
            ["content", "rm"].into_iter().chain(rest.iter().map(String::as_str)).collect();
        ctr.run(Some(NAMESPACE), &arguments, PATIENCE).await?;
    }
    ctr.run(None, &["namespaces", "rm", NAMESPACE], PATIENCE).await?;
    let known = ctr.run(None, &["namespaces", "ls", "-q"], PATIENCE).await?;
    if known.lines().iter().any(|name| name == NAMESPACE) {
        return Err(Words::said(format!("the namespace {NAMESPACE} is still there")));
    }
    Ok(true)
}

/// `Version:` below `Server:`.
fn server_version(lines: &[String]) -> Option<String> {
    let server = lines.iter().skip_while(|line| *line != "Server:");
    server
        .filter_map(|line| line.strip_prefix("Version:"))
        .map(|text| text.trim().to_owned())
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn what_ctr_says_is_read_as_it_says_it() {
        let version = "Client:\n  Version:  1.6.20\n\nServer:\n  Version:  1.7.27\n  Revision: x\n";
        assert_eq!(server_version(&lines(version)).as_deref(), Some("1.7.27"));
        let plugins = "Type:         io.containerd.content.v1\nID:           content\nExports:\n              root      /var/lib/containerd/io.containerd.content.v1.content\n\nType: io.containerd.grpc.v1\n";
        let found = root(&lines(plugins));
        assert_eq!(
            found.as_deref(),
            Some(Path::new("/var/lib/containerd/io.containerd.content.v1.content"))
        );
        assert_eq!(root(&lines("Exports:\n")), None);
    }
}
