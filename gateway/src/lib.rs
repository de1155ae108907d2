//! gRPC services, identity, clock, streams, command line: the binary merit.
