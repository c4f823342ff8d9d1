//! Everything that can go wrong with a guest, by what the client should learn.

use std::fmt;
use std::sync::Arc;

use wasmtime_wasi::I32Exit;

/// Most bytes of an error's text.
const MAX_ERROR: usize = 1024;

/// Why a request got no answer, or not all of it.
#[derive(Debug, Clone)]
pub enum Failure {
    /// No instance could be made.
    Instantiate(Arc<wasmtime::Error>),
    /// The guest trapped, which includes a panic of its language.
    Trap(Arc<wasmtime::Error>),
    /// The same, after it was refused more memory.
    OutOfMemory(Arc<wasmtime::Error>),
    /// The guest called exit.
    Exit(i32),
    /// The guest returned without an answer.
    NoResponse,
    /// The same, in an instance that had answered another request before.
    NotReusable,
    /// The guest answered with an error code of `wasi:http`.
    GuestError(String),
    /// The guest's time is up.
    Timeout,
    /// Its time on the processor is.
    CpuLimit,
    /// The client took nothing for long, and another request needed the place.
    ClientTooSlow,
    /// The guest ended before its response body did.
    Incomplete,
}

impl Failure {
    /// What an error out of a call into the guest means.
    pub(super) fn from_call(error: wasmtime::Error) -> Self {
        match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Self::Exit(*code),
            None => Self::Trap(Arc::new(error)),
        }
    }

    /// What an error is that a guest answers with: not all of its text, which may be long
    /// and goes to the log.
    pub(super) fn from_code(code: &dyn fmt::Display) -> Self {
        let mut text = code.to_string();
        if text.len() > MAX_ERROR {
            text.truncate(text.floor_char_boundary(MAX_ERROR));
            text.push_str(" ...");
        }
        Self::GuestError(text)
    }

    /// Whether a guest may well end so when not all of its request comes.
    pub fn may_follow_a_broken_body(&self) -> bool {
        matches!(self, Self::NoResponse | Self::NotReusable | Self::GuestError(_) | Self::Incomplete)
    }

    /// Where in the guest it happened, and what led to it; costly to render.
    pub fn details(&self) -> Option<String> {
        match self {
            // The backtrace is part of it.
            Self::Instantiate(error) | Self::Trap(error) | Self::OutOfMemory(error) => {
                Some(format!("{error:#}"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instantiate(error) => write!(f, "cannot make an instance: {}", error.root_cause()),
            // The root cause is the trap; what is around it is the backtrace.
            Self::Trap(error) => write!(f, "trap: {}", error.root_cause()),
            Self::OutOfMemory(error) => {
                write!(f, "trap: {}, after it was refused memory beyond --memory-limit", error.root_cause())
            }
            Self::Exit(code) => write!(f, "the guest called exit({code}) before it had answered"),
            Self::NoResponse => write!(f, "the guest returned without a response"),
            Self::NotReusable => write!(
                f,
                "the guest returned without a response, in an instance that had answered before. No other is asked, \
                 since it has read some of the request, or sent others, or may write to a directory. If it cannot \
                 answer twice, it needs --instance-max-requests 1"
            ),
            Self::GuestError(code) => write!(f, "the guest answered with the error {code}"),
            Self::Timeout => write!(f, "the guest took longer than --request-timeout"),
            Self::CpuLimit => write!(f, "the guest used more processor time than --cpu-limit"),
            Self::ClientTooSlow => {
                write!(f, "its client took nothing for a while, and all --max-concurrency places were taken")
            }
            Self::Incomplete => write!(
                f,
                "the guest did not finish its response body, or sent another length than it announced"
            ),
        }
    }
}

impl std::error::Error for Failure {}
