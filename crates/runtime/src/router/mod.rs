//! Routing: from any caller on this node to whichever node owns the actor's shard, and back.
//!
//! [`machine`] decides, one small machine a shard; the service keeps the machines, the links and the node's inbox.
//! Nodes never forward: whoever is asked answers, or says who to ask. What is promised: a `tell` at most once; an
//! `ask` effectively once for commands that commit at least one record, run again harmlessly otherwise.

mod ask;
pub mod bounds;
mod budget;
mod machine;
mod window;
