//! Handlers that run too long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aether_domain::ShardId;
use aether_infra_memory::MemoryHub;
use aether_runtime::shard::{StuckHandler, Watchdog};

use crate::bank::{Balance, Nap};
use crate::desk::Desk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_named_when_it_is_slow_and_ends_its_process_when_it_does_not_end() {
    let hub = MemoryHub::new();
    let desk = Desk::open(&hub, "a", 1);
    let ended = Arc::new(Mutex::new(Vec::<StuckHandler>::new()));
    let end = {
        let ended = ended.clone();
        Arc::new(move |stuck: &StuckHandler| ended.lock().expect("no panic").push(stuck.clone()))
    };
    let (slow_after, end_after) = (Duration::from_millis(100), Duration::from_millis(500));
    desk.host.watch_handlers(Watchdog { slow_after, end_after, end }).expect("a thread");
    let slow = || (desk.host.stats().slow_handlers, ended.lock().expect("no panic").len());
    for _ in 0..20 {
        assert_eq!(desk.ask(2, Nap(10)).await, Ok(()));
    }
    assert_eq!(slow(), (0, 0), "many quick ones are not a slow one");
    assert_eq!(desk.ask(2, Nap(300)).await, Ok(()));
    assert_eq!(slow(), (1, 0));
    assert_eq!(desk.ask(6, Nap(2_000)).await, Ok(()));
    assert_eq!(desk.ask(6, Balance).await, Ok(0));
    assert_eq!(desk.host.stats().slow_handlers, 2);
    let ended = ended.lock().expect("no panic");
    let StuckHandler { shard, what, running } = &ended[0];
    assert_eq!((*shard, what.as_str()), (ShardId(2), "account nap 6"));
    assert!(*running >= end_after && *running < Duration::from_secs(2), "{running:?}");
}
