//! A server that is operated: steered by `wasgun ctl` and by signals, upgraded,
//! looked after by a service manager, and all that without losing a request.

#[path = "../support/mod.rs"]
mod support;

#[path = "../supervision/load.rs"]
mod load;
mod site;

mod activation;
mod control;
mod control_socket;
mod daemon;
mod draining;
mod interrupted;
mod manager;
mod pid_file;
mod recycling;
mod reloading;
mod replacing;
mod scaling;
mod upgrading;
mod watching;
