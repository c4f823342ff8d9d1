//! Which path tries what.

use crate::exchange::{Reply, Request};
use crate::{bodies, fields, files, floods, network, resources, time};

type Route = fn(Request, Reply);

/// Path, parameters, what it tries, and how.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, &str, Route)] = &[
    ("/", "", "this list", index),

    ("/recursion", "", "recursion without end", resources::recursion),
    ("/grow", "", "takes memory until it gets no more", resources::grow),
    ("/hoard", "", "the same, and then traps", resources::grow_and_trap),
    ("/print", "mib=N&to=stderr", "prints N MiB", resources::print),
    ("/print-lines", "n=N", "prints N short lines", resources::print_lines),
    ("/random", "mib=N", "asks for N MiB of random bytes at once", resources::random),
    ("/trap", "", "traps", resources::trap),

    ("/spin", "", "computes for ever", time::spin),
    ("/spin-after-head", "", "the same after the head", time::spin_after_head),
    ("/spin-after-body", "", "the same after the response", time::spin_after_body),
    ("/sleep", "", "waits for ever", time::sleep),
    ("/sleep-after-body", "", "the same after the response", time::sleep_after_body),

    ("/many-fields", "n=N", "answers with N fields", fields::many),
    ("/huge-field", "kib=N", "answers with a field of N KiB", fields::huge),
    ("/framing-fields", "", "answers with fields that are not its own", fields::framing),
    ("/two-lengths", "", "announces two lengths", fields::two_lengths),
    ("/split-response", "", "fields with the end of a line in them", fields::split),
    ("/forbidden-trailers", "", "trailers that change the framing", fields::trailers),

    ("/short-body", "", "announces more than it sends", bodies::short),
    ("/long-body", "", "announces less than it sends", bodies::long),
    ("/endless-body", "", "a body without end", bodies::endless),
    ("/no-response", "", "ends without a response", bodies::none),
    ("/drop-body", "", "leaves its body unfinished", bodies::dropped),
    ("/trap-after-head", "", "traps amid its body", bodies::trap_after_head),
    ("/ignore-body", "", "never reads the request's", bodies::ignore),

    ("/field-flood", "n=N", "keeps N maps of fields", floods::fields),
    ("/field-flood-amid-body", "n=N", "the same amid its body", floods::fields_amid_body),
    ("/field-flood-for-ever", "n=N", "the same, and never drops them", floods::fields_for_ever),
    ("/request-flood", "n=N", "keeps N requests with their bodies", floods::requests),
    ("/method-flood", "n=N&kib=N", "keeps N requests with long methods", floods::methods),
    ("/pollable-flood", "n=N", "waits for N clocks at once", floods::pollables),
    ("/readiness-flood", "n=N", "keeps N times that a stream is ready", floods::readiness),
    ("/swapped-flood", "n=N", "drops twice as many of these, and keeps N maps of fields", floods::swapped),
    ("/file-flood", "path=P&n=N", "opens a file N times", floods::files),

    ("/fetch", "url=U", "sends a request", network::fetch),
    ("/fetch-flood", "url=U&n=N", "sends N requests at once", network::flood),
    ("/zero-timeouts", "url=U", "with timeouts of nothing", network::zero_timeouts),
    ("/long-timeouts", "url=U", "with the longest timeouts there are", network::long_timeouts),
    ("/odd-requests", "host=H", "with what does not belong into a request", network::odd),
    ("/socket", "port=N", "connects past the HTTP client", network::socket),

    ("/escape", "", "opens what is outside of its directories", files::escape),
    ("/write", "path=P", "writes a file", files::write),
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
