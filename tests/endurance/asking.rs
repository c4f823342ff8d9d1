//! What is asked, and what the right answer is: of wasgun's guest `probe`, and of
//! the app for gunicorn, which answers alike.

use crate::tally::Failure;
use crate::wire::Response;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ask {
    /// As little as possible.
    Hello,
    /// A tenth of a second.
    Sleep,
    /// Which worker answers; the number must come back.
    Inspect(u64),
}

impl Ask {
    /// Its bytes.
    pub fn request(self, close: bool) -> String {
        let close = if close { "connection: close\r\n" } else { "" };
        format!("GET {} HTTP/1.1\r\nhost: endurance\r\n{close}\r\n", self.target())
    }

    fn target(self) -> String {
        match self {
            Self::Hello => "/hello".to_owned(),
            Self::Sleep => "/sleep?ms=100".to_owned(),
            Self::Inspect(number) => format!("/inspect?n={number}"),
        }
    }
}

/// Whether the response is the one; the worker's process id if that was asked for.
pub fn check(ask: Ask, response: &Response) -> Result<Option<i32>, (Failure, String)> {
    let text = || String::from_utf8_lossy(&response.body).into_owned();
    if response.status != 200 {
        return Err((Failure::Status, format!("status {}: {}", response.status, text())));
    }
    let expected: &[u8] = match ask {
        Ask::Hello => b"Hello, world!\n",
        Ask::Sleep => b"slept 100 ms\n",
        Ask::Inspect(_) => {
            let worker = inspected(ask, &response.body);
            return worker.map(Some).ok_or_else(|| (Failure::Body, format!("to {ask:?}: {}", text())));
        }
    };
    if response.body == expected { Ok(None) } else { Err((Failure::Body, format!("to {ask:?}: {}", text()))) }
}

/// The worker's process id, which is the middle of a request's id.
fn inspected(ask: Ask, body: &[u8]) -> Option<i32> {
    let seen: serde_json::Value = serde_json::from_slice(body).ok()?;
    if seen["path_with_query"] != ask.target() {
        return None;
    }
    let mut fields = seen["headers"].as_array()?.iter();
    let id = fields.find(|field| field[0] == "x-request-id")?[1].as_str()?;
    id.split('-').nth(1)?.parse().ok()
}
