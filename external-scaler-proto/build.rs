//! Generates client and server from the protocol file, without protoc, and keeps its description.

use std::error::Error;
use std::path::Path;

use protox::prost::Message;

const FILE: &str = "proto/externalscaler.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FILE}");
    let files = protox::compile([FILE], ["proto"])?;
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    std::fs::write(
        Path::new(&folder).join("externalscaler.bin"),
        files.encode_to_vec(),
    )?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
