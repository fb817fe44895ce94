//! A server on loopback that answers what a test tells it to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// What a path answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status with this body.
    Body(StatusCode, Bytes),
    /// 302 to this address.
    Redirect(String),
    /// Nothing, ever; the connection stays open.
    Never,
    /// The other answer, once the semaphore gives a permit (which is used up).
    Gated(Arc<Semaphore>, Box<Answer>),
}

impl Answer {
    /// 200 with this JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::Body(StatusCode::OK, Bytes::from(value.to_string()))
    }

    /// This status and no body.
    pub(crate) fn status(code: u16) -> Self {
        Self::Body(StatusCode::from_u16(code).unwrap(), Bytes::new())
    }
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
struct Script {
    answers: HashMap<String, Answer>,
    seen: Vec<Seen>,
}

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct LocalServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    _accepting: AbortOnDropHandle<()>,
}

impl LocalServer {
    /// A server on a free port of 127.0.0.1; every path answers 404 until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&script)));
        Self {
            address,
            script,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// `http://127.0.0.1:PORT` followed by `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on `path` answers this.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        let mut script = self.script.lock().unwrap();
        script.answers.insert(path.to_owned(), answer);
    }

    /// How often `path` has been asked.
    pub(crate) fn hits(&self, path: &str) -> usize {
        let script = self.script.lock().unwrap();
        script.seen.iter().filter(|seen| seen.path == path).count()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Seen {
        self.script.lock().unwrap().seen.last().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, script: Arc<Mutex<Script>>) {
    // Connections live in the set, so that dropping the server cuts them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let script = Arc::clone(&script);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&script), request));
            // A client that hangs up early is what some tests are about.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = parts.uri.path().to_owned();
    let mut answer = {
        let mut script = script.lock().unwrap();
        script.seen.push(Seen {
            path: path.clone(),
            headers: parts.headers,
            body,
        });
        let told = script.answers.get(&path).cloned();
        told.unwrap_or_else(|| Answer::status(404))
    };
    loop {
        answer = match answer {
            Answer::Body(status, body) => {
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = status;
                return Ok(response);
            }
            Answer::Redirect(to) => {
                let response = Response::builder().status(302).header("location", to);
                return Ok(response.body(Full::default()).unwrap());
            }
            Answer::Never => std::future::pending().await,
            Answer::Gated(gate, then) => {
                gate.acquire().await.unwrap().forget();
                *then
            }
        };
    }
}
