//! What the worker answers itself: whether it lives, and how the server is. It
//! takes no place and counts as no request, so that it is answered when nothing
//! else is, and the logs are spared.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::access::Outgoing;
use super::connection::{Client, Door};
use super::{Phase, Worker};
use crate::telemetry::ServerState;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether there is a worker that answers.
    Live,
    /// Whether clients should be sent here.
    Ready,
    /// Something that the health listener does not have.
    Nothing,
}

impl Probe {
    /// What a request asks for, if it is the worker's to answer.
    pub fn of(worker: &Worker, door: Door, request: &Parts) -> Option<Self> {
        let path = request.uri.path();
        match (door, &worker.inheritance.config.health.prefix) {
            (Door::Health, _) => Some(Self::at(path).unwrap_or(Self::Nothing)),
            (Door::Public, Some(prefix)) => Self::at(path.strip_prefix(&**prefix)?),
            (Door::Public, None) => None,
        }
    }

    fn at(path: &str) -> Option<Self> {
        match path {
            "/live" => Some(Self::Live),
            "/ready" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Answers.
    pub fn answer(self, worker: &Worker, client: &Client, request: &Parts) -> Response<Outgoing> {
        let framing = client.framing.begin_request();
        client.settle();
        let violation = framing.violation();
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        let (status, text) = match (violation, self) {
            (Some(violation), _) => {
                let status = StatusCode::from_u16(violation.status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, format!("{{\"error\":\"{}\"}}\n", violation.reason))
            }
            (None, Self::Nothing) => (StatusCode::NOT_FOUND, "{\"error\":\"not found\"}\n".to_owned()),
            (None, _) if !is_read => {
                (StatusCode::METHOD_NOT_ALLOWED, "{\"error\":\"method not allowed\"}\n".to_owned())
            }
            (None, Self::Live) => (StatusCode::OK, "{\"state\":\"live\"}\n".to_owned()),
            (None, Self::Ready) => standing(worker),
        };
        let mut response = Response::new(Outgoing::probe(Full::new(Bytes::from(text)), framing));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// How the server is. While it is only this worker that goes, others have its
/// place, and whoever balances must not take the server for gone.
fn standing(worker: &Worker) -> (StatusCode, String) {
    let standing = worker.inheritance.board.standing();
    let state = match *worker.phase.borrow() {
        // Told before the board is read by anybody: the last to know is the client.
        Phase::Stopping => ServerState::Stopping,
        Phase::Serving | Phase::Retiring => standing.state,
    };
    let (status, state) = match state {
        ServerState::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        ServerState::Ready => (StatusCode::OK, "ready"),
        ServerState::Degraded => (StatusCode::OK, "degraded"),
        ServerState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let (ready, wanted) = (standing.ready, standing.wanted);
    (status, format!("{{\"state\":\"{state}\",\"workers_ready\":{ready},\"workers_wanted\":{wanted}}}\n"))
}
