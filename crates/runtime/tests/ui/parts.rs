//! What `lamp.rs` is made of, as one library with a name that the compiler finds.

pub use aether_runtime;
pub use serde;
