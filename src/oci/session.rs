//! One client's conversation: a connection at a time, used again while its other end allows it. No
//! redirect is followed and no credential is added here.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body as _, Bytes, Incoming},
    client::conn::http1::{Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep, timeout};

use super::{
    connect::{Connector, Stream, Way},
    error::{Broken, Failure},
    origin::Origin,
    phases::Phase,
};

type Outgoing = Full<Bytes>;
type Driver = Pin<Box<Connection<TokioIo<Stream>, Outgoing>>>;

/// A connection, polled by whoever waits for what comes over it.
struct Link {
    origin: Origin,
    sender: SendRequest<Outgoing>,
    connection: Option<Driver>,
}

impl Link {
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
    }
}

/// The conversation.
pub(super) struct Session<'a> {
    connector: &'a Connector,
    link: Option<Link>,
    body: Option<Incoming>,
    received: u64,
    stall: Option<(Pin<Box<Sleep>>, u64)>,
}

impl<'a> Session<'a> {
    pub(super) fn new(connector: &'a Connector) -> Self {
        Self { connector, link: None, body: None, received: 0, stall: None }
    }

    /// Sends a request and waits for the head of its answer; the body is read by [`Self::chunk`].
    pub(super) async fn send(
        &mut self,
        origin: &Origin,
        request: Request<Outgoing>,
        way: &mut Way,
    ) -> Result<Response<()>, Failure> {
        // What is left of an earlier body would be read as this answer.
        let usable = self.body.take().is_none_or(|body| body.is_end_stream());
        let kept = self.link.take().filter(|link| {
            usable
                && link.origin == *origin
                && link.connection.is_some()
                && !link.sender.is_closed()
        });
        (self.received, self.stall) = (0, None);
        if let Some(link) = kept {
            let again = request.clone();
            match self.over(link, again, way).await {
                // The other end closed it before it saw the request, which is its right.
                Err(Failure::Exchange { why: Broken::HungUp | Broken::Reset, .. }) => {}
                other => return other,
            }
        }
        let stream = self.connector.connect(origin, way).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchange(&error))?;
        let link = Link { origin: origin.clone(), sender, connection: Some(Box::pin(connection)) };
        self.over(link, request, way).await
    }

    async fn over(
        &mut self,
        mut link: Link,
        request: Request<Outgoing>,
        way: &mut Way,
    ) -> Result<Response<()>, Failure> {
        let since = Instant::now();
        let patience = self.connector.patience.answer;
        let mut ready = Box::pin(link.sender.send_request(request));
        let waiting = std::future::poll_fn(|context| {
            link.drive(context);
            ready.as_mut().poll(context)
        });
        let answer = match timeout(patience, waiting).await {
            Ok(answer) => answer.map_err(|error| Failure::exchange(&error)),
            Err(_) => Err(Failure::Slow { phase: Phase::Processing, seconds: patience.as_secs() }),
        };
        drop(ready);
        way.timings.add(Phase::Processing, since.elapsed());
        let (head, body) = answer?.into_parts();
        (self.link, self.body) = (Some(link), Some(body));
        Ok(Response::from_parts(head, ()))
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            if let Some(link) = &mut self.link {
                link.drive(context);
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Ok(None));
            };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.received += data.len() as u64;
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Failure::body(&error, self.received)));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => return self.stalled(context),
            }
        }
    }

    /// The clock of a body that stands still: armed once and looked at when it rings, because
    /// setting it again for each piece would cost more than the piece.
    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        let patience = self.connector.patience.stall;
        let received = self.received;
        let (clock, seen) = self.stall.get_or_insert_with(|| (Box::pin(sleep(patience)), received));
        while clock.as_mut().poll(context).is_ready() {
            if *seen == received {
                let seconds = patience.as_secs();
                return Poll::Ready(Err(Failure::Slow { phase: Phase::Transfer, seconds }));
            }
            *seen = received;
            clock.as_mut().reset(tokio::time::Instant::now() + patience);
        }
        Poll::Pending
    }

    /// Gives up what is left of a body; the connection with it.
    pub(super) fn leave(&mut self) {
        if self.body.take().is_some_and(|body| !body.is_end_stream()) {
            self.link = None;
        }
    }
}
