//! Which failure becomes which response: the only place that decides.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::body::BodyProblem;
use super::http1::Violation;
use super::places::NoPlace;
use crate::host::Failure;

/// Why a request gets no answer of the app.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request breaks HTTP, or a limit of its head.
    Violation(Violation),
    /// Its body cannot be had.
    Body(BodyProblem),
    /// The target or the host name makes no URI.
    BadTarget,
    /// Every place of this worker is taken.
    Full {
        /// Why it does not wait for one any longer.
        why: NoPlace,
        /// Some of its body is not read yet.
        unread: bool,
    },
    /// Every place for a request whose body is still coming is.
    FullOfBodies,
    /// The app failed.
    App(Failure),
}

/// What follows from a refusal.
pub(super) struct Decision {
    /// The status.
    pub status: StatusCode,
    /// For the log.
    pub cause: String,
    /// Whether what comes next on the connection could be misread.
    close: bool,
    retry_after: bool,
    text: &'static str,
}

impl Refusal {
    /// Decides.
    pub fn decide(&self) -> Decision {
        let app_failed = "The application failed.";
        let (status, close, text) = match self {
            Self::Violation(violation) => {
                let status = StatusCode::from_u16(violation.status).unwrap_or(StatusCode::BAD_REQUEST);
                (status, true, violation.reason)
            }
            Self::Body(BodyProblem::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, true, "The request body is too large.")
            }
            Self::Body(BodyProblem::TooSlow) => {
                (StatusCode::REQUEST_TIMEOUT, true, "The request body took too long.")
            }
            Self::Body(BodyProblem::Broken(_)) => {
                (StatusCode::BAD_REQUEST, true, "The request body is broken.")
            }
            Self::BadTarget => (StatusCode::BAD_REQUEST, true, "The request target is not valid."),
            Self::Full { unread, .. } => (StatusCode::SERVICE_UNAVAILABLE, *unread, "The server is busy."),
            Self::FullOfBodies => (StatusCode::SERVICE_UNAVAILABLE, true, "The server is busy."),
            Self::App(Failure::Instantiate(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, false, "The application could not be started.")
            }
            Self::App(Failure::Timeout | Failure::CpuLimit) => {
                (StatusCode::GATEWAY_TIMEOUT, false, "The application took too long.")
            }
            Self::App(
                Failure::Trap(_)
                | Failure::OutOfMemory(_)
                | Failure::Exit(_)
                | Failure::NoResponse
                | Failure::NotReusable
                | Failure::GuestError(_)
                | Failure::ClientTooSlow
                | Failure::Incomplete,
            ) => (StatusCode::INTERNAL_SERVER_ERROR, false, app_failed),
        };
        Decision {
            status,
            cause: self.to_string(),
            close,
            retry_after: status == StatusCode::SERVICE_UNAVAILABLE,
            text,
        }
    }

    /// Whether there is more to do than can be done, which comes in thousands.
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::FullOfBodies)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Violation(violation) => {
                let option = match violation.status {
                    408 => " (--header-timeout)",
                    414 => " (--limit-request-line)",
                    431 => " (--limit-request-fields, --limit-request-field-size)",
                    _ => "",
                };
                write!(f, "{}{option}", violation.reason)
            }
            Self::Body(problem) => problem.fmt(f),
            Self::BadTarget => write!(f, "the target or the host name is not valid"),
            Self::Full { why, .. } => why.fmt(f),
            Self::FullOfBodies => {
                write!(f, "half of --max-concurrency requests are in flight whose bodies are still coming")
            }
            Self::App(failure) => write!(f, "{failure}"),
        }
    }
}

impl Decision {
    /// The response, which names the request so that its log line can be found.
    pub fn response(&self, id: &str) -> Response<Full<Bytes>> {
        let text = format!("{} {}\n{}\nrequest {id}\n", self.status.as_u16(), reason(self.status), self.text);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}
