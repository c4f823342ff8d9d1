//! A server among enemies: guests that try what they can, clients that stall, a component
//! made to break the compiler; and what confines the processes that meet them.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod attack;
mod clients;
mod egress;
mod limits;
mod polite;
mod sandbox;
mod table;

use support::Server;
use support::guests::guest_arg;

/// A server for a guest.
#[track_caller]
fn serve(guest: &str, args: &[&str]) -> Server {
    Server::start(&[&[&*guest_arg(guest)], args].concat())
}
