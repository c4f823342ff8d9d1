use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Reply;
use super::peer::PATIENCE_MS;
use super::server::{CLIENTS, GRACE_MS, PAUSE_MS};
use super::tests::{Bench, STATUS, is_closed, line};

#[test]
fn a_client_that_hangs_up_is_dropped_and_its_request_done() {
    let mut bench = Bench::new();
    for hang_up_first in [true, false] {
        let mut client = bench.client();
        client.write_all(&STATUS.repeat(2)).unwrap();
        if !hang_up_first {
            bench.settle();
        }
        drop(client);
        bench.settle();
        assert_eq!(bench.server.clients(), 0);
        assert_eq!(bench.requests.len(), 1, "what nobody waits for any more is not begun");
        bench.answer("to nobody");
    }
    // Hangs up with an answer unread, and input that comes after.
    let mut client = bench.client();
    client.write_all(&STATUS.repeat(3)).unwrap();
    bench.answer("unread");
    client.shutdown(Shutdown::Both).unwrap();
    bench.settle();
    drop(client);
    bench.settle();
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn the_idle_make_room_when_all_places_are_taken() {
    let mut bench = Bench::new();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| bench.client()).collect();
    bench.settle();
    // The first speaks, so that the second has been idle for longer.
    bench.now += 500;
    clients[0].write_all(STATUS).unwrap();
    bench.answer("well");
    line(&clients[0]);
    let mut late = bench.client();
    late.write_all(STATUS).unwrap();
    bench.settle();
    assert!(bench.requests.is_empty(), "the others have just come");
    bench.now = bench.server.next_deadline().unwrap();
    assert_eq!(bench.now, 5_000 + GRACE_MS);
    bench.answer("late");
    assert_eq!(line(&late), Reply::done("late"));
    assert!(is_closed(&clients[1]));
    assert_eq!(bench.server.clients(), CLIENTS);
}

#[test]
fn nobody_is_turned_out_who_waits_for_an_answer() {
    let mut bench = Bench::new();
    let mut clients: Vec<_> = (0..3 * CLIENTS).map(|_| bench.client()).collect();
    for client in &mut clients {
        client.write_all(STATUS).unwrap();
    }
    bench.settle();
    assert_eq!((bench.requests.len(), bench.server.clients()), (CLIENTS, CLIENTS));
    assert_eq!(bench.server.next_deadline(), None);
    for client in clients {
        bench.now += GRACE_MS;
        bench.answer("in turn");
        assert_eq!(line(&client), Reply::done("in turn"));
    }
    bench.settle();
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn a_slow_reader_gets_all_and_a_stuck_one_is_dropped() {
    let mut bench = Bench::new();
    let big = Reply::done("x".repeat(3 << 20));
    let mut slow = bench.client();
    slow.write_all(&STATUS.repeat(2)).unwrap();
    let (client, _) = bench.next_request();
    // A long time after the request: the client is not to be blamed for that.
    bench.now += 10 * PATIENCE_MS;
    bench.server.reply(client, &big);
    bench.server.reply(client, &Reply::done("an answer too many"));
    bench.settle();
    assert!(bench.requests.is_empty(), "one at a time");
    let (mut got, mut piece) = (Vec::new(), vec![0; 128 * 1024]);
    while !got.ends_with(b"\n") {
        bench.settle();
        bench.now += PATIENCE_MS - 1;
        let length = slow.read(&mut piece).unwrap();
        assert_ne!(length, 0, "it was dropped");
        got.extend_from_slice(&piece[..length]);
    }
    assert_eq!(serde_json::from_slice::<Reply>(&got).unwrap(), big);

    let (client, _) = bench.next_request();
    bench.server.reply(client, &big);
    bench.settle();
    let due = bench.server.next_deadline().unwrap();
    assert_eq!(due, bench.now + PATIENCE_MS);
    bench.now = due;
    bench.settle();
    assert_eq!((bench.server.clients(), bench.server.held()), (0, 0));
    assert_eq!(bench.server.next_deadline(), None);
}

#[test]
fn a_line_that_never_ends_is_waited_for_only_so_long() {
    let mut bench = Bench::new();
    let mut idle = bench.client();
    bench.settle();
    bench.now += 100 * PATIENCE_MS;
    bench.settle();
    assert_eq!(bench.server.next_deadline(), None, "an idle client may stay");
    idle.write_all(b"{").unwrap();
    bench.settle();
    let due = bench.server.next_deadline().unwrap();
    assert_eq!(due, bench.now + PATIENCE_MS);
    bench.now = due - 1;
    // Going on with it gives no new time.
    idle.write_all(b"{").unwrap();
    bench.settle();
    assert_eq!(bench.server.clients(), 1);
    bench.now = due;
    bench.settle();
    assert!(is_closed(&idle));
}

/// Changes a limit of the whole process, so it gets one of its own.
#[test]
#[ignore = "run by the_want_of_descriptors_does_not_spin"]
fn without_descriptors() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.write_all(STATUS).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    bench.settle();
    assert_eq!(bench.server.clients(), 0);
    let due = bench.server.next_deadline();
    assert_eq!(due, Some(bench.now + PAUSE_MS));
    setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
    bench.settle();
    assert!(bench.requests.is_empty());
    bench.now += PAUSE_MS;
    bench.answer("well");
    assert_eq!(line(&client), Reply::done("well"));
    assert_eq!(bench.server.next_deadline(), None);
}

#[test]
fn the_want_of_descriptors_does_not_spin() {
    let name = std::thread::current().name().unwrap().replace("the_want_of_descriptors_does_not_spin", "");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{name}without_descriptors"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[test]
fn nothing_that_is_sent_breaks_or_fills_it() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let mut bench = Bench::new();
    let mut clients = Vec::new();
    let (mut answered, mut log) = (0, String::new());
    for round in 0..5_000 {
        if clients.len() < 24 && random(2) == 0 {
            let client = bench.client();
            client.set_nonblocking(true).unwrap();
            clients.push(client);
        }
        if !clients.is_empty() {
            let at = random(clients.len());
            let mut bytes: Vec<u8> = match random(6) {
                0 => STATUS.to_vec(),
                1 => STATUS.repeat(random(40)),
                2 => vec![[b'x', b'\n', b' ', b'['][random(4)]; random(20_000)],
                _ => (0..random(300)).map(|_| u8::try_from(random(256)).unwrap()).collect(),
            };
            if random(2) == 0 {
                bytes.truncate(random(bytes.len() + 1));
            }
            let written = clients[at].write(&bytes);
            let gone = written.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            match random(40) {
                _ if gone => drop(clients.swap_remove(at)),
                0 => drop(clients.swap_remove(at)),
                1 => drop(clients[at].shutdown([Shutdown::Read, Shutdown::Write, Shutdown::Both][random(3)])),
                2..20 => drop(clients[at].read(&mut vec![0; random(60_000) + 1])),
                _ => {}
            }
        }
        for _ in 0..random(4) {
            bench.turn(0);
        }
        while !bench.requests.is_empty() && random(3) > 0 {
            let (client, _) = bench.requests.swap_remove(random(bench.requests.len()));
            let size = [10, 10, 300_000][random(3)];
            bench.server.reply(client, &Reply::done("y".repeat(size)));
            answered += 1;
        }
        bench.now += u64::try_from(random(200)).unwrap();
        let (held, clients) = (bench.server.held(), bench.server.clients());
        assert!(clients <= CLIENTS && held <= CLIENTS * 400_000, "{held} bytes, {clients} clients");
        if round % 500 == 0 {
            write!(log, "{clients} clients, {held} bytes; ").unwrap();
        }
    }
    assert!(answered > 500, "{answered} answered: {log}");
    drop(clients);
    for (client, _) in std::mem::take(&mut bench.requests) {
        bench.server.reply(client, &Reply::done(""));
    }
    bench.settle();
    bench.now += PATIENCE_MS;
    bench.settle();
    bench.requests.clear();
    bench.settle();
    assert_eq!((bench.server.clients(), bench.server.held()), (0, 0));
    assert_eq!(bench.server.next_deadline(), None);
}
