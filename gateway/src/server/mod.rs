//! The node: from a connection at the door to a durable command and back.

pub mod background;
pub mod bootstrap;
pub mod certificate;
pub mod clock;
pub mod config;
pub mod convert;
pub mod door;
pub mod exchange;
pub mod identity;
pub mod inbox;
pub mod layer;
pub mod link;
pub mod node;
pub mod read_model;
pub mod run;
pub mod services;
pub mod signing;
pub mod snapshots;
pub mod status;
pub mod streams;
pub mod tls;
pub mod work;
