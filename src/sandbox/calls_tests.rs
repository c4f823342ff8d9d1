//! What the filters refuse.

use std::io;
use std::thread;

use nix::libc::*;

use super::calls::restrict;
use super::{Connections, Grants};
use crate::sys::raw::call;

/// Confines one thread, and looks at what it may do.
fn confined(connections: Connections, look: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let there = scope.spawn(move || {
            restrict(&Grants { connections, ..Grants::default() }).unwrap();
            look();
        });
        there.join().unwrap();
    });
}

fn is_refused<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn a_confined_process_gets_no_other_way_out() {
    let number = |value: c_int| c_long::from(value);
    let socket =
        |domain, kind, protocol| call(SYS_socket, [number(domain), number(kind), number(protocol), 0, 0]);
    let ports = || Connections::Ports(vec![9]);
    confined(ports(), || {
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0).unwrap();
        socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP).unwrap();
        for (domain, kind, protocol) in [
            (AF_UNIX, SOCK_STREAM, 0),
            (AF_NETLINK, SOCK_RAW, 0),
            (AF_VSOCK, SOCK_STREAM, 0),
            (AF_ALG, SOCK_SEQPACKET, 0),
            (AF_INET, SOCK_RAW, IPPROTO_TCP),
            (AF_INET, SOCK_SEQPACKET, 0),
            (AF_INET, SOCK_STREAM, IPPROTO_SCTP),
            (AF_INET, SOCK_STREAM, IPPROTO_MPTCP),
            (AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
        ] {
            assert!(is_refused(socket(domain, kind, protocol)), "{domain} {kind} {protocol}");
        }
        let fast = number(MSG_FASTOPEN);
        assert!(is_refused(call(SYS_sendto, [-1, 0, 0, fast, 0])));
        assert!(is_refused(call(SYS_sendmsg, [-1, 0, fast, 0, 0])));
        assert!(is_refused(call(SYS_sendmmsg, [-1, 0, 0, fast, 0])));
        let above = [-1, number(IPPROTO_TCP), number(TCP_ULP), 0, 0];
        assert!(is_refused(call(SYS_setsockopt, above)));
    });
    confined(Connections::None, || {
        assert!(is_refused(socket(AF_INET, SOCK_STREAM, 0)));
        assert!(is_refused(socket(AF_UNIX, SOCK_STREAM, 0)));
    });
    for connections in [Connections::None, ports()] {
        confined(connections, || {
            let code = number(PROT_EXEC | PROT_WRITE);
            let private = number(MAP_PRIVATE | MAP_ANONYMOUS);
            assert!(is_refused(call(SYS_mmap, [0, 4096, code, private, -1])));
            assert!(is_refused(call(SYS_mmap, [0, 4096, number(PROT_EXEC), private, -1])));
            assert!(is_refused(call(SYS_mprotect, [0, 4096, number(PROT_EXEC), 0, 0])));
            assert!(is_refused(call(SYS_memfd_create, [0, 0, 0, 0, 0])));
            assert!(is_refused(call(SYS_socketpair, [number(AF_UNIX), 1, 0, 0, 0])));
            assert!(is_refused(call(SYS_sched_setaffinity, [0, 0, 0, 0, 0])));
            let pid = c_long::from(std::process::id());
            assert!(is_refused(call(SYS_fcntl, [0, number(F_SETOWN), pid, 0, 0])));
        });
    }
}
