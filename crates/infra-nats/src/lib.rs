//! The ports of `aether-domain` on NATS JetStream.

mod base64url;
pub mod names;
mod wire;
