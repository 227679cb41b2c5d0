//! Whether a life has found its place: what whoever restarts nodes one after the other waits for before the next one.

use std::time::Duration;

use aether_domain::topology::Topology;
use aether_domain::{Incarnation, Monotonic, NodeRef};

/// A plan that gives a new member its part is made by then.
const PLANNED_WITHIN: Duration = Duration::from_secs(1);
/// Whoever cannot find its place in that time is no reason to keep others waiting.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Waits, from when a life becomes Active, for a moment in which no shard lacks an owner and no plan is under way. Once there
/// has been one, later plans are none of its business.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Which life became Active, and when.
    active: Option<(Incarnation, Monotonic)>,
    settled: bool,
}

impl Settling {
    /// Takes how things are now, and answers whether this life has settled.
    pub(super) fn look(&mut self, now: Monotonic, me: &NodeRef, is_active: bool, topology: &Topology) -> bool {
        if self.active.is_some_and(|(life, _)| life != me.incarnation) {
            *self = Self::default();
        }
        if self.active.is_none() && is_active {
            self.active = Some((me.incarnation, now));
        }
        if let Some((_, since)) = self.active.filter(|_| !self.settled) {
            let (age, assignment) = (now.since(since), topology.assignment());
            let at_rest = topology.cluster().plan().is_none() && assignment.orphaned() == 0;
            self.settled = age >= SETTLES_WITHIN || age >= PLANNED_WITHIN && at_rest && !assignment.shards().is_empty();
        }
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use aether_domain::assignment::PlannedMove;
    use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo, RebalanceCause};
    use aether_domain::testing::life;
    use aether_domain::topology::Draft;
    use aether_domain::{ClusterUid, PlanId, ShardId};

    use super::*;

    fn after(topology: &Topology, commands: &[ClusterCommand]) -> Topology {
        let mut draft = Draft::new(topology);
        for command in commands {
            draft.cluster(command).expect("it is accepted");
        }
        draft.topology().clone()
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(1_000_000 + millis))
    }

    /// Two members; all shards with the first.
    fn two() -> Topology {
        let join = |node| ClusterCommand::JoinCluster { node, info: NodeInfo::default() };
        let settings = ClusterSettings::default();
        let founded = after(
            &Topology::default(),
            &[ClusterCommand::CreateCluster { uid: ClusterUid(1), settings }, join(life("a", 1)), join(life("b", 1))],
        );
        let mut draft = Draft::new(&founded);
        let grant = aether_domain::assignment::Grant { shards: settings.shards.all().collect(), to: life("a", 1) };
        let lives = vec![life("a", 1).incarnation, life("b", 1).incarnation];
        let assign = aether_domain::assignment::AssignmentCommand::AssignShards {
            grants: vec![grant],
            active: lives.clone(),
            living: lives,
        };
        draft.assignment(&assign).expect("it is accepted");
        draft.topology().clone()
    }

    fn planned(topology: &Topology) -> Topology {
        let shards = (0..512).map(ShardId).collect();
        let moves = vec![PlannedMove { shards, from: life("a", 1), to: life("b", 1) }];
        after(topology, &[ClusterCommand::RebalanceShards { plan: PlanId(9), cause: RebalanceCause::Join, moves }])
    }

    #[test]
    fn a_life_settles_once_the_plan_its_coming_led_to_is_done_and_later_plans_are_nothing_to_it() {
        let (rest, moving, me) = (two(), planned(&two()), life("b", 1));
        let mut settling = Settling::default();
        for (millis, active, topology, settled) in [
            (0, false, &rest, false),
            (100, true, &rest, false),
            (1_000, true, &rest, false),
            (1_050, true, &moving, false),
            (9_000, true, &moving, false),
            (9_001, true, &rest, true),
            (9_002, true, &moving, true),
            (9_003, false, &moving, true),
        ] {
            assert_eq!(settling.look(at(millis), &me, active, topology), settled, "at {millis}");
        }
        let next = life("b", 2);
        assert!(!settling.look(at(9_004), &next, true, &rest), "a new life has its own place to find");
        assert!(settling.look(at(10_004), &next, true, &rest));
    }

    #[test]
    fn nobody_waits_for_ever_for_a_place_and_shards_without_an_owner_are_no_rest() {
        let me = life("b", 1);
        for never in [planned(&two()), Topology::default()] {
            let mut settling = Settling::default();
            assert!(!settling.look(at(0), &me, true, &never));
            assert!(!settling.look(at(59_999), &me, true, &never));
            assert!(settling.look(at(60_000), &me, true, &never));
        }
    }
}
