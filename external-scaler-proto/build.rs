//! Generates client and server from the protocol file, without protoc.

use std::error::Error;

const FILE: &str = "proto/externalscaler.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FILE}");
    let files = protox::compile([FILE], ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
