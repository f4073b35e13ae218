//! What was seen of each request: enough to say what broke, and nothing that is secret. It is kept
//! with a probe's result, and is what a capsule carries to whoever diagnoses it elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, LOCATION, SERVER, WWW_AUTHENTICATE},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use serde::{Deserialize, Serialize};

use super::{
    error::Failure,
    phases::{Hop, Timings},
};

/// The longest excerpt of a refusal that is kept, in characters.
const EXCERPT: usize = 2000;

/// What a request was for. ECR asks for one permission for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Whether anybody answers as a registry at all.
    Greeting,
    /// A password for a Bearer token.
    Exchange,
    /// The manifest or index that the reference names.
    Manifest,
    /// The manifest of one platform in an index.
    PlatformManifest,
    /// The image's configuration.
    Config,
    /// A layer, or a byte of it.
    Layer,
    /// Whether the registry has a blob, as whoever pushes asks first.
    BlobCheck,
    /// The start of an upload.
    UploadStart,
    /// A part of an upload.
    UploadPart,
    /// The end of an upload.
    UploadComplete,
    /// An upload given up.
    UploadAbandon,
    /// A manifest that is pushed.
    ManifestPut,
    /// A manifest of our own that is deleted again.
    ManifestDelete,
}

impl Step {
    /// What it is called in a timeline.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Exchange => "token exchange",
            Self::Manifest => "manifest",
            Self::PlatformManifest => "platform manifest",
            Self::Config => "configuration",
            Self::Layer => "layer",
            Self::BlobCheck => "blob check",
            Self::UploadStart => "upload start",
            Self::UploadPart => "upload part",
            Self::UploadComplete => "upload completion",
            Self::UploadAbandon => "upload given up",
            Self::ManifestPut => "manifest push",
            Self::ManifestDelete => "manifest deletion",
        }
    }
}

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// What it was for.
    pub step: Step,
    /// Which of a pull's two hosts.
    pub hop: Hop,
    /// `GET`, `HEAD`.
    pub method: String,
    /// The URL without its query.
    pub url: String,
    /// Whether a credential went with it.
    pub credential: bool,
    /// Seconds from the probe's start.
    pub after: f64,
    /// The address that was connected to, or tried last; absent on a connection used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// The proxy on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// When the first certificate of the chain expires that was shown; absent on a connection used
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Timestamp>,
    /// Seconds in each phase.
    pub timings: Timings,
    /// The head of the answer, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Bytes of the body that came.
    pub received: u64,
    /// How it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The head of an answer, as far as it is evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How far this host's clock is ahead of the Date header, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
    /// WWW-Authenticate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// Content-Type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Content-Length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Docker-Content-Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Location, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The request id of AWS or of S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Server: S3 calls itself AmazonS3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The body of a refusal, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Answer {
    /// The evidence in a head, which came at `now` by this host's clock.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let text = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.chars().take(300).collect::<String>())
        };
        let named = |name: &'static str| text(&HeaderName::from_static(name));
        let date = text(&DATE).and_then(|date| DateTimeParser::new().parse_timestamp(&date).ok());
        Self {
            status: status.as_u16(),
            clock_ahead: date.map(|date| now.as_second() - date.as_second()),
            challenge: text(&WWW_AUTHENTICATE),
            content_type: text(&CONTENT_TYPE),
            length: text(&CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            digest: named("docker-content-digest"),
            location: text(&LOCATION).map(|to| match to.split_once('?') {
                Some((path, _)) => format!("{path}?..."),
                None => to,
            }),
            request_id: named("x-amz-request-id").or_else(|| named("x-amzn-requestid")),
            server: text(&SERVER),
            said: None,
        }
    }

    /// Keeps what the body of a refusal says, as far as it is of interest.
    pub(super) fn said(&mut self, text: &str) {
        if !text.is_empty() {
            self.said = Some(text.chars().take(EXCERPT).collect());
        }
    }
}

/// Where the requests of one probe are noted, also while they run.
#[derive(Debug)]
pub struct Record {
    began: Instant,
    exchanges: Mutex<Vec<Exchange>>,
    received: AtomicU64,
    expected: AtomicU64,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            exchanges: Mutex::default(),
            received: AtomicU64::new(0),
            expected: AtomicU64::new(0),
        }
    }
}

impl Record {
    /// Seconds since the start.
    pub fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Adds an exchange that has ended; its place.
    pub(super) fn push(&self, exchange: Exchange) -> usize {
        let mut all = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(exchange);
        all.len() - 1
    }

    pub(super) fn came(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of bodies so far, for progress.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The bytes of layers that are still to come, once that is known.
    pub fn expect(&self, bytes: u64) {
        self.expected.store(self.received().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Bytes of bodies in all, for progress; 0 until that is known.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// The exchanges that have ended.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
