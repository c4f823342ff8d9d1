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
/// those that are too long are refused as those with a wrong character are.
///
/// # Errors
/// The linker has no `wasi:http`.
pub(super) fn limit(linker: &mut Linker<Guest>, wasi: Wasi) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, Guest>,
         (request, method): (Resource<HostOutgoingRequest>, v02::Method)|
         -> Set {
            if matches!(&method, v02::Method::Other(name) if name.len() > MAX_METHOD) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            Ok((v02::HostOutgoingRequest::set_method(&mut http, request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, Guest>,
         (request, authority): (Resource<HostOutgoingRequest>, Option<String>)|
         -> Set {
            if is_too_long(authority.as_deref()) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            Ok((v02::HostOutgoingRequest::set_authority(&mut http, request, authority)?,))
        },
    )?;
    if wasi == Wasi::V03 {
        let mut types = linker.instance("wasi:http/types@0.3.0")?;
        types.func_wrap(
            "[method]request.set-method",
            |mut store: StoreContextMut<'_, Guest>,
             (request, method): (Resource<p3::Request>, v03::Method)|
             -> Set {
                if matches!(&method, v03::Method::Other(name) if name.len() > MAX_METHOD) {
                    return Ok((Err(()),));
                }
                let mut http = store.data_mut().http();
                Ok((v03::HostRequest::set_method(&mut http, request, method)?,))
            },
        )?;
        types.func_wrap(
            "[method]request.set-authority",
            |mut store: StoreContextMut<'_, Guest>,
             (request, authority): (Resource<p3::Request>, Option<String>)|
             -> Set {
                if is_too_long(authority.as_deref()) {
                    return Ok((Err(()),));
                }
                let mut http = store.data_mut().http();
                Ok((v03::HostRequest::set_authority(&mut http, request, authority)?,))
            },
        )?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn is_too_long(authority: Option<&str>) -> bool {
    authority.is_some_and(|authority| authority.len() > MAX_AUTHORITY)
}
