//! `zeron`: functions that wake from zero and follow the load.

mod address;
mod admin;
mod applet;
mod args;
mod check;
mod client;
mod cluster;
mod command;
mod control;
mod explain;
mod node;
mod output;
mod programs;
mod requires;
mod resolve;
mod settle;
mod signals;
mod store;
#[cfg(test)]
mod testkit;
mod watch;

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = applet::dispatch() {
        return code;
    }
    // An error: it was installed already, which nothing before this does.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    command::run(std::env::args_os())
}
