//! The map in memory and on the wire: how long a look-up takes, and how many bytes a map and its changes are.
//!
//! `cargo xtask bench map` prints the tables that `docs/placement.md` shows; the same `--seed` prints the same sizes.
//! `--quick` leaves the largest map out. `--check` fails if a frame is larger than it may be, or anything takes more than three
//! times its time.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark reads clocks, prints, and rounds"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aether_domain::policy::Strategy;
use aether_domain::{ActorId, ActorKind, ClusterUid, Epoch, Incarnation, Namespace, NodeId, NodeRef, Term};
use aether_placement::map::{Delta, MapNode, NodeNumber, NodeTable, ShardBits, ShardMap};
use aether_placement::table::ShardTable;
use aether_placement::wire::{
    CHUNK_BYTES_MAX, FRAME_BYTES_MAX, Frame, Origin, Received, Replica, delta_frames, nodes_frames, snapshot_frames,
};
use aether_placement::{NodeIdx, NodeView, PlacementInput, PlacementStrategy, ShardHash, StickyBalanced};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Random joins and leaves before anything is measured.
const CHURN_STEPS: u64 = 200;
/// What an id of 32 bytes may take to its node, in nanoseconds.
const ROUTE_NANOS_MAX: f64 = 3.0;
/// The most shards that are planned at once; a larger map is planned in parts.
const PLANNED_MAX: usize = 65_536;
/// Nodes that fail at once.
const FAILED: usize = 5;

/// The sizes: log2 of the shards, nodes, and what a snapshot's owners and a change of one node may be, in bytes.
const SIZES: [(u8, usize, usize, usize); 5] = [
    (10, 10, 700, 300),
    (10, 100, 1_000, 300),
    (16, 100, 58_000, 2_000),
    (16, 1_000, 82_000, 300),
    (20, 1_000, 1_311_000, CHUNK_BYTES_MAX),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let (quick, check) = (has("--quick"), has("--check"));
    let at = arguments.iter().position(|argument| argument == "--seed").map(|at| at + 1);
    let seed: u64 = at.and_then(|at| arguments.get(at)).map_or(1, |text| text.parse().expect("a number"));
    let sizes = || SIZES.into_iter().filter(|(log2, ..)| !quick || *log2 < 20);
    let worlds: Vec<_> = sizes().map(|(log2, nodes, ..)| World::churned(log2, nodes, seed)).collect();
    let mut missed = Vec::new();
    println!("| look-up, ns | {} |", worlds.iter().map(World::name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(worlds.len()));
    for (name, most, nanos) in LOOKUPS {
        let all: Vec<f64> = worlds.iter().map(nanos).collect();
        println!("| {name} | {} |", all.iter().map(|nanos| format!("{nanos:.2}")).collect::<Vec<_>>().join(" | "));
        // Beyond the caches a look-up takes what memory takes.
        let judged = worlds.iter().zip(&all).filter(|(world, _)| world.map.shards().log2() <= 16);
        missed.extend(
            judged
                .filter(|(_, nanos)| **nanos > 3.0 * most)
                .map(|(world, nanos)| format!("{name}, {}: {nanos:.2} ns", world.name())),
        );
    }
    println!(
        "\n| shards, nodes | table | owners | snapshot | frames | largest | join (moves) | leave | {FAILED} fail | a third \
         fails | largest |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for ((.., owners_max, change_max), world) in sizes().zip(&worlds) {
        missed.extend(world.sizes(owners_max, change_max));
    }
    println!(
        "\n| shards, nodes | write | read | follow | digest anew | join: write | read | apply |\n\
         |---|---|---|---|---|---|---|---|"
    );
    worlds.iter().for_each(World::times);
    assert!(!check || missed.is_empty(), "missed: {missed:#?}");
}

/// What is timed, what it may take, and how it is.
type Lookup = (&'static str, f64, fn(&World) -> f64);
const LOOKUPS: [Lookup; 6] = [
    ("XXH3 of 32 bytes", f64::INFINITY, |world| world.looked_up(|ids, seed, nth| xxh3_64_with_seed(&ids[nth], seed))),
    ("plain array", f64::INFINITY, |world| {
        let (plain, shift) = (world.plain(), 64 - world.map.shards().log2());
        world.looked_up(|_, _, nth| plain[(spread(nth) >> shift) as usize].into())
    }),
    ("table", f64::INFINITY, |world| {
        let routes = world.table.routes();
        world.looked_up(|_, _, nth| number(routes.route(spread(nth)).owner()))
    }),
    ("XXH3, plain array", f64::INFINITY, |world| {
        let (plain, shift) = (world.plain(), 64 - world.map.shards().log2());
        world.looked_up(|ids, seed, nth| plain[(xxh3_64_with_seed(&ids[nth], seed) >> shift) as usize].into())
    }),
    ("**XXH3, table**", ROUTE_NANOS_MAX, |world| {
        let routes = world.table.routes();
        world.looked_up(|ids, seed, nth| number(routes.route(xxh3_64_with_seed(&ids[nth], seed)).owner()))
    }),
    ("actor's hash, table", f64::INFINITY, |world| {
        let routes = world.table.routes();
        let hash = ShardHash::v1(world.seed, &Namespace::new("bank").expect("a namespace"));
        let kind = ActorKind::new("account").expect("a kind");
        let text = |id: &[u8; 32]| std::str::from_utf8(id).expect("digits").to_owned();
        let ids: Vec<ActorId> = ids().iter().map(|id| ActorId::new(text(id)).expect("an id")).collect();
        world.looked_up(|_, _, nth| number(routes.route(hash.hash(&kind, &ids[nth])).owner()))
    }),
];

fn number(owner: Option<NodeNumber>) -> u64 {
    owner.map_or(u64::MAX, |owner| owner.0.into())
}

/// A hash that costs next to nothing.
fn spread(nth: usize) -> u64 {
    (nth as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn ids() -> Vec<[u8; 32]> {
    let id = |nth: usize| format!("{nth:032x}").into_bytes().try_into().expect("32 digits");
    (0..4_096).map(id).collect()
}

/// A map, its nodes, and time passing in them.
struct World {
    seed: u64,
    map: ShardMap,
    table: ShardTable,
    /// Nodes that serve, by number.
    nodes: BTreeMap<NodeNumber, NodeView>,
    born: u64,
}

impl World {
    /// After many joins and leaves, with as many nodes as at first.
    fn churned(log2: u8, nodes: usize, seed: u64) -> Self {
        let shards = ShardBits::new(log2).expect("at most 20");
        let map = ShardMap::empty(shards, Arc::new(NodeTable::default()));
        let mut world = Self { seed, table: ShardTable::new(map.clone()), map, nodes: BTreeMap::new(), born: 0 };
        world.change(nodes, &[]);
        for step in 0..CHURN_STEPS {
            let joins = match world.nodes.len() {
                alive if alive <= nodes.div_ceil(2) => true,
                alive if alive >= 2 * nodes => false,
                _ => xxh3_64_with_seed(&step.to_le_bytes(), seed).is_multiple_of(2),
            };
            let gone = world.drawn(1, step);
            if joins {
                world.change(1, &[])
            } else {
                world.change(0, &gone)
            };
        }
        match world.nodes.len() {
            alive if alive < nodes => world.change(nodes - alive, &[]),
            alive => world.change(0, &world.drawn(alive - nodes, CHURN_STEPS)),
        };
        world.table = ShardTable::new(world.map.clone());
        world
    }

    fn name(&self) -> String {
        format!("{}, {}", self.map.shards().count(), self.nodes.len())
    }

    /// So many nodes drawn by `draw`.
    fn drawn(&self, count: usize, draw: u64) -> Vec<NodeNumber> {
        let key = |number: &NodeNumber| xxh3_64_with_seed(&number.0.to_le_bytes(), self.seed ^ draw << 8);
        let mut all: Vec<NodeNumber> = self.nodes.keys().copied().collect();
        all.sort_by_key(key);
        all.truncate(count);
        all
    }

    /// Some nodes join, some are gone, and the plan is carried out in one change of the map.
    fn change(&mut self, joining: usize, gone: &[NodeNumber]) -> Delta {
        let mut places = self.map.nodes().places().to_vec();
        for _ in 0..joining {
            let id = NodeId::new(format!("node-{:x}", self.born)).expect("a name");
            let node = NodeRef { node: id.clone(), incarnation: Incarnation(spread(self.born as usize + 1)) };
            self.born += 1;
            let at = places.iter().position(Option::is_none).unwrap_or(places.len());
            if at == places.len() {
                places.push(None);
            }
            places[at] = Some(MapNode { node, zone: None });
            self.nodes.insert(NodeNumber(at as u16), NodeView::new(id));
        }
        self.adopt(places.clone());
        for number in gone {
            self.nodes.remove(number);
            places[number.index()] = None;
        }
        let delta = self.planned();
        self.map.apply(&delta).expect("it fits");
        self.adopt(places);
        delta
    }

    fn adopt(&mut self, places: Vec<Option<MapNode>>) {
        if places != self.map.nodes().places() {
            let table = NodeTable::new(self.map.nodes().version() + 1, places).expect("few nodes");
            self.map.adopt(Arc::new(table)).expect("nobody uses a number that is free");
        }
    }

    /// What the sticky strategy does, planned in parts if there are more shards than it plans at once.
    fn planned(&self) -> Delta {
        let numbers: Vec<NodeNumber> = self.nodes.keys().copied().collect();
        let nodes: Vec<NodeView> = self.nodes.values().cloned().collect();
        let mut index = vec![None; self.map.nodes().places().len()];
        for (at, number) in (0..).zip(&numbers) {
            index[number.index()] = Some(NodeIdx(at));
        }
        let owner = |owner: &Option<(NodeNumber, Epoch)>| owner.and_then(|(number, _)| index[number.index()]);
        let mut given = Vec::new();
        for (nth, part) in (0_u32..).zip(self.map.owners().chunks(PLANNED_MAX)) {
            let current: Vec<_> = part.iter().map(owner).collect();
            let seed = self.seed ^ u64::from(nth);
            let input = PlacementInput { seed, current: &current, nodes: &nodes, ..Default::default() };
            let first = nth * PLANNED_MAX as u32;
            let moves = StickyBalanced.plan(&input).expect("somebody is receiving").moves;
            let to = moves.iter().map(|step| (first + u32::from(step.shard.0), Some(numbers[step.to.index()])));
            given.extend(to);
        }
        given.sort_unstable();
        let base = self.map.version();
        Delta { base, version: base.next(), given, begun: Vec::new() }
    }

    /// What a change from here would be, and the map after it.
    fn changed(&self, joining: usize, gone: usize) -> (Delta, ShardMap) {
        let (map, nodes) = (self.map.clone(), self.nodes.clone());
        let mut after = Self { map, nodes, table: ShardTable::new(self.map.clone()), ..*self };
        let gone = after.drawn(gone, 77);
        let delta = after.change(joining, &gone);
        (delta, after.map)
    }

    fn plain(&self) -> Vec<u16> {
        self.map.owners().iter().map(|owner| number(owner.map(|(number, _)| number)) as u16).collect()
    }

    /// Nanoseconds for one of very many, the best of some rounds.
    fn looked_up(&self, each: impl Fn(&[[u8; 32]], u64, usize) -> u64) -> f64 {
        let ids = ids();
        let rounds = (0..9).map(|_| {
            let began = Instant::now();
            let mut sum = 0_u64;
            for _ in 0..50 {
                for nth in 0..ids.len() {
                    sum = sum.wrapping_add(each(&ids, self.seed, nth));
                }
            }
            black_box(sum);
            began.elapsed().as_secs_f64() * 1e9 / (50 * ids.len()) as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    }

    fn bytes_max(&self) -> usize {
        if self.map.shards().log2() > 16 { CHUNK_BYTES_MAX } else { FRAME_BYTES_MAX }
    }

    /// Prints the sizes, and says what is too large.
    fn sizes(&self, owners_max: usize, change_max: usize) -> Vec<String> {
        let (origin, strategy) = spoken();
        let table = nodes_frames(origin, self.map.nodes(), self.bytes_max()).expect("it can be written");
        let whole = snapshot_frames(origin, &strategy, &self.map, self.bytes_max()).expect("it can be written");
        let width = (self.map.nodes().places().len() + 1).next_power_of_two().ilog2() as usize;
        let owners = (self.map.shards().count() * width).div_ceil(8);
        let third = self.nodes.len() / 3;
        let changes = [(1, 0), (0, 1), (0, FAILED), (0, third)].map(|(joining, gone)| {
            let (delta, after) = self.changed(joining, gone);
            let frames = delta_frames(origin, &strategy, &after, &delta, self.bytes_max()).expect("it can be written");
            (delta.given.len(), frames)
        });
        let sum = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).sum::<usize>();
        let largest = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |(moves, frames): &(usize, Vec<Vec<u8>>)| format!("{} ({moves})", sum(frames));
        println!(
            "| {} | {} | {owners} | {} | {} | {} | {} | {} |",
            self.name(),
            sum(&table),
            sum(&whole),
            whole.len(),
            largest(&whole),
            changes.each_ref().map(cell).join(" | "),
            largest(&changes[3].1),
        );
        let most = [("owners", owners, owners_max), ("join", sum(&changes[0].1), change_max)];
        let most = most.into_iter().chain([("leave", sum(&changes[1].1), change_max)]);
        let too_large = most.filter(|(_, is, most)| is > most);
        too_large.map(|(what, is, most)| format!("{}: {what} {is} bytes, not {most}", self.name())).collect()
    }

    /// Prints what a snapshot and the change of a join take.
    fn times(&self) {
        let (origin, strategy) = spoken();
        let bytes_max = self.bytes_max();
        let whole = || snapshot_frames(origin, &strategy, &self.map, bytes_max).expect("it can be written");
        let table = nodes_frames(origin, self.map.nodes(), bytes_max).expect("it can be written");
        let frames = whole();
        let follow = |replica: &mut Replica, frames: &[Vec<u8>]| {
            frames.iter().fold(None, |_, frame| Some(replica.receive(frame).expect("it fits")))
        };
        let fresh = || {
            let mut replica = Replica::new(origin.cluster, self.map.shards());
            follow(&mut replica, &table);
            replica
        };
        let read = |frames: &[Vec<u8>]| frames.iter().all(|frame| Frame::decode(frame).is_ok());
        // The node table has the newcomer before the change does.
        let (join, after) = self.changed(1, 0);
        let mut before = self.map.clone();
        before.adopt(after.nodes().clone()).expect("a number that was free");
        let joined = || delta_frames(origin, &strategy, &after, &join, bytes_max).expect("it can be written");
        let join_frames = joined();
        let anew = || {
            let (owners, leaving) = (self.map.owners().to_vec(), self.map.leaving().clone());
            ShardMap::new(self.map.version(), self.map.nodes().clone(), owners, leaving).map(|map| map.digest())
        };
        let mut table = ShardTable::new(before.clone());
        let applied = best(|| {
            table.replace(before.clone()).expect("as many shards");
            let began = Instant::now();
            black_box(table.apply(&join)).expect("it fits");
            began.elapsed().as_secs_f64()
        });
        let followed = best(|| {
            let mut replica = fresh();
            let began = Instant::now();
            let received = follow(&mut replica, &frames);
            let took = began.elapsed().as_secs_f64();
            assert_eq!(received, Some(Received::Snapshot));
            took
        });
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.name(),
            micros(timed(whole)),
            micros(timed(|| read(&frames))),
            micros(followed),
            micros(timed(anew)),
            micros(timed(joined)),
            micros(timed(|| read(&join_frames))),
            micros(applied),
        );
    }
}

fn spoken() -> (Origin, Strategy) {
    let origin = Origin { cluster: ClusterUid(u128::MAX / 3), term: Term(7) };
    (origin, "sticky-balanced/1".parse().expect("a strategy"))
}

/// The best of some rounds, in seconds.
fn best(round: impl FnMut() -> f64) -> f64 {
    std::iter::repeat_with(round).take(7).fold(f64::INFINITY, f64::min)
}

fn timed<T>(what: impl Fn() -> T) -> f64 {
    best(|| {
        let began = Instant::now();
        black_box(what());
        began.elapsed().as_secs_f64()
    })
}

fn micros(seconds: f64) -> String {
    let micros = seconds * 1e6;
    if micros < 1_000.0 { format!("{micros:.1} us") } else { format!("{:.1} ms", micros / 1_000.0) }
}
