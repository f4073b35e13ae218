//! A rehearsal of a push: each step that a push takes, as far as asked, and none that leaves an
//! image behind, unless that is asked for by name (`image`), which then deletes it again.
//!
//! What the answers mean is `verdict.rs`'s business, which is pure. A refusal of one step does not
//! end the rehearsal where a later step asks for something else; silence does.

mod image;
pub mod report;
pub mod verdict;

use std::{sync::Arc, time::Duration};

use hyper::{Method, body::Bytes};
use jiff::Timestamp;

use self::verdict::Rehearsal;
use super::{
    Depth,
    attempt::Caller,
    capsule::{self, Capsule, Stop},
};
pub use crate::model::probe::Rung;
use crate::{
    model::{
        image::{ImageRef, Platform},
        token::AuthorizationToken,
    },
    oci::{
        client::Client,
        fetch::{Ask, Fetch, Told},
        manifest::{self, Descriptor, LONGEST_CONFIG, LONGEST_MANIFEST, Manifest},
        origin::Url,
        trace::{Record, Step},
    },
};

/// A longer configuration is not sent back to prove an upload; ECR's smallest part is 5 MiB, and
/// this is one part.
const LONGEST_SENT: u64 = 1024 * 1024;

const BYTES: &str = "application/octet-stream";

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct PushPlan {
    /// The repository, and an image that is in it: its configuration is what is sent again.
    pub image: ImageRef,
    /// How far.
    pub rung: Rung,
    /// Which image of an index.
    pub platform: Platform,
    /// How long the whole may take.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Where it first went wrong: [`Stop::Complete`] if nowhere.
    pub stop: Stop,
    /// The image of `image` that could not be deleted again, by its digest.
    pub left: Option<String>,
}

/// Rehearses. The requests are in `record`, also those that were under way when time was up.
pub async fn push(
    client: &Arc<Client>,
    credential: Option<&AuthorizationToken>,
    plan: &PushPlan,
    record: &Arc<Record>,
) -> Pushed {
    let mut left = None;
    let attempt = Attempt { client, credential, plan, record };
    let stop = match tokio::time::timeout(plan.timeout, attempt.run(&mut left)).await {
        Err(_) => Stop::Deadline(plan.timeout.as_secs()),
        Ok(Err(stop)) => stop,
        Ok(Ok(())) => {
            let trouble = verdict::first_trouble(&record.exchanges(), plan.rung);
            trouble.map_or(Stop::Complete, Stop::Exchange)
        }
    };
    // Whatever became of the rest, also when its time was up.
    if let Some(digest) = &left {
        let gone = tokio::time::timeout(image::PATIENCE, image::delete(&attempt, digest)).await;
        if gone == Ok(true) {
            left = None;
        }
    }
    Pushed { stop, left }
}

/// One rehearsal with all that is known around it. `started` is the wall clock's now.
pub async fn rehearse(
    client: &Arc<Client>,
    caller: &Caller,
    plan: &PushPlan,
    record: &Arc<Record>,
    started: Timestamp,
) -> Rehearsal {
    let (secret, token, no_token) = caller.shown();
    let pushed = push(client, secret, plan, record).await;
    let seen = Capsule {
        version: capsule::VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        image: plan.image.to_string(),
        depth: Depth::Manifest,
        reached: None,
        platform: plan.platform.clone(),
        started,
        took: record.elapsed(),
        registry: caller.registry.clone(),
        principal: caller.principal.clone(),
        token,
        no_token,
        stop: pushed.stop,
        bytes: record.received(),
        layers: None,
        exchanges: record.exchanges(),
    };
    Rehearsal { push: plan.rung, left: pushed.left, seen }
}

struct Attempt<'a> {
    client: &'a Arc<Client>,
    credential: Option<&'a AuthorizationToken>,
    plan: &'a PushPlan,
    record: &'a Arc<Record>,
}

/// A blob that is in the repository already.
struct Known {
    digest: String,
    bytes: Option<Vec<u8>>,
}

impl Attempt<'_> {
    async fn run(&self, left: &mut Option<String>) -> Result<(), Stop> {
        let image = &self.plan.image;
        let mut fetch = self.client.fetch(&image.host, self.credential, Arc::clone(self.record));
        let known = self.known(&mut fetch).await?;
        if self.hopeless() {
            return Ok(());
        }
        self.check(&mut fetch, known.as_ref()).await?;
        if self.hopeless() {
            return Ok(());
        }
        let rung = self.plan.rung;
        let blob = known.and_then(|known| Some((known.digest, known.bytes?)));
        let well = self.upload(&mut fetch, rung, blob).await?;
        match rung {
            Rung::Manifest => self.manifest_that_fails(&mut fetch, left).await,
            Rung::Image if well => image::push(self, &mut fetch, left).await,
            _ => Ok(()),
        }
    }

    /// Whether what was answered so far would be the answer to everything: the credential is not
    /// taken, or there is no such repository.
    fn hopeless(&self) -> bool {
        self.record.exchanges().iter().any(verdict::ends_all)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.plan.image.repository)
    }

    /// The configuration of the image that is there: ecr:BatchGetImage and
    /// ecr:GetDownloadUrlForLayer are asked for on the way.
    async fn known(&self, fetch: &mut Fetch<'_>) -> Result<Option<Known>, Stop> {
        let reference = self.plan.image.reference().to_owned();
        let Some(manifest) = self.manifest(fetch, Step::Manifest, &reference).await? else {
            return Ok(None);
        };
        let config = match manifest {
            Manifest::Image(image) => Some(image.config),
            Manifest::Index(children) => {
                let child = manifest::choose(&children, &self.plan.platform).or(children.first());
                let Some(child) = child.cloned() else {
                    return Ok(None);
                };
                match self.manifest(fetch, Step::PlatformManifest, &child.digest).await? {
                    Some(Manifest::Image(image)) => Some(image.config),
                    _ => None,
                }
            }
        };
        let Some(config) = config else {
            return Ok(None);
        };
        let bytes = self.bytes(fetch, &config).await?;
        Ok(Some(Known { digest: config.digest, bytes }))
    }

    /// A manifest; `None` if the registry answered with a refusal, which is noted.
    async fn manifest(
        &self,
        fetch: &mut Fetch<'_>,
        step: Step,
        reference: &str,
    ) -> Result<Option<Manifest>, Stop> {
        let path = self.path(&format!("manifests/{reference}"));
        let ask = Ask { accept: Some(manifest::ACCEPT), ..Ask::get(step, path) };
        let head = match fetch.open(&ask).await {
            Ok(head) => head,
            Err(ended) => return self.answered(ended.0).map(|()| None),
        };
        let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let body = fetch.whole(LONGEST_MANIFEST).await?;
        Ok(Some(Manifest::parse(&body, &kind)?))
    }

    async fn bytes(
        &self,
        fetch: &mut Fetch<'_>,
        config: &Descriptor,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let path = self.path(&format!("blobs/{}", config.digest));
        if let Err(ended) = fetch.open(&Ask::get(Step::Config, path)).await {
            return self.answered(ended.0).map(|()| None);
        }
        let body = fetch.whole(LONGEST_CONFIG).await?;
        let same = super::pull::sha256(&body) == config.digest;
        Ok(Some(body).filter(|body| same && body.len() as u64 <= LONGEST_SENT))
    }

    /// Goes on after a refusal; not after silence.
    fn answered(&self, at: usize) -> Result<(), Stop> {
        let exchanges = self.record.exchanges();
        let heard = exchanges.get(at).is_some_and(|one| one.failure.is_none());
        if heard { Ok(()) } else { Err(Stop::Exchange(at)) }
    }

    async fn tell(
        &self,
        fetch: &mut Fetch<'_>,
        step: Step,
        method: Method,
        url: &Url,
        body: Option<(&str, Bytes)>,
    ) -> Result<Told, Stop> {
        let ask = Ask { method, body, ..Ask::get(step, String::new()) };
        Ok(fetch.tell(url, &ask).await?)
    }

    /// ecr:BatchCheckLayerAvailability. A HEAD can't say why it is refused; the same as a GET may.
    async fn check(&self, fetch: &mut Fetch<'_>, known: Option<&Known>) -> Result<(), Stop> {
        let digest = known.map_or_else(no_blob, |known| known.digest.clone());
        let url = fetch.at(self.path(&format!("blobs/{digest}")));
        let told = self.tell(fetch, Step::BlobCheck, Method::HEAD, &url, None).await?;
        if !told.status.is_success() {
            self.tell(fetch, Step::BlobCheck, Method::GET, &url, None).await?;
        }
        Ok(())
    }

    /// Uploads as far as a rung goes: a blob with its digest, or a few bytes that are never
    /// completed. Whether all went well.
    async fn upload(
        &self,
        fetch: &mut Fetch<'_>,
        rung: Rung,
        blob: Option<(String, Vec<u8>)>,
    ) -> Result<bool, Stop> {
        let url = fetch.at(self.path("blobs/uploads/"));
        let told = match self.tell(fetch, Step::UploadStart, Method::POST, &url, None).await {
            // ECR hangs up where the permission or the repository is missing. The manifest is
            // another question.
            Err(Stop::Exchange(at)) if self.hung_up(at) => return Ok(false),
            told => told?,
        };
        let Some(mut session) = told.location().filter(|_| told.status.is_success()) else {
            return Ok(false);
        };
        let blob = blob.filter(|_| rung >= Rung::Complete);
        let (digest, bytes) = match blob {
            Some((digest, bytes)) => (Some(digest), bytes),
            None => (None, b"rehearsal".to_vec()),
        };
        let mut well = true;
        if rung >= Rung::Part {
            // The whole in one part, as docker sends it: ECR counts further parts in its own way,
            // and answers 201 where the specification has 202.
            let body = Some((BYTES, Bytes::from(bytes)));
            let told = self.tell(fetch, Step::UploadPart, Method::PATCH, &session, body).await?;
            session = told.location().unwrap_or(session);
            well = told.status.is_success();
        }
        if let Some(digest) = digest.filter(|_| well) {
            let end = session.with("digest", &digest);
            let told = self.tell(fetch, Step::UploadComplete, Method::PUT, &end, None).await?;
            if told.status.is_success() {
                return Ok(true);
            }
            well = self.record.exchanges().get(told.at).is_some_and(verdict::is_there_already);
        }
        // Whether ECR knows how to give an upload up is not documented: either answer will do.
        let _ = self.tell(fetch, Step::UploadAbandon, Method::DELETE, &session, None).await;
        Ok(well)
    }

    fn hung_up(&self, at: usize) -> bool {
        self.record.exchanges().get(at).is_some_and(verdict::hung_up)
    }

    /// A manifest that names a blob which does not exist, under a tag of our own: it can't be kept.
    async fn manifest_that_fails(
        &self,
        fetch: &mut Fetch<'_>,
        left: &mut Option<String>,
    ) -> Result<(), Stop> {
        let blob =
            |kind: &str| serde_json::json!({ "mediaType": kind, "size": 2, "digest": no_blob() });
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": image::MANIFEST,
            "config": blob(image::CONFIG), "layers": [blob(image::LAYER)],
        });
        image::put(self, fetch, manifest.to_string(), left).await.map(|_| ())
    }
}

/// A digest that no blob has.
fn no_blob() -> String {
    super::pull::sha256(&fastrand::u128(..).to_le_bytes())
}
