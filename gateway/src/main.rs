//! The binary `merit`: one command line for the exchange.

fn main() {}
