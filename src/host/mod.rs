//! The wasm host: an `http::Request` in, an `http::Response` out. The only
//! place that names wasmtime; it knows no listener, no signal and no process.

mod app;
mod compile;
mod eager;
mod egress;
mod engine;
mod failure;
mod guest;
mod guest_output;
mod inspect;
mod load;
mod memories;
mod outgoing;
mod rewind;
mod seat;
mod sections;
mod snapshot;
mod source;
mod ticker;
mod v02;
mod v03;
mod weave;

use std::sync::Arc;

pub use app::{App, Call, Request};
pub use compile::{compile_to_cache, compile_to_file};
pub use failure::Failure;
pub use load::LoadedApp;
pub use outgoing::{Response, ResponseBody};
pub use wasmtime_wasi_http::{Error as BodyError, WasiBody as RequestBody};

/// Makes loaded apps answer in this process, which is not forked any more: it
/// gets a thread here.
///
/// # Errors
/// The thread cannot be made.
pub fn start(apps: Vec<LoadedApp>, response_buffer: usize) -> std::io::Result<Vec<Arc<App>>> {
    // Only without swap: a page that was swapped out would have to be read back only
    // to be overwritten.
    if engine::swap_exists() {
        tracing::debug!("no instance is put back: there is swap");
    } else {
        apps.iter().filter_map(|app| app.memories.as_ref()).for_each(|memories| memories.keep_pages());
    }
    let engines = apps.iter().map(|app| app.engine.clone()).collect();
    let ticker = Arc::new(ticker::Ticker::start(engines)?);
    Ok(apps.into_iter().map(|app| Arc::new(App::new(app, ticker.clone(), response_buffer))).collect())
}
