//! Prints what moves when a node joins a full cluster, and what the ring alone would have moved.
//!
//! `cargo run -p aether-placement --example plan -- 64 3` has 64 shards on 3 nodes (the default).
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;

use aether_domain::NodeId;
use aether_placement::{ConsistentHashRing150, NodeView, PlacementInput, PlacementStrategy, StickyBalanced};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let shards = args.next().map_or(Ok(64), |text| text.parse())?;
    let before = args.next().map_or(Ok(3), |text| text.parse::<usize>())?;

    let mut nodes = Vec::new();
    let mut owners = vec![None; shards];
    for round in [before, before + 1] {
        while nodes.len() < round {
            let id = NodeId::new(format!("n{}", nodes.len() + 1))?;
            nodes.push(NodeView::new(id));
        }
        let input = PlacementInput { seed: 1, current: &owners, nodes: &nodes, ..Default::default() };
        println!("{round} nodes");
        let plan = StickyBalanced.plan(&input)?;
        println!("{}", plan.describe(&nodes));
        let ring = ConsistentHashRing150.plan(&input)?.moves.len();
        let moves = plan.check(&input)?.into_moves();
        println!("moved {}, would move to follow the ring {ring}\n", moves.len());
        for step in moves {
            owners[step.shard.index()] = Some(step.to);
        }
    }
    Ok(())
}
