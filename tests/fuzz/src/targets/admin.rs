//! Whatever may come over a connection to the admin pages, those that ask something of the cluster included.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use aether::admin::{Pages, Picture, Source, converse};
use aether::config::Secret;
use aether_domain::ShardId;
use aether_domain::ports::ControlStore;
use aether_runtime::projection::Why;
use aether_runtime::subscription::{Since, TopologyEvents};
use tokio::runtime::{Builder, Runtime};

use super::BYTES_MAX;
use crate::{Allowance, Decoded, Shape, Target};

#[path = "../../../../crates/aether/tests/aether/sample.rs"]
mod sample;

/// What the corpus knows it by.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Longer than any page waits: for the log, or for a body that does not come.
const PATIENCE: Duration = Duration::from_secs(6);

pub(super) fn targets() -> Vec<Target> {
    // Buffers of a connection, and pages: a request of 16 bytes is answered with the dashboard's 46 KiB, and this keeps the answers
    // in a list that doubles.
    let allowance = Allowance { times: 16 * 1024, room: 1024 * 1024 };
    let target = |name, read| Target { name, shape: Shape::Plain, golden: &[], allowance, bytes_max: BYTES_MAX, read };
    vec![target("admin-http", http)]
}

struct Operated {
    still: sample::Still,
    control: Arc<dyn ControlStore>,
}

impl Source for Operated {
    fn picture(&self) -> Option<Picture> {
        self.still.picture()
    }
    fn topology_events(&self, since: Since) -> Option<TopologyEvents> {
        self.still.topology_events(since)
    }
    fn why(&self, shard: ShardId) -> Option<Why> {
        self.still.why(shard)
    }
    fn control(&self) -> Option<Arc<dyn ControlStore>> {
        Some(Arc::clone(&self.control))
    }
}

thread_local! {
    static SERVER: RefCell<Option<(Runtime, Pages)>> = const { RefCell::new(None) };
}

fn server() -> (Runtime, Pages) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let control = aether::MemoryHub::new().ports(&sample::node("n1").node).control;
    let source = Arc::new(Operated { still: sample::Still(Some(sample::picture())), control });
    (runtime, Pages::of_operated_node(source, Some(Secret::new(TOKEN))))
}

fn http(bytes: &[u8]) -> Decoded {
    let heard = SERVER.with_borrow_mut(|server_of_thread| {
        let (runtime, pages) = server_of_thread.get_or_insert_with(server);
        runtime.block_on(converse(pages.clone(), bytes, PATIENCE))
    });
    let status = heard.get(..12).map(|line| String::from_utf8_lossy(line).into_owned()).ok_or("no answer")?;
    if !status.starts_with("HTTP/1.1 2") && !status.starts_with("HTTP/1.1 5") {
        return Err(status);
    }
    let ours = ["HTTP/1.1 200", "HTTP/1.1 202", "HTTP/1.1 503", "HTTP/1.1 504"].contains(&status.as_str());
    Ok(Box::new(move || if ours { Ok(()) } else { Err(format!("the answer is {status}")) }))
}
