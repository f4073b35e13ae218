//! The storage: an origin of its own, which refuses a credential as S3 does and knows ranges.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming},
    header::{
        AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, HeaderValue, RANGE,
    },
};

use super::{
    refusals::{self, At},
    world::{Fault, World},
};

const FUSE: Duration = Duration::from_millis(50);

/// A body that may end too early, or never.
pub(super) struct Blob {
    rest: Option<Bytes>,
    end: End,
    /// Until the cut: what was sent before is on its way by then.
    fuse: Option<Pin<Box<tokio::time::Sleep>>>,
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Cut,
    Stall,
}

impl Body for Blob {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.rest.take(), self.end) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, End::Well) => Poll::Ready(None),
            (None, End::Cut) => {
                let fuse = self.fuse.get_or_insert_with(|| Box::pin(tokio::time::sleep(FUSE)));
                fuse.as_mut().poll(context).map(|()| Some(Err(io::Error::other("cut"))))
            }
            (None, End::Stall) => Poll::Pending,
        }
    }
}

/// Answers one request.
#[allow(clippy::unused_async)] // hyper's services are futures
pub(super) async fn answer(
    request: Request<Incoming>,
    world: Arc<World>,
) -> Result<Response<Blob>, io::Error> {
    world.called("storage:get");
    let mut answer = route(&request, &world);
    if world.has(Fault::StorageSkew) {
        let ahead = HeaderValue::from_static("Fri, 01 Jan 2100 00:00:00 GMT");
        answer.headers_mut().insert(DATE, ahead);
    }
    Ok(answer)
}

fn route(request: &Request<Incoming>, world: &World) -> Response<Blob> {
    let refusal = world
        .refusals()
        .iter()
        .filter_map(|name| refusals::named(name, ""))
        .find(|refusal| refusal.at == At::Storage)
        .or_else(|| {
            let credential = request.headers().contains_key(AUTHORIZATION);
            credential.then(|| refusals::named("s3-auth", "")).flatten()
        });
    let bytes = world.blob(request.uri().path().trim_start_matches('/'));
    let (Some(bytes), None) = (bytes.or(Some(Vec::new()).filter(|_| refusal.is_some())), &refusal)
    else {
        let refusal = refusal.or_else(|| refusals::named("s3-gone", ""));
        let (status, kind, body) =
            refusal.map_or((StatusCode::NOT_FOUND, "text/plain", String::new()), |refusal| {
                let query = request.uri().query().unwrap_or_default();
                (refusal.status, refusal.kind, refusal.body.replace("QUERY", query))
            });
        return reply(status, kind, body.into_bytes(), End::Well);
    };
    let bytes = if world.has(Fault::Tampered) {
        bytes.iter().map(|byte| byte ^ 1).collect()
    } else {
        bytes
    };
    let total = bytes.len();
    let end = if world.has(Fault::Truncated) {
        End::Cut
    } else if world.has(Fault::Stall) {
        End::Stall
    } else {
        End::Well
    };
    match range(request, total) {
        Some((first, last)) => {
            let part = bytes.get(first..=last).unwrap_or_default().to_vec();
            let mut answer = reply(StatusCode::PARTIAL_CONTENT, "binary/octet-stream", part, end);
            if let Ok(range) = HeaderValue::from_str(&format!("bytes {first}-{last}/{total}")) {
                answer.headers_mut().insert(CONTENT_RANGE, range);
            }
            answer
        }
        None => reply(StatusCode::OK, "binary/octet-stream", bytes, end),
    }
}

fn range(request: &Request<Incoming>, total: usize) -> Option<(usize, usize)> {
    let text = request.headers().get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<usize>().ok()?);
    (first <= last && last < total).then_some((first, last))
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>, end: End) -> Response<Blob> {
    let length = body.len();
    let sent = match end {
        End::Well => body,
        End::Cut | End::Stall => body.get(..length / 2).unwrap_or_default().to_vec(),
    };
    let mut answer = Response::new(Blob { rest: Some(Bytes::from(sent)), end, fuse: None });
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer
}
