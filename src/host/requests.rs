//! Requests that a guest makes up: what of them the host keeps has a size.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types as v02;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::http::types as v03;

use super::guest::Guest;
use super::inspect::Wasi;

/// Most bytes of a method that is none of the usual ones: `VERSION-CONTROL`, the longest
/// of those that are registered, has 15.
const MAX_METHOD: usize = 64;

/// Most bytes of an authority: a name of the longest kind (RFC 1035, 2.3.4) and its port,
/// four times.
const MAX_AUTHORITY: usize = 1024;

/// What `wasi:http` has a setter answer that does not take what it was given.
type Set = wasmtime::Result<(Result<(), ()>,)>;

/// The runtime takes methods and authorities of any length, and counts none of them. Here
/// those that are too long are refused as those with a wrong character are. The versions
/// are those that the runtime's own linking names.
///
/// # Errors
/// The linker takes no functions.
pub(super) fn limit(linker: &mut Linker<Guest>, wasi: Wasi) -> wasmtime::Result<()> {
    type Call<'a> = StoreContextMut<'a, Guest>;
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut call: Call<'_>, (request, method): (Resource<HostOutgoingRequest>, v02::Method)| {
            let too_long = matches!(&method, v02::Method::Other(name) if name.len() > MAX_METHOD);
            let set = || v02::HostOutgoingRequest::set_method(&mut call.data_mut().http(), request, method);
            unless(too_long, set)
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut call: Call<'_>, (request, name): (Resource<HostOutgoingRequest>, Option<String>)| {
            let too_long = is_too_long(name.as_deref());
            let set = || v02::HostOutgoingRequest::set_authority(&mut call.data_mut().http(), request, name);
            unless(too_long, set)
        },
    )?;
    if wasi == Wasi::V03 {
        let mut types = linker.instance("wasi:http/types@0.3.0")?;
        types.func_wrap(
            "[method]request.set-method",
            |mut call: Call<'_>, (request, method): (Resource<p3::Request>, v03::Method)| {
                let too_long = matches!(&method, v03::Method::Other(name) if name.len() > MAX_METHOD);
                let set = || v03::HostRequest::set_method(&mut call.data_mut().http(), request, method);
                unless(too_long, set)
            },
        )?;
        types.func_wrap(
            "[method]request.set-authority",
            |mut call: Call<'_>, (request, name): (Resource<p3::Request>, Option<String>)| {
                let too_long = is_too_long(name.as_deref());
                let set = || v03::HostRequest::set_authority(&mut call.data_mut().http(), request, name);
                unless(too_long, set)
            },
        )?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn is_too_long(authority: Option<&str>) -> bool {
    authority.is_some_and(|authority| authority.len() > MAX_AUTHORITY)
}

/// What a setter answers, which is refused what is too long.
fn unless(too_long: bool, set: impl FnOnce() -> wasmtime::Result<Result<(), ()>>) -> Set {
    Ok((if too_long { Err(()) } else { set()? },))
}
