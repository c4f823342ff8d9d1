//! What comes by the control socket, and what comes back: never a panic, and bounded.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use wasgun_fuzz::control::{ControlServer, Reply, table};

static SERVER: LazyLock<(TempDir, PathBuf, Mutex<ControlServer>)> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("control");
    let server = ControlServer::bind(&path).unwrap();
    (dir, path, Mutex::new(server))
});

fuzz_target!(|data: &[u8]| {
    if let Ok(reply) = serde_json::from_slice::<Reply>(data) {
        let again: Reply = serde_json::from_str(&reply.to_json()).expect("a reply reads back");
        assert_eq!(again.to_json(), reply.to_json());
        if let Some(status) = &reply.status {
            assert!(table(status).is_ascii(), "a table drives no terminal");
        }
    }
    let (_, path, server) = &*SERVER;
    let mut server = server.lock().unwrap();
    let mut client = UnixStream::connect(path).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut asked = Vec::new();
    let mut rest = data;
    let mut now = 1;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rest.len().min(1 + usize::from(rest[0])));
        if client.write_all(piece).is_err() {
            break;
        }
        asked.extend(server.hear(now));
        now += 1;
        rest = later;
    }
    let _ = client.shutdown(Shutdown::Write);
    asked.extend(server.hear(now));
    for (who, _) in asked {
        server.reply(who, &Reply::done("done"));
    }
    server.hear(now + 1);
    let mut answers = Vec::new();
    let _ = client.read_to_end(&mut answers);
    for line in answers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<Reply>(line).expect("each answer is a reply");
    }
    drop(client);
    // It has gone, and takes no place.
    server.hear(now + 1_000_000);
});
