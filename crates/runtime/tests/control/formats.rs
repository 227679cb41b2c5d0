//! Builds that read different formats in one cluster: nobody writes what a member cannot read, forth and back.

use aether_domain::records::Format;

use super::*;

const ONE: Format = Format(1);
const TWO: Format = Format(2);

/// A settled cluster of these nodes, each with the newest format that its build reads.
fn cluster(nodes: &[(&str, Format)]) -> World {
    let mut world = World::new(Profile::Fast);
    for (name, reads) in nodes {
        world.begin(name, *reads);
    }
    world.until(LONG, "everybody is a member", |world| world.settled(nodes.len()));
    world
}

const LONG: Duration = Duration::from_secs(30);

impl World {
    fn begin(&mut self, name: &str, reads: Format) -> usize {
        self.reads.insert(name.to_owned(), reads);
        self.start(name)
    }

    /// Ends that node's process and starts a build that reads that format in its place.
    fn replace(&mut self, name: &str, reads: Format) {
        let at = self.nodes.iter().rposition(|node| node.alive && node.machine.me().node.as_str() == name);
        self.dies(at.expect("it runs"));
        let new = self.begin(name, reads);
        let nodes = self.nodes.iter().filter(|node| node.alive).count();
        let back = |world: &Self| world.nodes[new].machine.phase(world.now) == Phase::Active && world.settled(nodes);
        self.until(LONG, "it is back", back);
    }

    /// The formats of the entries, which never fall; the last of them.
    fn written(&self) -> Format {
        let formats: Vec<_> = self.log.iter().map(|stored| stored.entry.format).collect();
        assert!(formats.is_sorted(), "{formats:?}");
        assert_eq!(self.refusals, Vec::<String>::new(), "everybody reads everything");
        *formats.last().expect("the log has begun")
    }
}

#[test]
fn a_newer_format_is_written_once_every_member_reads_it_and_not_before() {
    let mut world = cluster(&[("a", ONE), ("b", ONE), ("c", ONE)]);
    for name in ["a", "b"] {
        world.replace(name, TWO);
        assert_eq!(world.written(), ONE, "{name} is not the last");
    }
    world.replace("c", TWO);
    assert_eq!(world.written(), TWO);
    // Whoever leads next goes on with it.
    let leader = world.leader().expect("a leader");
    let name = world.nodes[leader].machine.me().node.to_string();
    world.replace(&name, TWO);
    assert_eq!(world.written(), TWO);
}

#[test]
fn the_last_node_that_reads_no_newer_format_can_read_the_entry_that_lets_it_go() {
    for leads in [false, true] {
        let mut world = cluster(&[("a", ONE), ("b", ONE), ("c", ONE)]);
        let leader = world.leader().expect("a leader");
        let old = if leads { leader } else { (leader + 1) % 3 };
        let name = |world: &World, at: usize| world.nodes[at].machine.me().node.to_string();
        let others: Vec<_> = (0..3).filter(|at| *at != old).map(|at| name(&world, at)).collect();
        for other in &others {
            let at = world.nodes.iter().rposition(|node| node.alive && node.machine.me().node.as_str() == other);
            let at = at.expect("it runs");
            world.queue.push_back((at, Input::Leave));
            world.drain_queue();
            world.until(LONG, "it is let go", |world| world.nodes[at].stopped.is_some());
            let new = world.begin(other, TWO);
            world.until(LONG, "it is back", |world| {
                world.nodes[new].machine.phase(world.now) == Phase::Active && world.settled(3)
            });
        }
        assert_eq!(world.written(), ONE);
        world.queue.push_back((old, Input::Leave));
        world.drain_queue();
        world.until(LONG, "it is let go", |world| world.nodes[old].stopped.is_some());
        assert_eq!(world.nodes[old].stopped, Some(StopReason::Left), "{}", world.describe());
        world.begin("d", TWO);
        world.until(LONG, "another is there", |world| world.settled(3));
        assert_eq!(world.written(), TWO);
    }
}

#[test]
fn an_upgrade_can_be_taken_back_node_by_node_as_long_as_one_is_left() {
    let mut world = cluster(&[("a", ONE), ("b", ONE), ("c", ONE)]);
    for (name, reads) in [("a", TWO), ("b", TWO), ("b", ONE), ("a", ONE)] {
        world.replace(name, reads);
        assert_eq!(world.written(), ONE);
    }
}

#[test]
fn a_build_that_cannot_read_the_log_tells_nobody_of_itself_and_harms_nobody() {
    let mut world = cluster(&[("a", TWO), ("b", TWO)]);
    world.replace("b", TWO);
    assert_eq!(world.written(), TWO);
    let late = world.begin("late", ONE);
    world.until(LONG, "it finds out, and ends", |world| world.nodes[late].stopped.is_some());
    let said = std::mem::take(&mut world.refusals).join("; ");
    assert!(said.contains("format 2 is not known here"), "{said}");
    let why = |stopped: &StopReason| matches!(stopped, StopReason::LogUnreadable { why } if *why == said);
    assert!(world.nodes[late].stopped.as_ref().is_some_and(why), "{:?}", world.nodes[late].stopped);
    let key = ControlKey::Member(NodeId::new("late").expect("a name"));
    assert!(!world.control.contains_key(&key), "no record of it");
    world.replace("a", TWO);
    assert_eq!(world.written(), TWO, "the others go on");
}

#[test]
fn a_record_of_a_build_that_cannot_read_the_log_makes_no_member() {
    let mut world = cluster(&[("a", TWO), ("b", TWO)]);
    world.replace("b", TWO);
    // It was written just before the entry that it cannot read.
    let ControlRecord::Member(of_a) = &world.control[&ControlKey::Member(NodeId::new("a").expect("a name"))].record
    else {
        panic!("a member's record")
    };
    let node = NodeRef { node: NodeId::new("late").expect("a name"), incarnation: Incarnation(77) };
    let late = MemberRecord { node: node.clone(), state: MemberState::Starting, reads: ONE, ..of_a.clone() };
    world.revision += 1;
    let stored = StoredRecord { record: ControlRecord::Member(late), revision: Revision(world.revision) };
    world.control.insert(stored.record.key(), stored.clone());
    for to in 0..world.nodes.len() {
        world.queue.push_back((to, Input::Control(ControlUpdate::Record(stored.clone()))));
    }
    world.replace("a", TWO);
    let topology = world.nodes[world.leader().expect("a leader")].machine.topology();
    assert_eq!(topology.cluster().status_of(&node), None);
}
