//! Which path does what.

use crate::exchange::{Reply, Request};
use crate::{bodies, faults, outbound, plain, system};

type Route = fn(Request, Reply);

/// Path, parameters, what it does, and how.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, &str, Route)] = &[
    ("/", "", "this list", index),
    ("/hello", "", "says hello", plain::hello),
    ("/inspect", "", "the request as the guest sees it", plain::inspect),
    ("/count", "", "how many requests this instance has met", plain::count),
    ("/peak", "", "how many of them it had at once at most", plain::peak),
    ("/status", "code=N", "answers with that status", plain::status),
    ("/headers", "n=N", "answers with N header fields", plain::headers),
    ("/header", "name=K&value=V", "answers with that header field", plain::header),

    ("/echo", "", "sends the body back, piece by piece", bodies::echo),
    ("/sink", "", "reads the body: its length and FNV-1a", bodies::sink),
    ("/early", "", "answers and never reads the body", bodies::early),
    ("/half-read", "n=N", "reads N bytes of the body and answers", bodies::half_read),
    ("/big", "mib=N&length=yes", "sends N MiB of a pattern", bodies::big),
    ("/slow", "chunks=N&ms=M", "sends N chunks, M ms apart", bodies::slow),
    ("/mismatch", "length=N&bytes=M", "declares N bytes, sends M", bodies::mismatch),
    ("/trailers", "", "sends trailers", bodies::trailers),
    ("/request-trailers", "", "the trailers of the request", bodies::request_trailers),

    ("/trap", "", "traps before the head", faults::trap),
    ("/panic", "", "panics before the head", faults::panic),
    ("/exit", "code=N", "exits before the head", faults::exit),
    ("/no-response", "", "returns and has set no response", faults::no_response),
    ("/once", "read=yes", "answers an instance's first request only, reading its body or not", faults::once),
    ("/error-code", "code=K", "sets an error code for a response", faults::error_code),
    ("/trap-after-head", "bytes=N&length=M&ms=M", "traps amid the body", faults::trap_after_head),
    ("/trap-after-body", "length=yes", "traps when all is sent", faults::trap_after_body),
    ("/after", "ms=N", "answers and works on for N ms", faults::after),

    ("/sleep", "ms=N", "waits N ms, or for ever", system::sleep),
    ("/spin", "ms=N", "keeps the processor busy for N ms, or for ever", system::spin),
    ("/alloc", "mib=N", "takes N MiB of memory", system::alloc),
    ("/hoard", "mib=N", "looks for what it has left in N MiB of memory", system::hoard),
    ("/env", "", "the environment", system::env),
    ("/args", "", "the arguments", system::args),
    ("/read", "path=P", "reads a file", system::read),
    ("/write", "path=P", "writes the body to a file", system::write),
    ("/stdout", "text=T&lines=N", "prints to stdout", system::stdout),
    ("/stderr", "text=T&lines=N", "prints to stderr", system::stderr),
    ("/clock", "", "nanoseconds on the monotonic clock", system::clock),
    ("/random", "", "16 random bytes", system::random),

    ("/outbound", "url=U&first-byte-ms=N", "fetches that URL", outbound::outbound),
];

pub fn dispatch(request: Request, reply: Reply) {
    let path = request.target.path();
    match ROUTES.iter().find(|(known, ..)| *known == path) {
        Some((.., route)) => route(request, reply),
        None => reply.text(404, "not found\n"),
    }
}

fn index(_: Request, reply: Reply) {
    let lines = ROUTES.iter().map(|(path, parameters, what, _)| {
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("{path}{mark}{parameters}  {what}\n")
    });
    reply.text(200, &lines.collect::<String>());
}
