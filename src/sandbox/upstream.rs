//! The images of a registry behind the sandbox's: ECR's manners in front of a real registry's
//! images. Layers come by a redirect to storage under another name, as they do from S3.

use std::{io, net::SocketAddr};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, LOCATION, TRANSFER_ENCODING},
    http::request::Parts,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Answer = Response<Full<Bytes>>;

/// A longer body is none of a test's.
const LONGEST: usize = 256 << 20;

/// Where the images are.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// A registry that asks for no credential; plain HTTP.
    pub address: SocketAddr,
    /// The host name of the storage that layers are redirected to; it must lead to the sandbox.
    pub storage: String,
}

impl Upstream {
    /// Answers a request whose credential was found good.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let layer =
            request.method() == Method::GET && request.uri().path().contains("/blobs/sha256:");
        let (parts, body) = request.into_parts();
        if layer {
            return Ok(self.redirect(&parts));
        }
        let body = Limited::new(body, LONGEST).collect().await.map_err(io::Error::other)?;
        self.forward(parts, body.to_bytes()).await
    }

    /// What storage gives for a path that it was asked for with a signature and no credential.
    pub(super) async fn stored(&self, path: &str) -> io::Result<Answer> {
        let request = Request::get(path).body(()).map_err(io::Error::other)?;
        self.forward(request.into_parts().0, Bytes::new()).await
    }

    fn redirect(&self, parts: &Parts) -> Answer {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = host.split_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
        let place = format!(
            "https://{}{port}/_storage{}?X-Amz-Algorithm=AWS4-HMAC-SHA256",
            self.storage,
            parts.uri.path()
        );
        if let Ok(place) = HeaderValue::from_str(&place) {
            answer.headers_mut().insert(LOCATION, place);
        }
        answer
    }

    async fn forward(&self, mut parts: Parts, body: Bytes) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        for header in [AUTHORIZATION, CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        if !parts.headers.contains_key(HOST) {
            parts.headers.insert(HOST, HeaderValue::from_static("storage"));
        }
        let request = Request::from_parts(parts, Full::new(body));
        let (mut parts, body) =
            sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(io::Error::other)?;
        for header in [CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
    }
}
