//! Requests to one registry and to where it sends its client for bytes. Redirects are followed by
//! hand; the credential goes to the registry's own origin and nowhere else; every request is noted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, RANGE, USER_AGENT},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    challenge::Bearer,
    connect::{Connector, Way},
    error::{Broken, Failure},
    origin::{Origin, Url},
    phases::{Hop, Phase},
    redaction::Redaction,
    session::Session,
    trace::{Answer, Exchange, Record, Step},
};
use crate::model::token::AuthorizationToken;

/// How the program calls itself, so that it can be told from workloads in the registry's logs.
pub(super) const AGENT: &str = concat!("ecr-warden/", env!("CARGO_PKG_VERSION"));

/// The longest refusal that is read.
pub(super) const LONGEST_REFUSAL: usize = 64 * 1024;

/// ECR redirects once.
const MOST_REDIRECTS: usize = 4;

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// What for.
    pub step: Step,
    /// GET or HEAD.
    pub method: Method,
    /// The path at the registry.
    pub path: String,
    /// Accept.
    pub accept: Option<&'a str>,
    /// First and last byte.
    pub range: Option<(u64, u64)>,
    /// What is sent: its media type and its bytes.
    pub body: Option<(&'a str, Bytes)>,
}

impl Ask<'_> {
    /// A GET.
    pub fn get(step: Step, path: String) -> Self {
        Self { step, method: Method::GET, path, accept: None, range: None, body: None }
    }
}

/// The head of an answer that is good; its body is to be read next.
#[derive(Debug)]
pub struct Head {
    /// 200 or 206.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

/// An answer of any kind, whose body was read and noted if it is a refusal.
#[derive(Debug)]
pub struct Told {
    /// The status.
    pub status: StatusCode,
    /// The exchange's place in the record.
    pub at: usize,
    url: Url,
    location: Option<String>,
}

impl Told {
    /// Where the answer leads, such as to an upload that was started; `None` if it does not say so
    /// or in a way that is not followed.
    pub fn location(&self) -> Option<Url> {
        self.url.follow(self.location.as_deref()?).ok()
    }
}

/// The exchange at this place of the record ended it: it says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub usize);

/// One conversation with a registry and its storage.
pub struct Fetch<'a> {
    registry: Origin,
    basic: Option<&'a AuthorizationToken>,
    bearer: Option<SecretString>,
    at_registry: Session<'a>,
    at_storage: Session<'a>,
    record: Arc<Record>,
    redaction: Redaction,
    open: Option<Open>,
}

/// An exchange in progress.
struct Open {
    exchange: Exchange,
    phase: Phase,
    since: Instant,
    verify: Duration,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(
        connector: &'a Connector,
        registry: &str,
        basic: Option<&'a AuthorizationToken>,
        record: Arc<Record>,
    ) -> Self {
        Self {
            registry: Origin::of(registry),
            basic,
            bearer: None,
            at_registry: Session::new(connector),
            at_storage: Session::new(connector),
            record,
            redaction: Redaction::of(basic),
            open: None,
        }
    }

    /// Asks and follows redirects until there is a good answer, whose body is read with
    /// [`Self::chunk`] or [`Self::whole`]. A HEAD that fails is asked again as a GET: an answer to
    /// HEAD has no body, so it can't say why.
    pub async fn open(&mut self, ask: &Ask<'_>) -> Result<Head, Ended> {
        let mut url = Url::at(&self.registry, &ask.path);
        let mut method = ask.method.clone();
        let mut redirects = 0;
        loop {
            let head = self.once(ask, &method, &url).await?;
            if head.status.is_success() {
                return Ok(head);
            }
            if let (true, Some(to)) = (is_redirect(head.status), head.headers.get(LOCATION)) {
                let to = to.to_str().map_err(|error| error.to_string());
                let next = to.and_then(|to| url.follow(to)).and_then(|next| {
                    redirects += 1;
                    if redirects > MOST_REDIRECTS {
                        Err("there is no end of them".to_owned())
                    } else {
                        Ok(next)
                    }
                });
                self.refusal(false).await?;
                match next {
                    Ok(next) => {
                        self.finish();
                        url = next;
                        continue;
                    }
                    Err(words) => return Err(self.fail(Failure::Redirect { words })),
                }
            }
            self.refusal(true).await?;
            let ended = self.finish();
            if method == Method::HEAD {
                method = Method::GET;
                url = Url::at(&self.registry, &ask.path);
            } else if head.status == StatusCode::UNAUTHORIZED && self.bearer.is_none() {
                // ECR Public exchanges the password for a Bearer token.
                match Bearer::of(&head.headers)
                    .and_then(|bearer| bearer.path_at(&ask_host(&self.registry)))
                {
                    Some(path) if url.origin == self.registry => self.exchange(path).await?,
                    _ => return Err(ended),
                }
            } else {
                return Err(ended);
            }
        }
    }

    /// The URL of a path at the registry.
    pub fn at(&self, path: impl Into<String>) -> Url {
        Url::at(&self.registry, path)
    }

    /// Asks once and takes whatever answer comes: no redirect is followed and no HEAD repeated. The
    /// path of `ask` does not count: that of `url` does.
    pub async fn tell(&mut self, url: &Url, ask: &Ask<'_>) -> Result<Told, Ended> {
        loop {
            let head = self.once(ask, &ask.method, url).await?;
            self.refusal(head.status.as_u16() >= 400).await?;
            let Ended(at) = self.finish();
            if head.status == StatusCode::UNAUTHORIZED
                && self.bearer.is_none()
                && url.origin == self.registry
                && let Some(path) = Bearer::of(&head.headers)
                    .and_then(|bearer| bearer.path_at(&ask_host(&self.registry)))
            {
                self.exchange(path).await?;
                continue;
            }
            let location = head.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let location = location.map(str::to_owned);
            return Ok(Told { status: head.status, at, url: url.clone(), location });
        }
    }

    /// One request; its exchange stays open.
    async fn once(&mut self, ask: &Ask<'_>, method: &Method, url: &Url) -> Result<Head, Ended> {
        let ours = url.origin == self.registry;
        let mut request = Request::builder()
            .method(method)
            .uri(&url.path)
            .header(HOST, url.origin.to_string())
            .header(USER_AGENT, AGENT);
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some((first, last)) = ask.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        self.redaction.query_of(url);
        if let Some((kind, _)) = &ask.body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let credential = self.authorization().filter(|_| ours);
        self.begin(Exchange {
            step: ask.step,
            hop: if ours { Hop::Registry } else { Hop::Storage },
            method: method.to_string(),
            url: url.to_string(),
            credential: credential.is_some(),
            after: self.record.elapsed(),
            address: None,
            proxy: None,
            certificate_until: None,
            timings: super::phases::Timings::default(),
            answer: None,
            received: 0,
            failure: None,
        });
        if let Some(credential) = credential {
            request = request.header(AUTHORIZATION, credential);
        }
        let sent = ask.body.as_ref().map(|(_, bytes)| bytes.clone()).unwrap_or_default();
        let request = request.body(Full::new(sent)).map_err(|error| {
            self.fail(Failure::Exchange { why: Broken::Other, words: error.to_string() })
        })?;
        let mut way = Way::default();
        let session = if ours { &mut self.at_registry } else { &mut self.at_storage };
        let answer = session.send(&url.origin, request, &mut way).await;
        if let Some(open) = &mut self.open {
            open.exchange.address = way.address;
            open.exchange.proxy = way.proxy;
            open.exchange.certificate_until = way.certificate_until;
            open.exchange.timings = way.timings;
            if answer.is_ok() {
                open.phase = Phase::Transfer;
            }
            open.since = Instant::now();
        }
        let answer = answer.map_err(|failure| self.fail(failure))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if let Some(open) = &mut self.open {
            let mut answer = Answer::of(status, &headers, Timestamp::now());
            self.redaction.clean_answer(&mut answer);
            open.exchange.answer = Some(answer);
        }
        Ok(Head { status, headers })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let text = match (&self.bearer, self.basic) {
            (Some(bearer), _) => format!("Bearer {}", bearer.expose_secret()),
            (None, Some(basic)) => format!("Basic {}", basic.base64().expose_secret()),
            (None, None) => return None,
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The password, or nothing, for a Bearer token, at the registry's own origin.
    async fn exchange(&mut self, path: String) -> Result<(), Ended> {
        let ask = Ask::get(Step::Exchange, path);
        let url = Url::at(&self.registry, &ask.path);
        let head = self.once(&ask, &Method::GET, &url).await?;
        if !head.status.is_success() {
            self.refusal(true).await?;
            return Err(self.finish());
        }
        let body = zeroize::Zeroizing::new(self.whole(LONGEST_REFUSAL).await?);
        let token = serde_json::from_slice::<Exchanged>(&body).ok();
        match token.and_then(|answer| answer.token.or(answer.access_token)) {
            Some(token) => {
                self.redaction.add_spelled(&token);
                self.bearer = Some(token);
                Ok(())
            }
            None => Err(Ended(self.record.exchanges().len().saturating_sub(1))),
        }
    }

    /// The next piece of the body; `None` at its end, which ends the exchange.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Ended> {
        let ours = self.open.as_ref().is_none_or(|open| open.exchange.hop == Hop::Registry);
        let session = if ours { &mut self.at_registry } else { &mut self.at_storage };
        match session.chunk().await {
            Ok(Some(chunk)) => {
                let bytes = chunk.len() as u64;
                self.record.came(bytes);
                if let Some(open) = &mut self.open {
                    open.exchange.received += bytes;
                }
                Ok(Some(chunk))
            }
            Ok(None) => Ok(None),
            Err(failure) => Err(self.fail(failure)),
        }
    }

    /// The whole body, if it is no longer than `limit`; ends the exchange.
    pub async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, Ended> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                let received = (body.len() + chunk.len()) as u64;
                let words = format!("it is longer than {limit} bytes");
                return Err(self.fail(Failure::Body { why: Broken::Other, received, words }));
            }
            body.extend_from_slice(&chunk);
        }
        self.finish();
        Ok(body)
    }

    /// Reads a refusal or the body beside a redirect, as far as it is of interest. A body that
    /// breaks off is one that ends there.
    async fn refusal(&mut self, keep: bool) -> Result<(), Ended> {
        let ours = self.open.as_ref().is_none_or(|open| open.exchange.hop == Hop::Registry);
        let session = if ours { &mut self.at_registry } else { &mut self.at_storage };
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = session.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_REFUSAL {
                break;
            }
        }
        session.leave();
        if let Some(open) = &mut self.open {
            open.exchange.received = body.len() as u64;
            if let Some(answer) = open.exchange.answer.as_mut().filter(|_| keep) {
                answer.said(&self.redaction.clean(&String::from_utf8_lossy(&body)));
            }
        }
        Ok(())
    }

    /// Time spent on digests, which is no transfer.
    pub fn verified(&mut self, took: Duration) {
        if let Some(open) = &mut self.open {
            open.verify += took;
        }
    }

    fn begin(&mut self, exchange: Exchange) {
        self.finish();
        let (phase, since) = (Phase::Processing, Instant::now());
        self.open = Some(Open { exchange, phase, since, verify: Duration::ZERO });
    }

    /// Ends the exchange in progress and notes it; what is left of its body is given up.
    pub fn finish(&mut self) -> Ended {
        self.at_registry.leave();
        self.at_storage.leave();
        match self.open.take() {
            Some(mut open) => {
                if open.phase == Phase::Transfer {
                    let wall = open.since.elapsed();
                    open.exchange.timings.add(Phase::Transfer, wall.saturating_sub(open.verify));
                }
                if !open.verify.is_zero() {
                    open.exchange.timings.add(Phase::Verify, open.verify);
                }
                Ended(self.record.push(open.exchange))
            }
            None => Ended(self.record.exchanges().len().saturating_sub(1)),
        }
    }

    fn fail(&mut self, failure: Failure) -> Ended {
        if let Some(open) = &mut self.open {
            open.exchange.failure = Some(failure);
        }
        self.finish()
    }
}

impl Drop for Fetch<'_> {
    /// A probe whose time is up is dropped in the middle of a request: that is noted, too.
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            open.exchange.failure = Some(Failure::Unfinished { phase: open.phase });
            self.finish();
        }
    }
}

#[derive(serde::Deserialize)]
struct Exchanged {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// As a realm names it.
fn ask_host(origin: &Origin) -> String {
    origin.to_string()
}
