//! The source or the destination of a move is killed or frozen in each phase of it, on real processes: the shard is served by
//! somebody who is well within twice the time that a source has, no shard is without an owner, and nothing that was
//! acknowledged is lost or there twice.

use aether_cluster_tests::timelines::{
    Conditions,
    phases::{Fault, Phase, Scene, Who, play},
};
use anyhow::{Result, ensure};
use xtask::cluster::Profile;

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

/// Whoever fails, however.
const ALL: [(Who, Fault); 4] = [
    (Who::Source, Fault::Killed),
    (Who::Source, Fault::Frozen),
    (Who::Destination, Fault::Killed),
    (Who::Destination, Fault::Frozen),
];

fn played(replicas: usize, scenes: &[Scene]) -> Result<()> {
    let program = PROGRAM.into();
    let conditions = Conditions { program, nodes: 4, replicas, profile: Profile::Fast, supervised: false, load: 1 };
    let agreed = play(&conditions, scenes)?;
    ensure!(agreed.done > 100 && agreed.seen > 0, "too little was asked: {agreed}");
    Ok(())
}

fn all_in(phase: Phase) -> Vec<Scene> {
    ALL.into_iter().map(|(who, fault)| (phase, who, fault)).collect()
}

#[test]
fn whoever_fails_while_the_source_drains_the_shard_is_served_in_time_and_nothing_is_lost() -> Result<()> {
    played(1, &all_in(Phase::Draining))
}

#[test]
fn a_node_that_freezes_while_sending_state_loses_nothing_and_wakes_up_as_nobodys_owner() -> Result<()> {
    played(1, &[(Phase::Sending, Who::Source, Fault::Frozen)])
}

#[test]
fn whoever_else_fails_while_state_is_sent_the_shard_is_served_in_time_and_nothing_is_lost() -> Result<()> {
    let scenes: Vec<_> =
        all_in(Phase::Sending).into_iter().filter(|scene| (scene.1, scene.2) != (Who::Source, Fault::Frozen)).collect();
    played(1, &scenes)
}

#[test]
fn whoever_fails_between_release_and_assignment_the_shard_is_served_in_time_and_nothing_is_lost() -> Result<()> {
    played(1, &all_in(Phase::Released))
}

#[test]
fn whoever_fails_before_the_destination_knows_that_it_owns_the_shard_it_is_served_in_time_and_nothing_is_lost()
-> Result<()> {
    played(1, &all_in(Phase::Assigned))
}

#[test]
fn on_three_servers_whoever_fails_in_the_middle_of_a_move_nothing_is_lost() -> Result<()> {
    let (killed, frozen) = (Fault::Killed, Fault::Frozen);
    played(3, &[(Phase::Sending, Who::Source, frozen), (Phase::Released, Who::Destination, killed)])
}
