//! Several askers number what they ask of a few actors and wait for no answer, while the actors' shards move in good order on
//! real processes: everything is there once, in the order in which each of them asked it.

use aether_cluster_tests::timelines::{
    Conditions,
    order::{Mover, play},
};
use anyhow::{Result, ensure};
use xtask::cluster::Profile;

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");

fn ordered(replicas: usize, mover: Mover) -> Result<()> {
    let program = PROGRAM.into();
    let conditions = Conditions { program, nodes: 3, replicas, profile: Profile::Fast, supervised: false, load: 1 };
    let ordered = play(&conditions, mover)?;
    ensure!(ordered.moved >= 3 && ordered.agreed.done > 1_000, "too little happened: {ordered:?}");
    Ok(())
}

#[test]
fn on_one_server_every_askers_order_holds_across_planned_moves() -> Result<()> {
    ordered(1, Mover::Operator)
}

#[test]
fn on_one_server_every_askers_order_holds_across_a_rolling_restart() -> Result<()> {
    ordered(1, Mover::Restarts)
}

#[test]
fn on_three_servers_every_askers_order_holds_across_planned_moves() -> Result<()> {
    ordered(3, Mover::Operator)
}

#[test]
fn on_three_servers_every_askers_order_holds_across_a_rolling_restart() -> Result<()> {
    ordered(3, Mover::Restarts)
}
