//! The suite over the in-memory adapter, in both manners; and that the differential finds what there is to find.

mod erring;

use std::sync::Arc;

use aether_contract::differential::found;
use aether_contract::memory::MemoryWorld;
use aether_contract::{World, cases, run};
use aether_infra_memory::Manner;

use erring::{ErringWorld, Fault};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_in_the_manner_of_one_replica_keeps_the_contract() {
    run(Arc::new(MemoryWorld::new(Manner::R1)), cases::all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_in_the_manner_of_three_replicas_keeps_the_contract() {
    run(Arc::new(MemoryWorld::new(Manner::R3)), cases::all()).await;
}

/// The most steps that any of the planted faults needs to be seen.
const STEPS_MAX: usize = 3;

/// Sound memory stands for the nats-server, which it is held against elsewhere: so this takes moments, and errs nowhere else.
/// Time is virtual, for whoever waits for what is never told.
#[tokio::test(start_paused = true)]
async fn each_fault_that_is_planted_in_memory_is_found_within_60_sequences_and_told_by_a_few_steps() {
    let sound: Arc<dyn World> = Arc::new(MemoryWorld::new(Manner::R1));
    for fault in Fault::ALL {
        let worlds = [Arc::new(ErringWorld::new(fault)), sound.clone()];
        let mut first = None;
        for seed in 0..60 {
            first = found(&worlds, seed, 50).await.expect("memory is always there");
            if first.is_some() {
                break;
            }
        }
        let found = first.unwrap_or_else(|| panic!("{fault:?} is missed"));
        println!("{fault:?}: {found}");
        assert!(found.steps.len() <= STEPS_MAX, "{fault:?} takes more steps than it needs: {found}");
        let said = found.to_string();
        let listed = found.steps.iter().all(|step| said.contains(&format!("{step:?}")));
        assert!(listed && said.contains(&format!("seed {}", found.seed)), "{said}");
    }
    let sequences: Vec<_> = (0..20).collect();
    for seed in sequences {
        let none = found(&[sound.clone(), Arc::new(MemoryWorld::new(Manner::R1))], seed, 50).await;
        assert!(none.expect("memory is always there").is_none(), "sound memory is told apart from itself");
    }
}
