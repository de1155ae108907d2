//! The contract, `merit/v1`, as Rust: what members, the dispatch centre, the clearing house and operators
//! may say to the exchange and hear from it.
//!
//! The words are in `merit/v1/*.proto`; start with `common.proto`, which fixes units, names, refusals and
//! positions in streams. `merit/v1/descriptor.txt` is the same in one list. Everything in [`v1`] is generated.
//!
//! # Deliberately absent
//!
//! - **A transport.** Who connects brings a channel; who serves brings a listener.
//! - **Conversions.** The market's own types are the gateway's business.

pub mod reflection;

/// Package `merit.v1`, generated.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/merit.v1.rs"));
}

/// The part of etcd's API that leases need, generated. No part of the contract.
#[allow(missing_docs, clippy::enum_variant_names, reason = "names and numbers are etcd's")]
pub mod etcd {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// The compiled contract with its comments: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/merit_v1_descriptor.bin"));

/// Domain of every `google.rpc.ErrorInfo` that the exchange sends.
pub const ERROR_DOMAIN: &str = "merit";
