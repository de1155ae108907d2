//! Compiles the contract without protoc: protox reads the protos, prost and tonic write the Rust.

use prost::Message as _;
use std::path::PathBuf;

const FILES: [&str; 10] = [
    "merit/v1/common.proto",
    "merit/v1/orders.proto",
    "merit/v1/member.proto",
    "merit/v1/rules.proto",
    "merit/v1/market_data.proto",
    "merit/v1/dispatch.proto",
    "merit/v1/risk.proto",
    "merit/v1/settlement.proto",
    "merit/v1/operator.proto",
    "merit/v1/replication.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=merit/v1");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("merit_v1_descriptor.bin"), descriptors.encode_to_vec())?;
    // The channel belongs to whoever connects: the contract needs no transport.
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    // etcd's API is no part of the contract: a file of its own, and nothing of it in reflection.
    println!("cargo:rerun-if-changed=etcd");
    let etcd = protox::compile(["etcd/rpc.proto"], ["etcd"])?;
    tonic_prost_build::configure().build_transport(false).build_server(false).compile_fds(etcd)?;
    Ok(())
}
