//! The wasm host: an `http::Request` in, an `http::Response` out. The only
//! place that names wasmtime; it knows no listener, no signal and no process.

mod app;
mod compile;
mod compose;
mod core_module;
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
#[cfg(test)]
mod outgoing_tests;
mod requests;
mod reuse;
mod rewind;
mod seat;
mod sections;
mod snapshot;
mod source;
mod ticker;
mod usage;
mod v02;
mod v03;
mod weave;

use std::sync::Arc;

pub use app::{App, Call, Request};
pub use compile::Uncompiled;
pub use failure::Failure;
pub use load::LoadedApp;
pub use outgoing::{Response, ResponseBody};
pub use usage::Usage;
pub use wasmtime_wasi_http::{Error as BodyError, WasiBody as RequestBody};

/// Opens what loaded apps need of this process, which is not forked any more.
pub fn open(apps: &[LoadedApp]) {
    // Only without swap: a page that was swapped out would have to be read back only
    // to be overwritten.
    if engine::swap_exists() {
        tracing::debug!("no instance is put back: there is swap");
    } else {
        apps.iter().filter_map(|app| app.memories.as_ref()).for_each(|memories| memories.keep_pages());
    }
}

/// Makes them answer in this process, which gets a thread here. A response is buffered up to so
/// many bytes, and an instance may have so many files open.
///
/// # Errors
/// The thread cannot be made.
pub fn start(apps: Vec<LoadedApp>, response_buffer: usize) -> std::io::Result<Vec<Arc<App>>> {
    let engines = apps.iter().map(|app| app.engine.clone()).collect();
    let ticker = Arc::new(ticker::Ticker::start(engines)?);
    let app = |loaded| Arc::new(App::new(loaded, ticker.clone(), response_buffer));
    Ok(apps.into_iter().map(app).collect())
}
