//! The contract of Souk: every package, message and RPC, compiled from souk/<service>/v1/*.proto.
