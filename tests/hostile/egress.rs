//! Where a guest's requests lead, whatever it calls the place.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::serve;
use super::support::client::get;

/// A certificate for localhost that nobody has signed, and its key; only for this test.
const CERTIFICATE: &str = include_str!("untrusted.pem");

/// A server that speaks TLS with that certificate; its port.
fn untrusted() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            if tls.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                drop(tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
            }
        }
    });
    port
}

/// A server that answers with a redirect; its port.
fn redirecting(to: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                );
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    port
}

#[test]
fn certificates_are_verified() {
    let port = untrusted();
    let server = serve("abuse", &["-w", "1", "--allow-outbound", "localhost"]);
    let answer = get(&server.address, &format!("/fetch?url=https://localhost:{port}/")).text();
    assert!(answer.starts_with("refused: ErrorCode::Tls"), "{answer}");
}

#[test]
fn nobody_follows_redirects() {
    let port = redirecting("http://169.254.169.254/".to_owned());
    let server = serve("abuse", &["-w", "1", "--allow-outbound", &format!("127.0.0.1:{port}")]);
    let answer = get(&server.address, &format!("/fetch?url=http://127.0.0.1:{port}/")).text();
    assert_eq!(answer, "status 302\n");
}

#[test]
fn a_name_may_lead_to_this_machine_only_if_it_is_localhost() {
    let port = redirecting("/".to_owned());
    let url = format!("/fetch?url=http://localhost:{port}/");
    for (rule, may) in [
        ("*", false),
        ("*.localhost", false),
        ("0.0.0.0/0", false),
        ("localhost", true),
        ("127.0.0.0/8", true),
    ] {
        let mut server = serve("abuse", &["-w", "1", "--allow-outbound", rule]);
        let answer = get(&server.address, &url).text();
        assert_eq!(answer == "status 302\n", may, "{rule}: {answer}");
        if !may && rule != "*.localhost" {
            server.wait_for_log("no public address");
        }
    }
}

#[test]
fn what_is_refused_over_and_over_does_not_fill_the_log() {
    let mut server = serve("abuse", &["-w", "1"]);
    let answer = get(&server.address, "/fetch-flood?url=http://192.0.2.1/&n=100").text();
    assert_eq!(answer.matches("HttpRequestDenied").count(), 100, "{answer}");
    server.wait_for_log("further ones of this request are not logged");
    // Another request is another story.
    get(&server.address, "/fetch?url=http://192.0.2.2/");
    server.wait_for_log("192.0.2.2");
    assert_eq!(server.count_log("outbound request denied"), 12);
}

#[test]
fn requests_are_limited_in_a_second_and_at_once() {
    let port = redirecting("/".to_owned());
    let allowed = format!("127.0.0.1:{port}");
    let rate = ["--outbound-rate", "3"];
    let mut server = serve("abuse", &[&["-w", "1", "--allow-outbound", &allowed][..], &rate[..]].concat());
    let answer = get(&server.address, &format!("/fetch-flood?url=http://127.0.0.1:{port}/&n=30")).text();
    let (sent, refused) = (answer.matches("status 302").count(), answer.matches("LimitReached").count());
    // The second may have ended meanwhile, on a slow machine.
    assert!((3..=9).contains(&sent) && sent + refused == 30, "{answer}");
    server.wait_for_log("--outbound-rate were sent");
    drop(server);
    let one = ["--outbound-connections", "1"];
    let server = serve("abuse", &[&["-w", "1", "--allow-outbound", &allowed][..], &one[..]].concat());
    let answer = get(&server.address, &format!("/fetch-flood?url=http://127.0.0.1:{port}/&n=10")).text();
    assert_eq!(answer.matches("status 302").count(), 10, "they wait for each other: {answer}");
}
