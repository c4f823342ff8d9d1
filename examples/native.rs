//! The floor to compare with: hyper in N processes of one thread, forked the way
//! wasgun's workers are, and no wasm. `/` answers as guests/hello does, `/echo` as
//! guests/echo.
//!
//!     cargo run --release --example native -- 127.0.0.1:8000 2

use std::convert::Infallible;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// The argument that makes a process a worker: the listener is its standard input,
/// the next argument its parent.
const WORKER: &str = "worker";

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let number = args.next().map_or(1, |number| number.parse().expect("a number"));
    if address == WORKER {
        return work(number);
    }
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let children: std::io::Result<Vec<_>> = (0..number).map(|_| start(&listener)).collect();
    for mut child in children? {
        child.wait()?;
    }
    Ok(())
}

fn start(listener: &TcpListener) -> std::io::Result<Child> {
    let listener = OwnedFd::from(listener.try_clone()?);
    let parent = std::process::id().to_string();
    Command::new(std::env::current_exe()?).args([WORKER, &parent]).stdin(listener).spawn()
}

fn work(parent: i32) -> std::io::Result<()> {
    set_pdeathsig(Signal::SIGTERM)?;
    if getppid().as_raw() != parent {
        // It has ended before the tie was made.
        return Ok(());
    }
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    if request.uri().path() == "/echo" {
        return Ok(Response::new(Either::Right(request.into_body())));
    }
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(b"Hello, world!\n"))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
