//! The suite over the in-memory adapter, in both manners.

use std::sync::Arc;

use aether_contract::memory::MemoryWorld;
use aether_contract::{cases, run};
use aether_infra_memory::Manner;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_in_the_manner_of_one_replica_keeps_the_contract() {
    run(Arc::new(MemoryWorld::new(Manner::R1)), cases::all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_in_the_manner_of_three_replicas_keeps_the_contract() {
    run(Arc::new(MemoryWorld::new(Manner::R3)), cases::all()).await;
}
