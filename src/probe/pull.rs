//! A test pull: does what an engine does, as far down as asked, keeps nothing, and notes what it
//! sees. What that means is the diagnosis's business.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ring::digest::{Context, SHA256};
use tokio::{sync::oneshot, task::JoinSet, time::timeout_at};

use super::{
    Depth,
    capsule::{Layers, Stop},
    engine::Wanted,
};
use crate::{
    model::{
        image::{ImageRef, Platform},
        token::AuthorizationToken,
    },
    oci::{
        client::Client,
        fetch::{Ask, Ended, Fetch},
        manifest::{
            self, Descriptor, ImageConfig, ImageManifest, LONGEST_CONFIG, LONGEST_MANIFEST,
            Manifest, ManifestError,
        },
        trace::{Record, Step},
    },
};

/// Layers streamed at once: between Docker's three and the six of containers/image.
const STREAMS: usize = 4;

/// The first stream is alone until so much of it has come, which is its own speed's measure.
const ALONE: u64 = 16 << 20;

/// But not longer than this.
const ALONE_AT_MOST: Duration = Duration::from_secs(1);

/// What to pull.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The image.
    pub image: ImageRef,
    /// How far down.
    pub depth: Depth,
    /// For which platform.
    pub platform: Platform,
    /// How long the whole may take.
    pub timeout: Duration,
    /// Asked before layers are streamed.
    pub allowance: Allowance,
}

/// Whether so many bytes may be transferred. With one that says no, a full pull ends with the first
/// byte.
#[derive(Clone, Default)]
pub struct Allowance(Option<Arc<dyn Fn(u64) -> bool + Send + Sync>>);

impl Allowance {
    /// As this says.
    pub fn by(ask: impl Fn(u64) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// Whether so many bytes may come.
    pub fn allows(&self, bytes: u64) -> bool {
        self.0.as_ref().is_none_or(|ask| ask(bytes))
    }
}

impl std::fmt::Debug for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "limited" } else { "unlimited" })
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Where it ended.
    pub stop: Stop,
    /// How far down it came.
    pub reached: Option<Depth>,
    /// What the layers showed.
    pub layers: Option<Layers>,
    /// The image that was found, which engines are compared with.
    pub found: Option<Wanted>,
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        Self::Exchange(ended.0)
    }
}

impl From<ManifestError> for Stop {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Unreadable(words) => Self::Unreadable(words),
            ManifestError::Unsupported(words) => Self::Unsupported(words),
        }
    }
}

/// Pulls. The requests are in `record`, also those that were under way when time was up.
pub async fn pull(
    client: &Arc<Client>,
    credential: Option<&AuthorizationToken>,
    plan: &Plan,
    record: &Arc<Record>,
) -> Pulled {
    let mut pulled = Pulled { stop: Stop::Complete, reached: None, layers: None, found: None };
    let deadline = tokio::time::Instant::now() + plan.timeout;
    let attempt = Attempt { client, credential, plan, record, deadline };
    if let Err(stop) = attempt.run(&mut pulled).await {
        pulled.stop = stop;
    }
    pulled
}

struct Attempt<'a> {
    client: &'a Arc<Client>,
    credential: Option<&'a AuthorizationToken>,
    plan: &'a Plan,
    record: &'a Arc<Record>,
    deadline: tokio::time::Instant,
}

impl Attempt<'_> {
    async fn run(&self, pulled: &mut Pulled) -> Result<(), Stop> {
        let layers = timeout_at(self.deadline, self.without_layers(pulled)).await;
        let layers = layers.map_err(|_| self.late())??;
        if self.plan.depth == Depth::Full {
            // They keep the deadline themselves, so that each notes what it was busy with.
            pulled.layers = Some(self.layers(layers).await?);
        }
        pulled.reached = Some(self.plan.depth);
        Ok(())
    }

    fn late(&self) -> Stop {
        Stop::Deadline(self.plan.timeout.as_secs())
    }

    /// All but streaming the layers, which it names.
    async fn without_layers(&self, pulled: &mut Pulled) -> Result<Vec<Descriptor>, Stop> {
        let image = &self.plan.image;
        let mut fetch = self.client.fetch(&image.host, self.credential, Arc::clone(self.record));
        let found = self.image(&mut fetch).await?;
        let single = found.single;
        let config = self.blob(&mut fetch, Step::Config, &found.image.config).await?;
        if found.image.is_image() {
            self.consistent(&found.image, &ImageConfig::parse(&config)?, single)?;
        }
        pulled.reached = Some(Depth::Manifest);
        pulled.found = Some(Wanted::of(found.digest, found.manifest, &found.image));
        let layers = distinct(&found.image.layers);
        let bytes = total(&layers);
        let deep = self.plan.depth == Depth::Full;
        let too_much = deep && !self.plan.allowance.allows(bytes);
        if (self.plan.depth == Depth::FirstByte || too_much)
            && let Some(largest) = layers.iter().max_by_key(|layer| layer.size)
        {
            self.first_byte(&mut fetch, largest).await?;
            pulled.reached = Some(Depth::FirstByte);
        }
        if too_much {
            return Err(Stop::Allowance { bytes });
        }
        Ok(layers)
    }

    /// The manifest of this platform's image, through the index if there is one.
    async fn image(&self, fetch: &mut Fetch<'_>) -> Result<Found, Stop> {
        let reference = self.plan.image.reference();
        let digest = self.plan.image.digest.as_deref();
        let (manifest, own) = self.manifest(fetch, Step::Manifest, reference, digest).await?;
        let children = match manifest {
            Manifest::Image(image) => {
                return Ok(Found { image, single: true, manifest: own.clone(), digest: own });
            }
            Manifest::Index(children) => children,
        };
        let Some(child) = manifest::choose(&children, &self.plan.platform) else {
            return Err(Stop::Platform { offered: manifest::offered(&children), single: false });
        };
        let digest = child.digest.as_str();
        match self.manifest(fetch, Step::PlatformManifest, digest, Some(digest)).await? {
            (Manifest::Image(image), manifest) => {
                Ok(Found { image, single: false, manifest, digest: own })
            }
            (Manifest::Index(_), _) => {
                Err(Stop::Unsupported("an index within an index".to_owned()))
            }
        }
    }

    async fn manifest(
        &self,
        fetch: &mut Fetch<'_>,
        step: Step,
        reference: &str,
        digest: Option<&str>,
    ) -> Result<(Manifest, String), Stop> {
        let path = format!("/v2/{}/manifests/{reference}", self.plan.image.repository);
        let ask = Ask { accept: Some(manifest::ACCEPT), ..Ask::get(step, path) };
        let head = fetch.open(&ask).await?;
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let body = fetch.whole(LONGEST_MANIFEST).await?;
        let kind = header("content-type").unwrap_or_default();
        let manifest = Manifest::parse(&body, kind)?;
        let stated = header("docker-content-digest").filter(|found| found.starts_with("sha256:"));
        let own = sha256(&body);
        if let Some(expected) = digest.or(stated) {
            verify(&format!("the manifest {reference}"), expected, &own)?;
        }
        Ok((manifest, own))
    }

    async fn blob(
        &self,
        fetch: &mut Fetch<'_>,
        step: Step,
        wanted: &Descriptor,
    ) -> Result<Vec<u8>, Stop> {
        fetch.open(&self.blob_ask(step, wanted)).await?;
        let body = fetch.whole(LONGEST_CONFIG).await?;
        length(wanted, body.len() as u64)?;
        verify(&format!("the blob {}", wanted.digest), &wanted.digest, &sha256(&body))?;
        Ok(body)
    }

    fn blob_ask(&self, step: Step, wanted: &Descriptor) -> Ask<'static> {
        Ask::get(step, format!("/v2/{}/blobs/{}", self.plan.image.repository, wanted.digest))
    }

    /// What an engine refuses after it has pulled everything.
    fn consistent(
        &self,
        image: &ImageManifest,
        config: &ImageConfig,
        single: bool,
    ) -> Result<(), Stop> {
        if let Some(platform) = config.platform()
            && !self.plan.platform.runs(&platform)
        {
            return Err(Stop::Platform { offered: vec![platform], single });
        }
        if let Some(layer) = image.layers.iter().find(|layer| !layer.is_layer()) {
            return Err(Stop::Unsupported(format!("a layer of the kind {:?}", layer.media_type)));
        }
        if config.layers() != image.layers.len() {
            let (layers, unpacked) = (image.layers.len(), config.layers());
            return Err(Stop::Unsupported(format!(
                "{layers} layers, and a configuration for {unpacked}"
            )));
        }
        Ok(())
    }

    /// One byte, from where the registry sends its client.
    async fn first_byte(&self, fetch: &mut Fetch<'_>, layer: &Descriptor) -> Result<(), Stop> {
        let ask = Ask { range: Some((0, 0)), ..self.blob_ask(Step::Layer, layer) };
        let head = fetch.open(&ask).await?;
        let number = |name: &str, after: Option<char>| {
            let value = head.headers.get(name)?.to_str().ok()?;
            after
                .map_or(Some(value), |mark| value.rsplit_once(mark).map(|(_, rest)| rest))?
                .parse()
                .ok()
        };
        let total: Option<u64> = if head.status == hyper::StatusCode::PARTIAL_CONTENT {
            number("content-range", Some('/'))
        } else {
            number("content-length", None)
        };
        let came = fetch.chunk().await?.is_some_and(|chunk| !chunk.is_empty());
        fetch.finish();
        length(layer, total.unwrap_or(layer.size))?;
        if came || layer.size == 0 { Ok(()) } else { Err(length_of(layer, 0)) }
    }

    /// Every layer, several at once, in as much memory as their sockets take.
    async fn layers(&self, mut layers: Vec<Descriptor>) -> Result<Layers, Stop> {
        let since = Instant::now();
        // The largest are taken from the end, first.
        layers.sort_by_key(|layer| layer.size);
        let (count, bytes) = (layers.len(), total(&layers));
        self.record.expect(bytes);
        let streams = STREAMS.min(count);
        let measured = layers.last().is_some_and(|largest| largest.size >= 2 * ALONE);
        let queue = Arc::new(Mutex::new(layers));
        let (alone, first_done) = oneshot::channel();
        let mut alone = Some(alone).filter(|_| measured);
        let mut first_done = Some(first_done).filter(|_| measured);
        let mut first_speed = None;
        let mut workers = JoinSet::new();
        for _ in 0..streams {
            let worker = Worker {
                client: Arc::clone(self.client),
                credential: self.credential.cloned(),
                image: self.plan.image.clone(),
                record: Arc::clone(self.record),
                queue: Arc::clone(&queue),
                alone: alone.take(),
            };
            let (deadline, late) = (self.deadline, self.late());
            workers.spawn(
                async move { timeout_at(deadline, worker.run()).await.unwrap_or(Err(late)) },
            );
            if let Some(first_done) = first_done.take() {
                // An end without a measure is a failure, which is seen below.
                first_speed = first_done.await.ok();
            }
        }
        while let Some(ended) = workers.join_next().await {
            // One that was aborted or that panicked has streamed nothing that counts.
            if let Err(stop) =
                ended.unwrap_or_else(|error| Err(Stop::Unreadable(error.to_string())))
            {
                workers.shutdown().await;
                return Err(stop);
            }
        }
        let seconds = since.elapsed().as_secs_f64();
        Ok(Layers { count, bytes, seconds, streams, alone: first_speed })
    }
}

struct Found {
    image: ImageManifest,
    single: bool,
    /// Its digest.
    manifest: String,
    /// The digest of what the reference names.
    digest: String,
}

/// One of the streams: takes layers until there are none left.
struct Worker {
    client: Arc<Client>,
    credential: Option<AuthorizationToken>,
    image: ImageRef,
    record: Arc<Record>,
    queue: Arc<Mutex<Vec<Descriptor>>>,
    /// Told the speed of the first stretch, bytes a second; the others wait for it.
    alone: Option<oneshot::Sender<f64>>,
}

impl Worker {
    async fn run(self) -> Result<(), Stop> {
        let mut alone = self.alone;
        let mut fetch =
            self.client.fetch(&self.image.host, self.credential.as_ref(), Arc::clone(&self.record));
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(layer) = next else {
                return Ok(());
            };
            let path = format!("/v2/{}/blobs/{}", self.image.repository, layer.digest);
            fetch.open(&Ask::get(Step::Layer, path)).await?;
            let (mut digest, mut received) = (Context::new(&SHA256), 0_u64);
            let opened = Instant::now();
            while let Some(chunk) = fetch.chunk().await? {
                let since = Instant::now();
                digest.update(&chunk);
                fetch.verified(since.elapsed());
                received += chunk.len() as u64;
                let took = since - opened;
                if (received >= ALONE || took >= ALONE_AT_MOST)
                    && let Some(alone) = alone.take()
                {
                    let _ = alone.send(speed(received, took));
                }
                if received > layer.size {
                    break;
                }
            }
            fetch.finish();
            length(&layer, received)?;
            verify(&format!("the layer {}", layer.digest), &layer.digest, &hex(digest))?;
        }
    }
}

fn speed(bytes: u64, took: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / took.as_secs_f64().max(1e-6)
}

/// Their bytes together; a manifest may state any size.
pub(in crate::probe) fn total(layers: &[Descriptor]) -> u64 {
    layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size))
}

/// The layers that the registry keeps, each once: an image may name a layer twice.
fn distinct(layers: &[Descriptor]) -> Vec<Descriptor> {
    let mut kept: Vec<Descriptor> = Vec::new();
    for layer in layers.iter().filter(|layer| layer.is_kept()) {
        if !kept.iter().any(|other| other.digest == layer.digest) {
            kept.push(layer.clone());
        }
    }
    kept
}

fn length(wanted: &Descriptor, got: u64) -> Result<(), Stop> {
    if got == wanted.size { Ok(()) } else { Err(length_of(wanted, got)) }
}

fn length_of(wanted: &Descriptor, got: u64) -> Stop {
    Stop::Length { what: format!("the blob {}", wanted.digest), expected: wanted.size, got }
}

fn verify(what: &str, expected: &str, got: &str) -> Result<(), Stop> {
    if expected == got {
        return Ok(());
    }
    Err(Stop::Digest { what: what.to_owned(), expected: expected.to_owned(), got: got.to_owned() })
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut digest = Context::new(&SHA256);
    digest.update(bytes);
    hex(digest)
}

fn hex(digest: Context) -> String {
    use std::fmt::Write as _;
    digest.finish().as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
