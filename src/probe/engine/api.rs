//! Docker's API over its unix socket, as podman has it, too: one connection a request.

use std::{path::Path, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::{HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use crate::model::{outcome::Problem, reason::Reason};

const AGENT: &str = concat!("ecr-warden/", env!("CARGO_PKG_VERSION"));

/// The longest answer that is kept, in bytes.
const LONGEST: usize = 16 << 20;

/// The engine at a socket.
pub(super) struct Api<'a> {
    socket: &'a Path,
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Incoming,
    /// Ends with the answer, and the request with it: the engine then gives up what it was doing.
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl<'a> Api<'a> {
    pub(super) const fn new(socket: &'a Path) -> Self {
        Self { socket }
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> Problem {
        Problem::new(Reason::EngineUnreachable, format!("{}: {why}", self.socket.display()))
    }

    /// Sends a request; `auth` is an X-Registry-Auth.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        auth: Option<&HeaderValue>,
    ) -> Result<Answer, Problem> {
        let stream = UnixStream::connect(self.socket).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "engine")
            .header(USER_AGENT, AGENT);
        if let Some(auth) = auth {
            request = request.header("x-registry-auth", auth);
        }
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|error| self.unreachable(&error))?;
        let answer = sender.send_request(request).await;
        match answer {
            Ok(answer) => {
                Ok(Answer { status: answer.status(), body: answer.into_body(), connection })
            }
            Err(error) => {
                connection.abort();
                Err(self.unreachable(&error))
            }
        }
    }

    /// The same within a time, with the whole answer: JSON, or a null.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        auth: Option<&HeaderValue>,
        patience: Duration,
    ) -> Result<(StatusCode, Value), Problem> {
        let whole = async {
            let mut answer = self.send(method, path, auth).await?;
            let mut text = Vec::new();
            while let Some(piece) =
                answer.chunk().await.map_err(|error| self.unreachable(&error))?
            {
                text.extend_from_slice(&piece);
                if text.len() > LONGEST {
                    return Err(self.unreachable(&format_args!("{path} has no end")));
                }
            }
            Ok((answer.status, serde_json::from_slice(&text).unwrap_or_default()))
        };
        let seconds = patience.as_secs();
        timeout(patience, whole).await.unwrap_or_else(|_| {
            Err(self.unreachable(&format_args!("{path}: no answer within {seconds} s")))
        })
    }
}

impl Answer {
    /// The next piece; `None` at the end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// What an engine says of a failure: its `message`, podman's `cause` included.
pub(super) fn message(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or_default();
    match (text("message"), text("cause")) {
        ("", cause) => cause.to_owned(),
        (message, cause) if cause.is_empty() || message.contains(cause) => message.to_owned(),
        (message, cause) => format!("{message}: {cause}"),
    }
}
