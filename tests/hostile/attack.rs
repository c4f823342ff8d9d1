//! The attacks, and what is to become of each.

/// One attack.
pub struct Attack {
    /// What is tried, for people.
    pub what: &'static str,
    /// How; `TARGET` stands for a server that the guest may reach, `INSIDE` for one that
    /// it may not.
    pub path: &'static str,
    /// A body, if it is a POST.
    pub body: Option<&'static [u8]>,
    pub wanted: Wanted,
}

/// What its client is to see.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    /// That status.
    Status(u16),
    /// An error of the server's, whichever comes first.
    Fails,
    /// A response that does not end as it should.
    Cut,
    /// A response that says this.
    Says(&'static str),
    /// A response that does not say that.
    Never(&'static str),
    /// That status, or a response that says that the guest was refused something.
    Refused(u16),
}

const fn attack(what: &'static str, path: &'static str, wanted: Wanted) -> Attack {
    Attack { what, path, body: None, wanted }
}

const fn post(what: &'static str, path: &'static str, wanted: Wanted) -> Attack {
    Attack { body: Some(&[b'x'; 100_000]), ..attack(what, path, wanted) }
}

use Wanted::{Cut, Fails, Never, Refused, Says, Status};

/// Those of a 0.2 guest: `guests/abuse`.
#[rustfmt::skip]
pub const OF_0_2: &[Attack] = &[
    attack("compute for ever", "/spin", Status(504)),
    attack("compute for ever after the head", "/spin-after-head", Cut),
    attack("compute for ever after the response", "/spin-after-body", Status(200)),
    attack("wait for ever", "/sleep", Status(504)),
    attack("wait for ever after the response", "/sleep-after-body", Status(200)),

    attack("recursion without end", "/recursion", Status(500)),
    attack("take all memory there is", "/grow", Says("then refused")),
    attack("take it, then trap", "/hoard", Status(500)),
    attack("print 100 MiB to stdout", "/print?mib=100", Refused(500)),
    attack("print 100 MiB to stderr", "/print?mib=100&to=stderr", Refused(500)),
    attack("print a million lines", "/print-lines?n=1000000", Refused(500)),
    attack("100 MiB of random bytes at once", "/random?mib=100", Status(500)),

    attack("33,000 fields", "/many-fields?n=33000", Refused(500)),
    attack("a field of 1 MiB", "/huge-field?kib=1024", Refused(500)),
    attack("fields of the connection", "/framing-fields", Never("accepted: connection")),
    attack("two lengths", "/two-lengths", Status(500)),
    attack("a response within a field", "/split-response", Never("x-value")),
    attack("trailers that change the framing", "/forbidden-trailers", Status(200)),

    attack("a shorter body than announced", "/short-body", Refused(500)),
    attack("a longer body than announced", "/long-body", Refused(500)),
    attack("a body without end", "/endless-body", Cut),
    attack("a body that is dropped", "/drop-body", Refused(500)),
    attack("no response", "/no-response", Status(500)),
    attack("trap", "/trap", Status(500)),
    attack("trap after the head", "/trap-after-head", Refused(500)),
    post("ignore the request's body", "/ignore-body", Status(200)),

    attack("100,000 maps of fields", "/field-flood?n=100000", Status(500)),
    attack("1,500 maps of fields", "/field-flood?n=1500", Status(500)),
    attack("1,400 maps of fields amid a body", "/field-flood-amid-body?n=1400", Status(500)),
    attack("2,000 maps of fields in others' places", "/swapped-flood?n=2000", Status(500)),
    attack("100,000 things to wait for", "/readiness-flood?n=100000", Fails),
    attack("100,000 requests with bodies", "/request-flood?n=100000", Status(500)),
    attack("200 requests whose methods have 8 MiB", "/method-flood?n=200&kib=8192", Says("kept 0, then refused")),
    attack("100,000 clocks at once", "/pollable-flood?n=100000", Status(500)),
    attack("100,000 open files", "/file-flood?path=inside&n=100000", Fails),

    attack("reach this machine by address", "/fetch?url=http://INSIDE/", Says("refused: ErrorCode::HttpRequestDenied")),
    attack("by name", "/fetch?url=http://localhost:INSIDEPORT/", Says("refused: ErrorCode::DestinationIpProhibited")),
    attack("by an address of IPv6", "/fetch?url=http://[::ffff:127.0.0.1]:INSIDEPORT/", Says("refused")),
    attack("by an odd spelling", "/fetch?url=http://0x7f000001:INSIDEPORT/", Says("refused")),
    attack("by another", "/fetch?url=http://2130706433:INSIDEPORT/", Says("refused")),
    attack("by 0.0.0.0", "/fetch?url=http://0.0.0.0:INSIDEPORT/", Says("refused")),
    attack("the cloud's metadata", "/fetch?url=http://169.254.169.254/", Says("refused: ErrorCode::HttpRequestDenied")),
    attack("a private network", "/fetch?url=http://10.0.0.1/", Says("refused: ErrorCode::HttpRequestDenied")),
    attack("200 requests at once", "/fetch-flood?url=http://TARGET/&n=200", Says("refused: ErrorCode::ConnectionLimitReached")),
    attack("timeouts of nothing", "/zero-timeouts?url=http://TARGET/", Says("set: Ok")),
    attack("timeouts of centuries", "/long-timeouts?url=http://TARGET/", Says("set: Ok")),
    attack("requests within requests", "/odd-requests?host=TARGET", Never("status")),
    attack("sockets past the HTTP client", "/socket?port=INSIDEPORT", Says("connect: Err")),

    attack("leave its directory", "/escape", Never("READ \"secret")),
    attack("write where it may read", "/write?path=/fixed/new", Says("Err")),
];

/// Those of a 0.3 guest: `guests/probe-p3`.
#[rustfmt::skip]
pub const OF_0_3: &[Attack] = &[
    attack("compute for ever", "/spin", Status(504)),
    attack("wait for ever", "/sleep", Status(504)),
    attack("work on after the response", "/after?ms=600000", Status(200)),
    attack("take more memory than there is", "/alloc?mib=1000", Status(500)),
    attack("print 100,000 lines", "/stdout?text=LINE&lines=100000", Status(500)),
    attack("33,000 fields", "/headers?n=33000", Status(500)),
    attack("a shorter body than announced", "/mismatch?length=100&bytes=10", Refused(500)),
    attack("a longer body than announced", "/mismatch?length=10&bytes=100", Refused(500)),
    attack("trap", "/trap", Status(500)),
    attack("panic", "/panic", Status(500)),
    attack("exit", "/exit?code=1", Status(500)),
    attack("trap after the head", "/trap-after-head?bytes=5&length=10&ms=50", Cut),
    attack("no response", "/no-response", Status(500)),
    attack("reach this machine", "/outbound?url=http%3A%2F%2FINSIDE%2F", Says("HttpRequestDenied")),
    attack("a method of 8 MiB", "/outbound?url=http%3A%2F%2FINSIDE%2F&method-kib=8192", Says("HttpRequestMethodInvalid")),
    post("ignore the request's body", "/early", Status(200)),
];
