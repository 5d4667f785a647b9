//! The edge over its real port, with stub services behind it.

#![allow(clippy::unwrap_used)] // The helpers of tests may panic as tests do.

mod cors;
mod grpc;
mod grpc_web;
mod http;
mod limiters;
mod limits;
mod limits_redis;
mod support;
