//! Requests to where they are not to go, and with what does not belong there.

use probe_common::split_url;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, Method, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

use crate::exchange::{Reply, Request};

fn begin(url: &str, options: Option<RequestOptions>) -> Result<FutureIncomingResponse, ErrorCode> {
    let (scheme, authority, path) = split_url(url).ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    handle(request, options)
}

fn end(begun: Result<FutureIncomingResponse, ErrorCode>) -> String {
    let ended = begun.and_then(|future| {
        future.subscribe().block();
        future.get().expect("it is ready").expect("taken for the first time")
    });
    match ended {
        Ok(response) => format!("status {}", response.status()),
        Err(error) => format!("refused: {error:?}"),
    }
}

fn url(request: &Request) -> String {
    request.target.text("url").unwrap_or_default()
}

pub fn fetch(request: Request, reply: Reply) {
    reply.text(200, &(end(begin(&url(&request), None)) + "\n"));
}

pub fn flood(request: Request, reply: Reply) {
    let url = url(&request);
    let begun: Vec<_> = (0..request.target.number("n").unwrap_or(1)).map(|_| begin(&url, None)).collect();
    let lines: Vec<_> = begun.into_iter().map(end).collect();
    reply.text(200, &(lines.join("\n") + "\n"));
}

fn with_timeouts(url: &str, timeout: u64) -> String {
    let options = RequestOptions::new();
    let set = options
        .set_connect_timeout(Some(timeout))
        .and_then(|()| options.set_first_byte_timeout(Some(timeout)))
        .and_then(|()| options.set_between_bytes_timeout(Some(timeout)));
    format!("set: {set:?}; {}\n", end(begin(url, Some(options))))
}

pub fn zero_timeouts(request: Request, reply: Reply) {
    reply.text(200, &with_timeouts(&url(&request), 0));
}

pub fn long_timeouts(request: Request, reply: Reply) {
    reply.text(200, &with_timeouts(&url(&request), u64::MAX));
}

/// A line for each thing that should not get out; `host` is one that may be reached.
pub fn odd(request: Request, reply: Reply) {
    let host = request.target.text("host").unwrap_or_default();
    let mut lines = String::new();
    let user = format!("user@{host}");
    let two = format!("{host}\r\nx: y");
    let absolute = "http://169.254.169.254/latest/meta-data/";
    for (what, authority, path, method) in [
        ("absolute form", &*host, absolute, Method::Get),
        ("path with a line", &*host, "/a\r\nx: y", Method::Get),
        ("path with a space", &*host, "/a HTTP/1.1\r\nhost: b\r\n\r\nGET /", Method::Get),
        ("method with a line", &*host, "/", Method::Other("GET / HTTP/1.1\r\n\r\nPOST".into())),
        ("user", &*user, "/", Method::Get),
        ("authority with a line", &*two, "/", Method::Get),
        ("no authority", "", "/", Method::Get),
        ("connect", &*host, "/", Method::Connect),
    ] {
        let request = OutgoingRequest::new(Fields::new());
        let set = request
            .set_scheme(Some(&Scheme::Http))
            .and_then(|()| request.set_method(&method))
            .and_then(|()| request.set_authority(Some(authority)))
            .and_then(|()| request.set_path_with_query(Some(path)));
        let came = match set {
            Ok(()) => end(handle(request, None)),
            Err(()) => "refused when it was set".into(),
        };
        lines.push_str(&format!("{what}: {came}\n"));
    }
    reply.text(200, &lines);
}

pub fn socket(request: Request, reply: Reply) {
    let port = request.target.number("port").unwrap_or(80);
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let network = instance_network::instance_network();
    let tcp = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4);
    let tcp = tcp.and_then(|socket| {
        socket.start_connect(&network, address)?;
        socket.subscribe().block();
        socket.finish_connect().map(drop)
    });
    let listened = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4);
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    let listened = listened.and_then(|socket| {
        socket.start_bind(&network, any)?;
        socket.finish_bind()?;
        socket.start_listen()?;
        socket.finish_listen()
    });
    let udp = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4);
    let udp = udp.and_then(|socket| socket.stream(Some(address)).map(drop));
    let name = ip_name_lookup::resolve_addresses(&network, "localhost").and_then(|names| {
        names.subscribe().block();
        names.resolve_next_address()
    });
    reply.text(
        200,
        &format!("connect: {tcp:?}\nlisten: {listened:?}\nudp: {udp:?}\nlookup: {:?}\n", name.map(drop)),
    );
}
