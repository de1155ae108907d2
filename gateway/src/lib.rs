//! gRPC services, identity, clock, streams, command line: the binary merit.

pub mod cli;
pub mod files;
pub mod meters;
pub mod push;
pub mod server;
pub mod settle;
