//! Time without end.

use wasip2::clocks::monotonic_clock;

use crate::exchange::{Reply, Request};

fn compute() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn wait() -> ! {
    loop {
        monotonic_clock::subscribe_duration(u64::MAX).block();
    }
}

pub fn spin(_: Request, _: Reply) {
    compute()
}

pub fn spin_after_head(_: Request, reply: Reply) {
    let writer = reply.start(200, &[]);
    let _ = writer.write(b"begun");
    compute()
}

pub fn spin_after_body(_: Request, reply: Reply) {
    reply.text(200, "answered\n");
    compute()
}

pub fn sleep(_: Request, _: Reply) {
    wait()
}

pub fn sleep_after_body(_: Request, reply: Reply) {
    reply.text(200, "answered\n");
    wait()
}
