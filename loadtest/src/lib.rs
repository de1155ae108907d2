//! A crowd of members over real gRPC.
