//! What the leader knows of what shards cost, and which have moved too lately to be moved for that again.

use std::collections::BTreeMap;
use std::time::Duration;

use aether_domain::assignment::ShardState;
use aether_domain::policy::LoadPolicy;
use aether_domain::records::MemberRecord;
use aether_domain::topology::Topology;
use aether_domain::{Epoch, Monotonic, ShardId, ShardSet};
use aether_placement::ShardLoads;

use super::Facts;
use crate::control::{ShardLoadsSeen, Sightings};

/// A report that is older than this says nothing any more.
const FRESH_FOR: Duration = MemberRecord::SHARD_LOADS_EVERY.saturating_mul(3);

/// What shards cost, as the planner is told.
#[derive(Clone, Debug)]
pub(super) struct Loads {
    by_shard: Vec<u32>,
    resting: ShardSet,
    policy: LoadPolicy,
}

impl Loads {
    /// What is known now, if load decides and it is known of all: each shard has an owner that has told of it lately.
    pub(super) fn of(topology: &Topology, facts: &Facts<'_>, moved: &Moved) -> Option<Self> {
        let policy = topology.cluster().policy().load?;
        let by_shard = by_shard(topology, facts.sightings, facts.now)?;
        Some(Self { by_shard, resting: moved.within(policy.dwell, facts.now), policy })
    }

    pub(super) fn told(&self) -> ShardLoads<'_> {
        ShardLoads { loads: &self.by_shard, resting: &self.resting, policy: self.policy }
    }
}

/// What each shard costs. Of a node with more shards than it tells of, the others cost half of the lightest that it does.
fn by_shard(topology: &Topology, sightings: &Sightings, now: Monotonic) -> Option<Vec<u32>> {
    let fresh = |seen: &&ShardLoadsSeen| now.since(seen.first_seen) <= FRESH_FOR;
    let told: BTreeMap<_, _> =
        sightings.shard_loads().filter(fresh).map(|seen| (seen.node.incarnation, seen)).collect();
    let cost = |(shard, state): (ShardId, ShardState)| {
        let loads = &told.get(&state.owner()?)?.loads;
        match loads.binary_search_by_key(&shard, |(shard, _)| *shard) {
            Ok(at) => Some(loads[at].1),
            Err(_) if loads.len() < MemberRecord::SHARD_LOADS_MAX => None,
            Err(_) => Some(told[&state.owner()?].lightest / 2),
        }
    };
    topology.assignment().iter().map(cost).collect()
}

/// When shards changed hands, by this leader's clock. What a new leader finds has rested: it has not seen it move, and waits
/// with moves for load until it has led for as long as a shard rests.
#[derive(Debug, Default)]
pub(super) struct Moved {
    looked_at: Option<Epoch>,
    /// By shard: under which epoch it is owned, and since when, if that was seen.
    since: Vec<(Option<Epoch>, Option<Monotonic>)>,
}

impl Moved {
    pub(super) fn look(&mut self, topology: &Topology, now: Monotonic) {
        if self.looked_at.replace(topology.epoch()) == Some(topology.epoch()) {
            return;
        }
        let shards = topology.assignment().shards();
        if self.since.len() != shards.len() {
            self.since = shards.iter().map(|state| (state.epoch(), None)).collect();
        }
        for (state, since) in shards.iter().zip(&mut self.since) {
            if since.0 != state.epoch() {
                *since = (state.epoch(), Some(now));
            }
        }
    }

    /// The shards that changed hands within that time.
    pub(super) fn within(&self, time: Duration, now: Monotonic) -> ShardSet {
        let shards = (0..).map(ShardId).zip(&self.since);
        let moved = |since: &Option<Monotonic>| since.is_some_and(|since| now.since(since) < time);
        shards.filter(|(_, (_, since))| moved(since)).map(|(shard, _)| shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::records::Format;
    use std::collections::BTreeSet;

    use aether_domain::assignment::{AssignmentCommand, Grant};
    use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo};
    use aether_domain::lease::LeadershipCommand;
    use aether_domain::records::{ControlRecord, Health, Load, MemberState, Position, StoredEntry, StoredRecord};
    use aether_domain::testing::life;
    use aether_domain::topology::{Draft, Signature};
    use aether_domain::{ClusterUid, NodeRef, Nonce, Revision, Sequence, ShardCount, Term, WallTime};

    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(1_000 + secs))
    }

    /// `a` owns the even shards and `b` the odd ones.
    fn two_nodes(shards: u32) -> Topology {
        let [a, b] = [life("a", 1), life("b", 2)];
        let (mut topology, cluster) = (Topology::default(), ClusterUid(1));
        let mut draft = Draft::new(&topology);
        let settings =
            ClusterSettings { shards: ShardCount::new(shards).expect("valid"), ..ClusterSettings::default() };
        draft.cluster(&ClusterCommand::CreateCluster { uid: cluster, settings }).expect("founded");
        for node in [&a, &b] {
            let join = ClusterCommand::JoinCluster { node: node.clone(), info: NodeInfo::default() };
            draft.cluster(&join).expect("joined");
        }
        let elect = LeadershipCommand::ElectLeader { candidate: a.clone(), term: Term(1), active: true };
        draft.leadership(&elect).expect("elected");
        let half = |odd: u16| (0..shards as u16).filter(|shard| shard % 2 == odd).map(ShardId).collect();
        let grants = vec![Grant { shards: half(0), to: a.clone() }, Grant { shards: half(1), to: b }];
        let active = vec![a.incarnation, life("b", 2).incarnation];
        let living = active.clone();
        draft.assignment(&AssignmentCommand::AssignShards { grants, active, living }).expect("assigned");
        let (term, nonce, at) = (Term(1), Nonce(1), WallTime::default());
        let by = Signature { format: Format::FIRST, cluster, leader: a, term, nonce, cause: "begin".into(), at };
        let at = Position { sequence: Sequence(1), hash: 1 };
        topology.apply(&StoredEntry { entry: draft.finish(by).expect("it is checked"), at }).expect("it applies");
        topology
    }

    fn tells(sightings: &mut Sightings, revision: u64, node: &NodeRef, loads: &[(u16, u32)], now: Monotonic) {
        let record = MemberRecord {
            node: node.clone(),
            state: MemberState::Alive,
            heartbeat: revision,
            nonce: Nonce(revision),
            heartbeat_every: Duration::from_secs(1),
            view: Epoch(1),
            load: Load::default(),
            info: NodeInfo::default(),
            admin_url: String::new(),
            build: String::new(),
            supervisor: None,
            health: Health::default(),
            shard_loads: loads.iter().map(|(shard, load)| (ShardId(*shard), *load)).collect(),
            reads: Format::FIRST,
            digest: 0,
        };
        sightings.saw(&StoredRecord { record: ControlRecord::Member(record), revision: Revision(revision) }, now);
    }

    #[test]
    fn what_shards_cost_is_known_once_every_owner_has_told_of_all_of_its_own() {
        let topology = two_nodes(64);
        let told = |odd: u16| (0..64).filter(|shard| shard % 2 == odd).map(|shard| (shard, 10)).collect::<Vec<_>>();
        let (evens, odds) = (told(0), told(1));
        let known = |telling: &[(&NodeRef, &[(u16, u32)])]| {
            let mut sightings = Sightings::default();
            for (revision, (node, loads)) in telling.iter().enumerate() {
                tells(&mut sightings, revision as u64 + 1, node, loads, at(0));
            }
            by_shard(&topology, &sightings, at(1))
        };
        let (a, b) = (life("a", 1), life("b", 2));
        assert_eq!(known(&[(&a, &evens), (&b, &odds)]), Some(vec![10; 64]));
        assert_eq!(known(&[(&a, &evens), (&b, &odds), (&b, &[])]), Some(vec![10; 64]), "a record may say nothing new");
        assert_eq!(known(&[(&a, &evens)]), None, "one has told nothing");
        assert_eq!(known(&[(&a, &evens), (&b, &odds[1..])]), None, "one has told of too few");
        assert_eq!(known(&[(&a, &evens), (&life("b", 3), &odds)]), None, "another life has told");
        assert_eq!(known(&[(&a, &odds), (&b, &evens)]), None, "they have told of what is not theirs");
    }

    #[test]
    fn a_report_counts_for_three_windows() {
        let topology = two_nodes(64);
        let mut sightings = Sightings::default();
        let all: Vec<_> = (0..64).map(|shard| (shard, 7)).collect();
        tells(&mut sightings, 1, &life("a", 1), &all, at(0));
        tells(&mut sightings, 2, &life("b", 2), &all, at(5));
        assert_eq!(by_shard(&topology, &sightings, at(15)), Some(vec![7; 64]));
        assert_eq!(by_shard(&topology, &sightings, at(16)), None);
        tells(&mut sightings, 3, &life("a", 1), &all, at(16));
        assert_eq!(by_shard(&topology, &sightings, at(20)), Some(vec![7; 64]));
    }

    #[test]
    fn of_a_node_with_many_shards_those_it_does_not_tell_of_cost_half_of_the_lightest() {
        let topology = two_nodes(2_048);
        let mut sightings = Sightings::default();
        for (revision, (node, odd)) in [(life("a", 1), 0), (life("b", 2), 1)].into_iter().enumerate() {
            let heaviest: Vec<_> = (0..512).map(|nth| (nth * 2 + odd, 100 + u32::from(nth))).collect();
            tells(&mut sightings, revision as u64 + 1, &node, &heaviest, at(0));
        }
        let known = by_shard(&topology, &sightings, at(1)).expect("both have told");
        assert_eq!((known[0], known[1], known[1_023]), (100, 100, 611));
        assert!(known[1_024..].iter().all(|load| *load == 50));
    }

    #[test]
    fn a_shard_rests_from_when_it_was_seen_to_change_hands() {
        let topology = two_nodes(64);
        let mut moved = Moved::default();
        moved.look(&topology, at(0));
        let minute = Duration::from_secs(60);
        assert_eq!(moved.within(minute, at(1)).len(), 0, "what a new leader finds has rested");
        // As if two of them had been given away since.
        for shard in [3, 5] {
            moved.since[shard].0 = Some(Epoch(0));
        }
        moved.looked_at = None;
        moved.look(&topology, at(100));
        let resting: BTreeSet<_> = moved.within(minute, at(159)).iter().collect();
        assert_eq!(resting, BTreeSet::from([ShardId(3), ShardId(5)]));
        assert_eq!(moved.within(minute, at(160)).len(), 0);
    }
}
