//! What one seed means: everything about a run that is decided before it begins.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::timing::Profile;
use aether_domain::{NodeId, ShardCount};
use aether_infra_memory::Manner;
use aether_infra_memory::fabric::{Faults, PerMille};
use aether_runtime::control::OnRegression;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::act::{Act, Spoiled, Target};
use crate::clock::NodeClock;
use crate::{orders, placement};

/// How many kinds of act there are to draw from.
const KINDS: u8 = 20;
/// The most nodes of one run, unless more are wanted.
const NODES_MAX: usize = 5;
/// Elections of the server's streams end this long before everything heals: one lasts at most 9 s.
pub(crate) const CALM_BEFORE_HEALING: Duration = Duration::from_secs(10);

/// What is asked of every seed; what is not asked is drawn.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How long faults strike.
    pub faults_last: Option<Duration>,
    /// How many nodes there are, at least 3 and at most 128.
    pub nodes: RangeInclusive<usize>,
    /// The cluster's timers.
    pub profile: Option<Profile>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { faults_last: None, nodes: 3..=NODES_MAX, profile: None }
    }
}

/// Everything about a run that is decided before it begins.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the machines' and the fabric's dice are seeded with.
    pub seed: u64,
    /// The cluster's timers.
    pub profile: Profile,
    /// How many shards it has.
    pub shards: ShardCount,
    /// Each node's clock; as many nodes can take part.
    pub clocks: Vec<NodeClock>,
    /// When the first nodes start, by number; the others join later, if at all.
    pub starts: Vec<Duration>,
    /// Which server is imitated.
    pub manner: Manner,
    /// How the server and the ways to it misbehave until everything heals.
    pub faults: Faults,
    /// How late a node notices that it is to wake up.
    pub lag: RangeInclusive<Duration>,
    /// How long a node takes to release a shard.
    pub release: RangeInclusive<Duration>,
    /// What is done to nodes, in order of time.
    pub acts: Vec<(Duration, Act)>,
    /// When everything heals.
    pub heals_at: Duration,
    /// Whether clocks tick apart more than they may: then only what needs no clock is demanded (Tier S), and rest.
    pub beyond: bool,
    /// Whether processes that have ended may be started again when everything heals.
    pub revives: bool,
    /// Whether processes have supervisors, which write that they are dead.
    pub supervised: bool,
    /// What nodes do once a store has surely lost what it had acknowledged.
    pub on_regression: OnRegression,
    /// What the nodes are like, where they are not all alike.
    pub infos: BTreeMap<NodeId, NodeInfo>,
}

impl Scenario {
    /// What that seed means. Unless told otherwise, faults strike for 3 to 5 minutes and 3 to 5 nodes have the default
    /// timers or the fast ones.
    pub fn draw(seed: u64, wanted: &Wanted) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        let nodes = dice.random_range(wanted.nodes.clone());
        let drawn = ms(dice.random_range(180_000..=300_000));
        let heals_at = wanted.faults_last.unwrap_or(drawn);
        let quiet = dice.random_ratio(1, 5);
        let mut faults = if quiet { Faults::none() } else { Faults::draw(&mut dice) };
        if !quiet && dice.random_ratio(1, 6) {
            faults.ghost = PerMille(dice.random_range(100..=300));
            faults.ack_lost = PerMille(dice.random_range(100..=300));
        }
        let first = dice.random_range(1..=nodes);
        let profile = if dice.random_ratio(2, 3) { Profile::Default } else { Profile::Fast };
        let beyond = dice.random_ratio(1, 16);
        let apart_ppm = if beyond { 200_000 } else { 50_000 };
        let machines = NODES_MAX.max(*wanted.nodes.end());
        let (infos, wants) = placement::draw(seed, machines, heals_at);
        let drawn = Self {
            seed,
            profile: wanted.profile.unwrap_or(profile),
            shards: ShardCount::new(1 << dice.random_range(6..=10)).unwrap_or_default(),
            clocks: (0..machines).map(|_| draw_clock(&mut dice, apart_ppm)).collect(),
            starts: (0..first).map(|_| ms(dice.random_range(0..3_000))).collect(),
            manner: if dice.random_ratio(1, 2) { Manner::R1 } else { Manner::R3 },
            faults,
            lag: Duration::ZERO..=ms(if dice.random_ratio(1, 6) { 200 } else { 2 }),
            release: match dice.random_range(0..4) {
                0 => Duration::ZERO..=Duration::ZERO,
                1 => ms(1)..=secs(8),
                _ => Duration::ZERO..=ms(50),
            },
            acts: draw_acts(&mut dice, heals_at),
            heals_at,
            beyond,
            revives: true,
            supervised: dice.random_ratio(1, 2),
            on_regression: OnRegression::Halt,
            infos,
        };
        let mut acts = drawn.acts;
        acts.extend(wants);
        acts.extend(orders::draw(seed, heals_at));
        acts.extend(draw_stuck(seed, heals_at));
        acts.sort_by_key(|(at, _)| *at);
        Self { acts, ..drawn }
    }

    /// A scenario without a fault: that many nodes with true clocks, 256 shards, and rest demanded after one minute.
    /// Scripted runs add to it.
    pub fn calm(seed: u64, nodes: usize) -> Self {
        let true_clock = NodeClock { offset: Duration::from_secs(1_000), rate_ppm: 1_000_000, wall_millis_ahead: 0 };
        Self {
            seed,
            profile: Profile::Default,
            shards: ShardCount::new(256).unwrap_or_default(),
            clocks: vec![true_clock; nodes],
            starts: vec![Duration::ZERO; nodes],
            manner: Manner::R1,
            faults: Faults::none(),
            lag: Duration::ZERO..=Duration::ZERO,
            release: Duration::ZERO..=Duration::ZERO,
            acts: Vec::new(),
            heals_at: Duration::from_secs(60),
            beyond: false,
            revives: false,
            supervised: false,
            on_regression: OnRegression::Halt,
            infos: BTreeMap::new(),
        }
    }
}

/// A clock within so many millionths of true time.
fn draw_clock(dice: &mut impl Rng, apart_ppm: u32) -> NodeClock {
    NodeClock {
        offset: Duration::from_millis(dice.random_range(0..1_000_000_000)),
        rate_ppm: dice.random_range(1_000_000 - apart_ppm..=1_000_000 + apart_ppm),
        wall_millis_ahead: dice.random_range(0..10_000_000_000),
    }
}

/// Which kinds of act are on, how often one strikes, and then each of them.
fn draw_acts(dice: &mut impl Rng, until: Duration) -> Vec<(Duration, Act)> {
    let kinds: Vec<u8> = (0..KINDS).filter(|_| dice.random_ratio(3, 5)).collect();
    let gap_millis = dice.random_range(2_000..=40_000);
    let mut acts = Vec::new();
    let mut at = Duration::from_millis(dice.random_range(0..10_000));
    while at < until && !kinds.is_empty() {
        let kind = kinds[dice.random_range(0..kinds.len())];
        acts.push((at, draw_act(dice, kind)));
        at += Duration::from_millis(dice.random_range(0..2 * gap_millis));
    }
    acts
}

/// When nodes are unable to serve some of their shards: in two of three seeds never. It comes of dice of its own, so that a
/// seed without any of it is what it was.
fn draw_stuck(seed: u64, until: Duration) -> Vec<(Duration, Act)> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed ^ 0x0005_71C4);
    if dice.random_ratio(2, 3) {
        return Vec::new();
    }
    let times = dice.random_range(1..=6);
    let mut once = || {
        let of = if dice.random_ratio(1, 3) { Target::Leader } else { Target::Anybody };
        (until.mul_f64(dice.random_range(0.0..1.0)), Act::Stick { of, count: dice.random_range(1..=5) })
    };
    (0..times).map(|_| once()).collect()
}

fn draw_act(dice: &mut impl Rng, kind: u8) -> Act {
    let of = if dice.random_ratio(1, 2) { Target::Leader } else { Target::Anybody };
    let long = Duration::from_millis(dice.random_range(100..=30_000));
    let restart_after = dice.random_ratio(2, 3).then_some(long);
    match kind {
        0 => Act::Crash { of: Target::Leader, restart_after },
        1 => Act::Crash { of: Target::Anybody, restart_after },
        2 => Act::Freeze { of, lasts: long, half_way: false },
        3 => Act::Freeze { of, lasts: long, half_way: true },
        4 => Act::Cut { of, lasts: long },
        5 => Act::Outage { lasts: long },
        6 => Act::Reset { of },
        7 => Act::Drain { of, restart_after },
        8 => Act::DrainAll { restart_after },
        9 => Act::CrashAll { restart_after: long },
        11 => Act::FreezeAll { lasts: long },
        12 => Act::JumpWall { of, forward: dice.random_ratio(1, 2) },
        13 => {
            let kinds = [Spoiled::Lease, Spoiled::Member, Spoiled::Release];
            Act::Spoil { of, what: kinds[dice.random_range(0..kinds.len())] }
        }
        14 => Act::Slow { of, lag: Duration::from_millis(dice.random_range(50..=3_000)), lasts: long },
        15 => Act::Collapse { restart_after },
        18 => Act::Gray { of, lasts: long * 6 },
        16 => Act::Stranger,
        17 => Act::Skip { of, after: long },
        10 => {
            let late = if dice.random_ratio(1, 2) { 500 } else { 8_000 };
            Act::Replace { of, lasts: long, after: Duration::from_millis(dice.random_range(0..late)) }
        }
        _ => Act::Join,
    }
}
