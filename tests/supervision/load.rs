//! Clients that ask without pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;

use crate::support::client::Connection;
use crate::support::eventually;
use crate::support::processes::is_close;

/// What a request is noted as whose connection closed.
pub const CLOSED: &str = "closed";

/// Requests that a client must get through with, for its server to be serving.
const SOME: usize = 20;

/// Takes long enough for a request to be in flight at most moments.
const PATH: &str = "/sleep?ms=2";

/// How a client uses connections.
#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    /// One for each request.
    Fresh,
    /// One for as long as the server keeps it.
    Kept,
}

/// Running clients, a thread each.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<(Arc<AtomicUsize>, JoinHandle<Vec<String>>)>,
}

impl Load {
    pub fn start(address: &str, styles: &[Style]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = styles.iter().map(|style| {
            let (address, stop, style) = (address.to_owned(), stop.clone(), *style);
            let served = Arc::new(AtomicUsize::new(0));
            (served.clone(), std::thread::spawn(move || ask(&address, style, &stop, &served)))
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    /// Waits until each client has been served some more requests.
    #[track_caller]
    pub fn goes_on(&self) {
        let before: Vec<_> = self.served().collect();
        eventually("every client is served", || {
            self.served().zip(&before).all(|(now, before)| now >= before + SOME)
        });
    }

    fn served(&self) -> impl Iterator<Item = usize> {
        self.clients.iter().map(|(served, _)| served.load(SeqCst))
    }

    /// Ends the clients; what went wrong for them.
    #[track_caller]
    pub fn stop(mut self) -> Vec<String> {
        self.stop.store(true, SeqCst);
        std::mem::take(&mut self.clients).into_iter().flat_map(|(_, client)| client.join().unwrap()).collect()
    }
}

impl Drop for Load {
    /// A test that fails ends its clients before their server.
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for (_, client) in self.clients.drain(..) {
            drop(client.join());
        }
    }
}

fn ask(address: &str, style: Style, stop: &AtomicBool, served: &AtomicUsize) -> Vec<String> {
    let (mut kept, mut wrong) = (None, Vec::new());
    while !stop.load(SeqCst) {
        let used_before = kept.is_some();
        let mut connection = kept.take().unwrap_or_else(|| Connection::open(address));
        match connection.get(PATH) {
            Ok(response) if response.status == 200 => {
                served.fetch_add(1, SeqCst);
                if style == Style::Kept && response.header("connection") != Some("close") {
                    kept = Some(connection);
                }
            }
            Ok(response) => wrong.push(format!("status {}", response.status)),
            // A server may close an idle connection in the moment in which the
            // next request is sent; every client asks again then (RFC 9112, 9.3.1).
            Err(error) if used_before && is_close(&error) && !error.to_string().contains("HTTP/1.1") => {}
            Err(error) if is_close(&error) => wrong.push(CLOSED.to_owned()),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    wrong
}
