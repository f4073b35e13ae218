//! `probe --engine`: our own client first, then the engine.

use std::{io, path::Path, sync::Arc};

use jiff::Timestamp;

use crate::{
    config::settings::Settings,
    daemon,
    explain::{Image, look::Tree},
    oci::{client::Client, trace::Record},
    probe::{
        Depth,
        attempt::{Caller, attempt_and_find},
        engine::{Engine, EnginePlan, Trial, look},
        pull::Plan,
    },
};

/// Bytes that must be free beyond what the image takes.
const LEAST_FREE: u64 = 2 << 30;

/// Which engine, where, and when.
pub(super) struct Asked<'a> {
    pub(super) engine: Engine,
    pub(super) socket: Option<&'a Path>,
    pub(super) started: Timestamp,
}

/// Asks both.
pub(super) async fn trial(
    asked: &Asked<'_>,
    settings: &Settings,
    client: &Arc<Client>,
    caller: &Caller,
    plan: &Plan,
    record: &Arc<Record>,
) -> io::Result<Trial> {
    // A byte of a layer tells the storage's half from the engine's.
    let own = Plan { depth: plan.depth.min(Depth::FirstByte), ..plan.clone() };
    let (seen, wanted) = attempt_and_find(client, caller, &own, record, asked.started).await;
    let prefix = Path::new("/").join(&settings.daemon.host_prefix);
    let tree = Tree::open(&prefix).map_err(io::Error::other)?;
    let image = Image { host: plan.image.host.clone(), repository: plan.image.repository.clone() };
    let engine = asked.engine;
    let usual = prefix.join(engine.socket().trim_start_matches('/'));
    let found = tokio::task::spawn_blocking(move || {
        let hosts = (engine == Engine::Containerd).then(|| daemon::engine::hosts_folder(&tree));
        (daemon::engine::offered(&tree, &image, engine), hosts.flatten())
    });
    let (offered, hosts_folder) = found.await.map_err(io::Error::other)?;
    let plan = EnginePlan {
        engine,
        socket: asked.socket.map_or(usual, Path::to_owned),
        prefix,
        image: plan.image.clone(),
        depth: plan.depth,
        platform: plan.platform.clone(),
        wanted,
        timeout: plan.timeout,
        least_free: LEAST_FREE,
        hosts_folder,
        scratch: std::env::temp_dir(),
    };
    Ok(Trial { engine: look(&plan, &offered).await, seen })
}
