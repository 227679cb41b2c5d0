//! One cluster through thousands of changes, with waves of moves that are carried out, called off or overtaken by the next
//! change. While nothing disturbs them, all waves together move what the first plan wanted to move, and not one shard more.

use std::collections::BTreeSet;

use aether_domain::policy::{Pin, ZoneMode};
use aether_domain::{NodeId, ShardId, Zone};
use aether_placement::kit::Drawn;
use aether_placement::{InFlight, Move, NodeIdx, NodeState, NodeView};

use crate::promises::{mixed, plan};

const SHARDS: usize = 192;
const NODES_MAX: u64 = 16;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Changes of nodes, pins or zones.
    pub(crate) changes: u32,
    /// Moves that ended.
    pub(crate) moves: u32,
    /// Moves that were called off.
    pub(crate) cancelled: u32,
    /// Times that everything planned was done before the next change.
    pub(crate) settled: u32,
}

struct Churn {
    seed: u64,
    rolls: u64,
    born: u64,
    world: Drawn,
    /// Moves that had begun when nothing was disturbed for the last time: what becomes of them is a change by itself.
    older: BTreeSet<ShardId>,
    /// Moves that have begun since then, and were not called off.
    begun: usize,
    /// Moves that were to be made then; none if nobody could receive.
    due: Option<usize>,
    tally: Tally,
}

/// Takes `steps` steps, and holds every plan in between against everything that has to hold of one.
///
/// # Errors
/// What does not hold, at which step.
pub(crate) fn run(seed: u64, steps: u32) -> Result<Tally, String> {
    let world = Drawn {
        seed,
        current: vec![None; SHARDS],
        nodes: Vec::new(),
        in_flight: Vec::new(),
        pins: Vec::new(),
        rules: Vec::new(),
        zones: ZoneMode::Ignored,
    };
    let (older, tally) = (BTreeSet::new(), Tally::default());
    let mut churn = Churn { seed, rolls: 0, born: 0, world, older, begun: 0, due: None, tally };
    for step in 0..steps {
        churn.step().map_err(|what| format!("step {step} of seed {seed}: {what}\n{:#?}", churn.world))?;
    }
    Ok(churn.tally)
}

impl Churn {
    fn roll(&mut self, below: u64) -> usize {
        self.rolls += 1;
        (mixed(self.seed ^ self.rolls.rotate_left(20)) % below) as usize
    }

    fn step(&mut self) -> Result<(), String> {
        let disturbed = match self.roll(4) {
            0 => self.change(),
            _ => self.progress(),
        };
        if self.roll(5) == 0 {
            self.world.seed = mixed(self.world.seed); // another leader breaks ties in another way
        }
        let planned = plan(&self.world)?;
        let moves = planned.as_ref().map(|plan| plan.moves.as_slice());
        if disturbed {
            self.older = self.world.in_flight.iter().map(|moving| moving.shard).collect();
            (self.begun, self.due) = (0, moves.map(<[Move]>::len));
        }
        if moves.map(|moves| self.begun + moves.len()) != self.due {
            return Err(format!("{} begun, {moves:?} to go, {:?} were to be made", self.begun, self.due));
        }
        let moves = moves.unwrap_or_default();
        self.tally.settled += u32::from(!disturbed && moves.is_empty() && self.world.in_flight.is_empty());
        let wave = 1 + self.roll(24);
        for step in moves.iter().take(wave) {
            if self.roll(3) > 0 {
                self.world.in_flight.push(InFlight { shard: step.shard, to: step.to });
                self.begun += 1;
            }
        }
        Ok(())
    }

    /// Some moves end or are called off; says whether one of them was older than the plan.
    fn progress(&mut self) -> bool {
        let leave_older = self.roll(4) > 0;
        let mut disturbed = false;
        for moving in std::mem::take(&mut self.world.in_flight) {
            let older = self.older.contains(&moving.shard);
            let fate = if older && leave_older { 9 } else { self.roll(8) };
            match fate {
                0 => {
                    self.tally.cancelled += 1;
                    self.begun -= usize::from(!older);
                }
                1..=4 => {
                    self.tally.moves += 1;
                    self.world.current[moving.shard.index()] = Some(moving.to);
                }
                _ => self.world.in_flight.push(moving),
            }
            disturbed |= older && fate <= 4;
        }
        disturbed
    }

    /// Something happens to the cluster: always a disturbance.
    fn change(&mut self) -> bool {
        self.tally.changes += 1;
        let count = self.world.nodes.len() as u64;
        let at = self.roll(count.max(1));
        match if count == 0 { 0 } else { self.roll(12) } {
            0 | 1 if count < NODES_MAX => self.join(),
            2 if count > 1 => self.fail(at),
            3 => self.restart(at),
            4 | 5 => self.world.nodes[at].state = NodeState::Draining,
            6 | 7 => self.world.nodes[at].state = NodeState::Receiving,
            8 => {
                let weight = [1, 2, 3, 1000, u32::MAX][self.roll(5)];
                self.world.nodes[at].weight = weight.try_into().expect("not 0");
            }
            9 => self.world.nodes[at].zone = self.zone(),
            10 => {
                let shard = ShardId(self.roll(SHARDS as u64) as u16);
                let pins = self.world.pins.len();
                self.world.pins.retain(|pin| pin.shard != shard);
                if pins == self.world.pins.len() {
                    self.world.pins.push(Pin { shard, node: self.world.nodes[at].id.clone() });
                }
            }
            _ => {
                self.world.zones = [ZoneMode::Ignored, ZoneMode::Equal][self.roll(2)];
                // Whoever has drained leaves.
                let is_empty = |at: &usize| !self.world.current.contains(&Some(NodeIdx(*at as u16)));
                let drained = |at: &usize| self.world.nodes[*at].state == NodeState::Draining && is_empty(at);
                if let Some(at) = (0..self.world.nodes.len()).find(drained)
                    && self.world.nodes.len() > 1
                {
                    self.fail(at);
                }
            }
        }
        true
    }

    fn zone(&mut self) -> Option<Zone> {
        let name = ["", "a", "b", "c"][self.roll(4)];
        Zone::new(name).ok()
    }

    fn join(&mut self) {
        self.born += 1;
        let id = NodeId::new(format!("n{}", self.born)).expect("a node id");
        let zone = self.zone();
        self.world.nodes.push(NodeView { zone, ..NodeView::new(id) });
    }

    /// It is gone, and what was on its way there is not any more.
    fn fail(&mut self, at: usize) {
        self.restart(at);
        self.world.nodes.remove(at);
        let moved_up = |node: NodeIdx| NodeIdx(node.0 - u16::from(node.index() > at));
        for owner in &mut self.world.current {
            *owner = owner.map(moved_up);
        }
        for moving in &mut self.world.in_flight {
            moving.to = moved_up(moving.to);
        }
    }

    /// It has lost what it had, and is back.
    fn restart(&mut self, at: usize) {
        let is_it = |node: NodeIdx| node.index() == at;
        self.world.in_flight.retain(|moving| !is_it(moving.to));
        for owner in &mut self.world.current {
            *owner = owner.filter(|node| !is_it(*node));
        }
    }
}
