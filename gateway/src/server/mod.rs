//! The node: from a connection at the door to a durable command and back.

pub mod certificate;
pub mod door;
pub mod identity;
pub mod tls;
