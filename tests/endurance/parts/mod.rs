//! What is done to a server, and what is to hold meanwhile.

pub mod balance;
pub mod builds;
pub mod changes;
mod counters;
pub mod kills;
pub mod silence;

use crate::args::Args;
use crate::report::Column;
use crate::subject::Subject;

/// Does all that is wanted to a server, which may be broken at the end.
pub fn run(subject: &mut dyn Subject, args: &Args) -> Column {
    let mut column = Column::default();
    if args.wants("changes") {
        changes::run(subject, args, &mut column);
    }
    if args.wants("kills") {
        kills::run(subject, args, &mut column);
    }
    if args.wants("balance") {
        balance::run(subject, &mut column);
    }
    if args.wants("silence") {
        silence::run(subject, args, &mut column);
    }
    // The last, since a server may not survive it.
    if args.wants("builds") {
        builds::run(subject, args, &mut column);
    }
    column
}
