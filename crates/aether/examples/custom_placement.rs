//! A placement strategy of one's own: written, checked, asked for by an operator, adopted by the cluster.
//!
//! ```console
//! $ cargo run --example custom_placement
//! the strategy keeps its contract in 500 drawn cases
//! the cluster has adopted odd-even/1
//! n2 has joined: it was given 512 shards, every one of them odd
//! ```
//!
//! A strategy says which shards should move and nothing else. What it proposes is checked; if it is not legal the built-in one
//! stands in, and the log says so.

use aether::prelude::*;
use aether::{PlacementStrategy, Since, StrategyId, StreamExt as _};
use aether_domain::ShardId;
use aether_domain::policy::PlacementPolicy;
use aether_placement::{
    Move, MoveClass, NodeIdx, PlacementError, PlacementInput, PlacementPlan, Promise, check_strategy, minimum_moves,
};

/// Of two nodes the first has the even shards and the second the odd ones; with more nodes it goes on by turns.
struct OddEven;

impl PlacementStrategy for OddEven {
    fn id(&self) -> StrategyId {
        StrategyId { name: "odd-even", version: 1 }
    }

    fn plan(&self, input: &PlacementInput<'_>) -> Result<PlacementPlan, PlacementError> {
        let places = input.places()?; // refuses what contradicts itself, and when nobody receives
        let moving: Vec<_> = input.in_flight.iter().map(|moving| moving.shard).collect();
        let forced = places.forced();
        let mut moves = Vec::new();
        for (shard, from) in (0..).map(ShardId).zip(input.current.iter().copied()) {
            if moving.contains(&shard) {
                continue; // it is on its way already
            }
            // Pins, rules and nodes that leave are said by `allows`; the order of the nodes must not matter.
            let all = (0..).map(NodeIdx).take(input.nodes.len());
            let mut allowed: Vec<_> = all.filter(|to| places.allows(shard, *to)).collect();
            allowed.sort_by_key(|to| &input.nodes[to.index()].id);
            let Some(to) = allowed.get(shard.index() % allowed.len().max(1)).copied() else { continue };
            let class = forced.iter().find(|(forced, _)| *forced == shard).map(|(_, class)| *class);
            if from != Some(to) || class.is_some() {
                moves.push(Move { shard, from, to, class: class.unwrap_or(MoveClass::Balance) });
            }
        }
        Ok(PlacementPlan::new(moves, minimum_moves(input)?))
    }
}

async fn start(id: &str, hub: &MemoryHub) -> Result<Node, StartError> {
    let node = Node::builder(id).namespace("placement").profile(Profile::Fast).in_memory(hub);
    // Every node should know the same strategies: any of them may lead.
    node.strategy(OddEven).start().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases = 500;
    check_strategy(&OddEven, &[Promise::Settled], cases, 42)?;
    say(&format!("the strategy keeps its contract in {cases} drawn cases"));

    let hub = MemoryHub::new();
    let first = start("n1", &hub).await?;
    let mut events = first.topology_events(Since::Start);
    // On NATS: `aether placement apply FILE`, with `strategy = "odd-even/1"` in the file.
    let operator = hub.ports(first.id()).control;
    let wanted = PlacementPolicy { strategy: "odd-even/1".parse()?, ..PlacementPolicy::default() };
    aether::operator::place(&*operator, |_| wanted.clone()).await?;
    let adopted = loop {
        let record = events.next().await.expect("it goes on for ever")?;
        if let Some(adopted) = record.only(&["PlacementAdopted"]) {
            break adopted.epoch;
        }
    };
    say("the cluster has adopted odd-even/1");

    let mut migrations = first.shard_migrations(Since::Epoch(adopted));
    let second = start("n2", &hub).await?;
    let mut given = 0;
    while given < 512 {
        let moved = migrations.next().await.expect("it goes on for ever")?;
        assert_eq!(moved.to.node.as_str(), "n2");
        assert_eq!(moved.shard.index() % 2, 1, "{} is even", moved.shard);
        given += 1;
    }
    say(&format!("n2 has joined: it was given {given} shards, every one of them odd"));
    second.kill().await;
    first.kill().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn say(text: &str) {
    println!("{text}");
}
