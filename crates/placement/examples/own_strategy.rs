//! A placement strategy of one's own, and how to check it: `cargo run -p aether-placement --example own_strategy`.
//!
//! It leaves every shard where it is, and gives those without a home to whoever has the fewest for its weight.
#![expect(clippy::print_stdout, reason = "an example talks")]

use aether_domain::NodeId;
use aether_placement::kit::Broken;
use aether_placement::{
    Move, MoveClass, NodeIdx, NodeState, NodeView, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy,
    Promise, StrategyId, check_strategy, minimum_moves,
};

struct StayAtHome;

impl PlacementStrategy for StayAtHome {
    fn id(&self) -> StrategyId {
        StrategyId { name: "stay-at-home", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let optimum = minimum_moves(input)?; // refuses what contradicts itself, and when nobody receives
        let mut held = vec![0_u64; input.nodes.len()];
        let moving = |at: usize| input.in_flight.iter().find(|moving| moving.shard.index() == at);
        let counted = |at: usize| moving(at).map(|moving| moving.to).or(input.current[at]);
        (0..input.current.len()).filter_map(counted).for_each(|node| held[node.index()] += 1);
        let mut moves = Vec::new();
        for (shard, owner) in (0..).map(aether_domain::ShardId).zip(input.current) {
            let class = match owner.map(|node| input.nodes[node.index()].state) {
                Some(NodeState::Receiving) => continue,
                Some(NodeState::Draining) => MoveClass::Drain,
                None => MoveClass::Orphan,
            };
            if moving(shard.index()).is_some() {
                continue;
            }
            let fullness = |(at, node): &(NodeIdx, &NodeView)| -> (u64, NodeId) {
                (held[at.index()] * 1_000 / u64::from(node.weight.get()), node.id.clone())
            };
            let receiving = (0..).map(NodeIdx).zip(input.nodes).filter(|(_, node)| node.state == NodeState::Receiving);
            let Some((to, _)) = receiving.min_by_key(fullness) else { continue };
            held[to.index()] += 1;
            moves.push(Move { shard, from: *owner, to, class });
        }
        Ok(PlacementPlan::new(moves, optimum))
    }
}

fn main() -> Result<(), Box<Broken>> {
    check_strategy(&StayAtHome, &[Promise::Settled], 1_000, 42)?;
    println!("it keeps the contract and leaves what it has placed");
    let broken = check_strategy(&StayAtHome, &[Promise::Balanced], 1_000, 42).expect_err("it never moves for balance");
    println!("it does not balance: {}", broken.what);
    Ok(())
}
