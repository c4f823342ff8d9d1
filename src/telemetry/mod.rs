//! What the server tells about itself: log lines, access lines, and the board
//! of counters that all its processes share.

mod access;
mod board;
mod log;
mod outlet;

pub use access::{AccessLog, create as create_access_log};
pub use board::{Account, Board, Load, SLOTS, ServerState, Slot, SlotState, Standing};
pub use log::{descriptor as log_descriptor, init as init_log, silence};
pub use outlet::{clear_progress, show_progress};
