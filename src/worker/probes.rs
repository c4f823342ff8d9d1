//! The health listener, which is answered whatever else goes on.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use tokio::io::unix::AsyncFd;
use tokio::runtime;
use tokio::task::{AbortHandle, JoinSet};

use super::accept::{Stream, accept_now, survive};
use super::drain::Phase;
use super::{Worker, connection};
use crate::listeners::Listener;
use crate::sys::fd;

/// Most connections at once; for another one the oldest is closed, which has had
/// its answer unless somebody only keeps it open.
const MOST: usize = 64;

/// Starts answering, in a thread of its own: in the serving one each guest that
/// computes has 10 ms of each turn, and with 128 of them a probe took 2.5 s, which
/// is longer than those who send probes wait.
///
/// # Errors
/// The socket cannot be registered, or the thread not made.
pub(super) fn start(worker: &Arc<Worker>, listener: Arc<Listener>) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let acceptor = {
        let _inside = runtime.enter();
        fd::watch(listener)?
    };
    let worker = worker.clone();
    thread::Builder::new()
        .name("health".to_owned())
        .spawn(move || runtime.block_on(accept(worker, acceptor)))?;
    Ok(())
}

/// Accepts until the process ends when the server stops, which is told here, and
/// until others go on in its place.
async fn accept(worker: Arc<Worker>, acceptor: AsyncFd<Arc<Listener>>) {
    let mut phase = worker.phase.clone();
    let mut connections = JoinSet::new();
    let mut tasks = VecDeque::<AbortHandle>::new();
    loop {
        while connections.try_join_next().is_some() {}
        while tasks.front().is_some_and(AbortHandle::is_finished) || tasks.len() >= MOST {
            tasks.pop_front().inspect(AbortHandle::abort);
        }
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Retiring) => break,
            accepted = next(&acceptor) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tasks.push_back(connections.spawn(connection::serve_probe(worker.clone(), stream, peer)));
            }
            Err(error) => survive(&worker, &error).await,
        }
    }
    drop(acceptor);
    while connections.join_next().await.is_some() {}
}

async fn next(acceptor: &AsyncFd<Arc<Listener>>) -> io::Result<(Stream, Option<IpAddr>)> {
    loop {
        let mut ready = acceptor.readable().await?;
        if let Ok(accepted) = ready.try_io(|listener| accept_now(listener.get_ref().socket())) {
            return accepted;
        }
    }
}
