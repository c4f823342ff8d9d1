//! hyper behind a guard, on a loopback socket, with a service that keeps a record.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::{ConnState, Guard, InFlight, Limits};

/// Longer than anything a test waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, seen from both ends.
pub(super) struct Connection {
    pub(super) client: TcpStream,
    pub(super) state: Arc<ConnState>,
    /// Paths that were served, and what befell them.
    pub(super) log: Arc<Mutex<Vec<String>>>,
    pub(super) server: JoinHandle<hyper::Result<()>>,
}

/// Serves one connection.
pub(super) async fn connect(limits: Limits) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (socket, _) = accepted.expect("accept");
    let state = ConnState::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let guard = Guard::new(socket, limits, state.clone(), |_| ());
    let service = {
        let (state, log) = (state.clone(), log.clone());
        service_fn(move |request| {
            let in_flight = state.begin_request();
            let log = log.clone();
            async move { Ok::<_, Infallible>(answer(request, in_flight, log).await) }
        })
    };
    let server = tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(guard), service));
    Connection { client: client.expect("connect"), state, log, server }
}

impl Connection {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write_all(bytes.as_ref()).await.expect("send");
    }

    /// Sends so many bytes of nothing, in pieces that arrive after the answer was written.
    pub(super) async fn send_slowly(&mut self, bytes: usize) {
        for _ in 0..16 {
            self.send(vec![b'y'; bytes / 16]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All that comes until the server closes.
    pub(super) async fn read_to_end(&mut self) -> String {
        let mut all = Vec::new();
        let read = self.client.read_to_end(&mut all);
        tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("no reset");
        String::from_utf8(all).expect("text")
    }

    /// What comes until `end` has come.
    pub(super) async fn read_until(&mut self, end: &str) -> String {
        let mut all = String::new();
        while !all.contains(end) {
            let mut some = [0; 4096];
            let read = self.client.read(&mut some);
            let n = tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("read");
            assert!(n > 0, "closed after {all:?}");
            all.push_str(str::from_utf8(&some[..n]).expect("text"));
        }
        all
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().expect("log").clone()
    }

    /// Waits until `line` is in the log.
    pub(super) async fn logged(&self, line: &str) {
        let look = async {
            while !self.log().iter().any(|l| l == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{:?}", self.log()));
    }
}

/// The status codes of the responses in `text`.
pub(super) fn statuses(text: &str) -> Vec<u16> {
    let responses = text.split("HTTP/1.").skip(1);
    responses.filter_map(|response| response.get(2..5)?.parse().ok()).collect()
}

/// Writes `dropped` to the log if the service does not finish.
struct Dropped(Arc<Mutex<Vec<String>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.lock().expect("log").push("dropped".into());
    }
}

async fn answer(
    request: Request<Incoming>,
    in_flight: InFlight,
    log: Arc<Mutex<Vec<String>>>,
) -> Response<Tracked> {
    let respond = |status: u16, body: String, in_flight| {
        let body = Tracked { body: Full::from(body), _in_flight: in_flight };
        let mut response = Response::new(body);
        *response.status_mut() = status.try_into().expect("a status");
        if status != 200 {
            response.headers_mut().insert("connection", "close".parse().expect("a value"));
        }
        response
    };
    if let Some(violation) = in_flight.violation() {
        log.lock().expect("log").push(format!("refused {}", violation.status));
        return respond(violation.status, violation.reason.into(), in_flight);
    }
    let path = request.uri().path().to_owned();
    log.lock().expect("log").push(path.clone());
    match path.as_str() {
        "/slow" => {
            let dropped = Dropped(log.clone());
            tokio::time::sleep(Duration::from_millis(400)).await;
            std::mem::forget(dropped);
            respond(200, "slow".into(), in_flight)
        }
        "/never" => {
            let _dropped = Dropped(log.clone());
            std::future::pending().await
        }
        "/unread" => respond(413, "too much".into(), in_flight),
        "/echo" => match request.into_body().collect().await {
            Ok(all) => {
                let trailer = all.trailers().and_then(|t| t.get("digest")).cloned();
                let mut text = String::from_utf8_lossy(&all.to_bytes()).into_owned();
                if let Some(trailer) = trailer {
                    text += &format!(" digest={}", trailer.to_str().expect("text"));
                }
                respond(200, text, in_flight)
            }
            Err(error) => {
                log.lock().expect("log").push(format!("error {error}"));
                let status = in_flight.body_violation().map_or(500, |violation| violation.status);
                respond(status, "bad body".into(), in_flight)
            }
        },
        _ => {
            // hyper closes after a body that nobody read.
            let _ = request.into_body().collect().await;
            respond(200, path, in_flight)
        }
    }
}

/// A response body that keeps its request in flight.
struct Tracked {
    body: Full<Bytes>,
    _in_flight: InFlight,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
