//! What the tests of whole clusters share: a cluster that ends with its test, a prober of every shard, the stored history.
//!
//! Each test has a folder, a namespace and servers of its own; everything listens on loopback. Processes are ended by
//! their recorded identity when the test ends, however it ends. After a failure the folder stays, and its place and the
//! last lines of each log are printed. Nothing here decides what is right: the tests do.
//!
//! Read next: [`Cluster`], [`Prober`], [`History`], [`Lone`]; then [`timelines`], with [`Observer`] and [`Link`];
//! then [`browser`] and [`Terminal`].

pub mod browser;
mod calls;
mod cluster;
mod history;
mod link;
mod lone;
mod observer;
pub mod odd;
mod operator;
mod probe;
mod routes;
mod terminal;
pub mod timelines;

pub use calls::{Call, Calls, all_answered, all_but, silences};
pub use cluster::{Cluster, Spec, alone};
pub use history::{History, Stored};
pub use link::{Carrier, Link, Weather};
pub use lone::{Ended, Lone, node_config};
pub use observer::{Observer, Seen};
pub use operator::Operator;
pub use probe::{Asking, Prober, SHARDS};
pub use routes::Routes;
pub use terminal::Terminal;
