//! The HTTP listener for metrics and health, and the control socket.
//!
//! | path | what | where |
//! | --- | --- | --- |
//! | `/` | a page that links the others | address and socket |
//! | `/metrics` | the text format | address and socket |
//! | `/healthz` | 200 if every loop answers, else 503 with the names of those that don't | address and socket |
//! | `/readyz` | 200 if every output holds a credential that has not expired, else 503 with why | address and socket |
//! | `/probes`, `/probes/NAME` | the last results of the test pulls; of one, with all that was seen | address and socket |
//! | `/status` | the status as JSON | socket |

use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{history::History, metrics::Metrics, pulse::Pulse, status, web_config::WebConfig};
use crate::model::{clock::Clock, outcome::Problem, reason::Reason};

/// Connections at the same time; a scraper needs one.
const CONNECTIONS: usize = 32;

/// A loop that has not answered by then is stuck.
const LIVELINESS: Duration = Duration::from_secs(3);

/// What is served.
pub struct Site {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The status.
    pub board: Arc<status::Board>,
    /// The test pulls' results.
    pub history: Arc<History>,
    /// The loops.
    pub pulse: Pulse,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Listens on an address; the listener is open when this returns.
pub async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Problem::new(Reason::ListenFailed, format!("{address}: {error}")))
}

/// Makes the control socket: 0660, in a folder that is made if it is missing. A socket that nobody
/// listens on any more is replaced.
pub fn bind_socket(path: &Path) -> Result<UnixListener, Problem> {
    let failed = |error: io::Error| {
        Problem::new(Reason::ListenFailed, format!("{}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(failed(io::Error::other("another daemon listens on it")));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Serves metrics and health on an address until `stop`.
pub async fn serve(
    listener: TcpListener,
    web: Option<Arc<WebConfig>>,
    site: Arc<Site>,
    stop: CancellationToken,
) {
    let mut beat = site.pulse.register("http");
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            () = beat.asked() => {
                beat.answer();
                continue;
            }
            accepted = listener.accept() => if let Ok((stream, _)) = accepted { stream } else {
                // Out of descriptors: not a hot loop.
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            },
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (web, site, stop) = (web.clone(), Arc::clone(&site), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            let work = async {
                match web.as_ref().and_then(|web| web.tls()) {
                    Some(tls) => {
                        let handshake = TlsAcceptor::from(tls).accept(stream);
                        if let Ok(Ok(stream)) =
                            tokio::time::timeout(Duration::from_secs(5), handshake).await
                        {
                            connection(stream, web, site, false).await;
                        }
                    }
                    None => connection(stream, web, site, false).await,
                }
            };
            tokio::select! { () = work => {}, () = stop.cancelled() => {} }
        });
    }
}

/// Serves everything on the control socket until `stop`.
pub async fn serve_socket(listener: UnixListener, site: Arc<Site>, stop: CancellationToken) {
    let mut beat = site.pulse.register("socket");
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            () = beat.asked() => {
                beat.answer();
                continue;
            }
            accepted = listener.accept() => if let Ok((stream, _)) = accepted { stream } else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            },
        };
        let (site, stop) = (Arc::clone(&site), stop.clone());
        tokio::spawn(async move {
            tokio::select! { () = connection(stream, None, site, true) => {}, () = stop.cancelled() => {} }
        });
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    web: Option<Arc<WebConfig>>,
    site: Arc<Site>,
    local: bool,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (web, site) = (web.clone(), Arc::clone(&site));
        async move {
            let admitted = match web {
                Some(web) => {
                    let header = request.headers().get(AUTHORIZATION);
                    let header = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
                    let asked = tokio::task::spawn_blocking(move || web.admits(header.as_deref()));
                    asked.await.unwrap_or(false)
                }
                None => true,
            };
            Ok::<_, Infallible>(if admitted {
                answer(&request, &site, local).await
            } else {
                challenge()
            })
        }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn challenge() -> Response<Full<Bytes>> {
    let mut response =
        reply(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", "Unauthorized\n".to_owned());
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"ecr-warden\""));
    response
}

async fn answer(request: &Request<Incoming>, site: &Site, local: bool) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = reply(
            StatusCode::METHOD_NOT_ALLOWED,
            JSON,
            "{\"error\":\"only GET and HEAD\"}\n".to_owned(),
        );
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/" => reply(StatusCode::OK, "text/html; charset=utf-8", LANDING.to_owned()),
        "/metrics" => {
            let now = site.clock.now();
            let soon = site.board.snapshot(now).predicted;
            let soon = soon.as_ref().map(|soon| {
                let left = soon.at.duration_since(now).as_secs_f64();
                (soon.cause.as_str(), soon.subject.as_str(), left)
            });
            site.metrics.predicted(soon);
            reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", site.metrics.render())
        }
        "/healthz" => {
            let silent = site.pulse.ping(LIVELINESS).await;
            let body = json!({ "healthy": silent.is_empty(), "silent_loops": silent });
            reply(status_of(silent.is_empty()), JSON, format!("{body:#}\n"))
        }
        "/readyz" => {
            let now = site.clock.now();
            let lacking = status::unready(&site.board.snapshot(now), now);
            let list: Vec<_> = lacking
                .iter()
                .map(|(output, reason)| json!({ "output": output, "reason": reason }))
                .collect();
            let body = json!({ "ready": list.is_empty(), "lacking": list });
            reply(status_of(lacking.is_empty()), JSON, format!("{body:#}\n"))
        }
        "/probes" => reply(StatusCode::OK, JSON, format!("{:#}\n", site.history.all())),
        path if path.starts_with("/probes/") => {
            let name = path.strip_prefix("/probes/").unwrap_or_default();
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            match site.history.one(&name) {
                Some(results) => reply(StatusCode::OK, JSON, format!("{results:#}\n")),
                None => reply(
                    StatusCode::NOT_FOUND,
                    JSON,
                    "{\"error\":\"no test pull of that name has run; see /probes\"}\n".to_owned(),
                ),
            }
        }
        "/status" if local => {
            let status = site.board.snapshot(site.clock.now());
            let text = serde_json::to_string_pretty(&status).unwrap_or_default();
            reply(StatusCode::OK, JSON, text + "\n")
        }
        _ => reply(
            StatusCode::NOT_FOUND,
            JSON,
            "{\"error\":\"there is no such page; see /\"}\n".to_owned(),
        ),
    }
}

fn status_of(fine: bool) -> StatusCode {
    if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

const LANDING: &str = concat!(
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>ecr-warden</title><style>",
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#222}",
    "h1{font-size:1.4rem}dt{font-weight:600;margin-top:.8rem}dd{margin:0}a{color:#0b57a4}",
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}a{color:#8ab8f0}}",
    "</style></head><body><h1>ecr-warden ",
    env!("CARGO_PKG_VERSION"),
    "</h1>",
    "<p>Keeps Amazon ECR credentials fresh on this host.</p><dl>",
    "<dt><a href=\"/metrics\">/metrics</a></dt><dd>for Prometheus</dd>",
    "<dt><a href=\"/healthz\">/healthz</a></dt><dd>every loop is alive</dd>",
    "<dt><a href=\"/probes\">/probes</a></dt><dd>the last results of the test pulls; /probes/NAME with every request</dd>",
    "<dt><a href=\"/readyz\">/readyz</a></dt><dd>every configured output holds a credential that has not expired</dd>",
    "</dl><p>On the host, <code>ecr-warden status</code> says more.</p></body></html>\n"
);
