//! Components in front of an app: each takes requests as an app does, and hands on what
//! it lets through to the one behind it. Plugged together they are one component.

use std::borrow::Cow;

use anyhow::{Context, Result, bail, ensure};
use wac_graph::{CompositionGraph, EncodeOptions, plug, types::Package};

use super::inspect::{Role, Wasi, inspect, to_binary};

/// One of them, as it was read.
pub(super) struct Middleware {
    /// How messages call it.
    pub shown: String,
    pub bytes: Vec<u8>,
}

/// An app with `middleware` in front of it, of which the first sees a request first; and
/// the generation that it is of.
///
/// # Errors
/// One of them cannot be served, or does not fit what is behind it.
pub(super) fn compose<'a>(app: &'a [u8], middleware: &[Middleware]) -> Result<(Wasi, Cow<'a, [u8]>)> {
    let app = to_binary(app)?;
    let Role { wasi, is_middleware } = inspect(&app)?;
    if is_middleware {
        bail!(
            "it is a middleware, which needs an app behind it (it imports {handler} as well as exporting it): \
             `wasgun APP --middleware FILE` puts it in front of one",
            handler = wasi.handler()
        );
    }
    let behind = app;
    let composed = middleware.iter().rev().try_fold(behind, |behind, front| {
        put_in_front(front, wasi, &behind)
            .with_context(|| format!("--middleware {}", front.shown))
            .map(Cow::Owned)
    })?;
    Ok((wasi, composed))
}

fn put_in_front(front: &Middleware, wasi: Wasi, behind: &[u8]) -> Result<Vec<u8>> {
    let binary = to_binary(&front.bytes)?;
    let role = inspect(&binary)?;
    if role.wasi != wasi {
        bail!(
            "it is for {} ({}), and the app for {} ({}): build both for the same generation",
            role.wasi.number(),
            role.wasi.handler(),
            wasi.number(),
            wasi.handler()
        );
    }
    ensure!(
        role.is_middleware,
        "it is an app, not a middleware: it answers everything itself, since it does not import {}",
        wasi.handler()
    );
    let composed =
        plugged(binary.into_owned(), behind.to_vec()).context("it cannot be plugged to what is behind it")?;
    // Plugs fit by name and type; with another type of the handler nothing was plugged.
    ensure!(
        !inspect(&composed)?.is_middleware,
        "what is behind it has another type of {}: build both with the same version",
        wasi.handler()
    );
    Ok(composed)
}

fn plugged(socket: Vec<u8>, plugged: Vec<u8>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut add = |name, bytes| {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
        anyhow::Ok(graph.register_package(package)?)
    };
    let behind = add("wasgun:behind", plugged)?;
    let front = add("wasgun:front", socket)?;
    plug(&mut graph, vec![behind], front)?;
    // What runs it validates it.
    Ok(graph.encode(EncodeOptions { validate: false, ..EncodeOptions::default() })?)
}
