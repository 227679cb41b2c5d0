//! A placement strategy of one's own, and how to check it: `cargo run -p aether-placement --example own_strategy`.
//!
//! It leaves every shard where it is allowed, and gives the others to whoever of those allowed has the fewest for its weight.
#![expect(clippy::print_stdout, reason = "an example talks")]

use aether_placement::kit::Broken;
use aether_placement::{
    Move, NodeIdx, PlacementError, PlacementInput, PlacementPlan, PlacementStrategy, Promise, StrategyId,
    check_strategy, minimum_moves,
};

struct StayAtHome;

impl PlacementStrategy for StayAtHome {
    fn id(&self) -> StrategyId {
        StrategyId { name: "stay-at-home", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let places = input.places()?; // refuses what contradicts itself, and when nobody receives
        let mut held = vec![0_u64; input.nodes.len()];
        input.current.iter().flatten().for_each(|owner| held[owner.index()] += 1);
        let mut moves = Vec::new();
        for (shard, class) in places.forced() {
            let fullness = |to: &NodeIdx| {
                let node = &input.nodes[to.index()];
                (held[to.index()] * 1_000 / u64::from(node.weight.get()), &node.id)
            };
            let allowed = (0..).map(NodeIdx).take(input.nodes.len()).filter(|to| places.allows(shard, *to));
            let Some(to) = allowed.min_by_key(fullness) else { continue }; // somebody is, or it would not be forced
            held[to.index()] += 1;
            moves.push(Move { shard, from: input.current[shard.index()], to, class });
        }
        Ok(PlacementPlan::new(moves, minimum_moves(input)?))
    }
}

fn main() -> Result<(), Box<Broken>> {
    check_strategy(&StayAtHome, &[Promise::Settled], 1_000, 42)?;
    println!("it keeps the contract and leaves what it has placed");
    let broken = check_strategy(&StayAtHome, &[Promise::Balanced], 1_000, 42).expect_err("it never moves for balance");
    println!("it does not balance: {}", broken.what);
    Ok(())
}
