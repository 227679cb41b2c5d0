//! Snapshots of the fold: who keeps them, who begins with them, and which are passed over.

use std::sync::Arc;

use aether_domain::image::TopologyImage;
use aether_domain::lease::LeadershipLease;
use aether_domain::records::{Format, TopologySnapshot};
use aether_domain::topology::Topology;
use aether_domain::{ClusterUid, Nonce, Term};
use aether_runtime::control::catch_up::{PassedOver, proof_after, weigh};

use super::*;

const KEY: ControlKey = ControlKey::TopologySnapshot;

impl World {
    /// Tells a node what a process that starts finds of a snapshot; behind which entry its log goes on.
    pub(super) fn tell_of_snapshot(&mut self, at: usize) -> Sequence {
        let Some(snapshot) = self.snapshot().filter(|_| !self.spoiled.contains_key(&KEY)) else {
            return Sequence::ZERO;
        };
        let after = proof_after(&snapshot);
        let shown: Vec<_> = self.log.iter().filter(|stored| stored.at.sequence > after).take(1).cloned().collect();
        let (input, goes_on) = match weigh(&snapshot, &shown) {
            Ok(()) => (Input::Snapshot(Arc::clone(&snapshot)), snapshot.at().sequence),
            Err(why) => (Input::SnapshotPassedOver(why), Sequence::ZERO),
        };
        self.queue.push_back((at, input));
        goes_on
    }

    pub(super) fn snapshot(&self) -> Option<Arc<Topology>> {
        match &self.control.get(&KEY)?.record {
            ControlRecord::Snapshot(snapshot) => Some(Arc::clone(&snapshot.topology)),
            _ => None,
        }
    }

    /// Lets nodes come and go until the log has that many entries.
    pub(super) fn churn(&mut self, entries: usize) {
        while self.log.len() < entries {
            let nth = self.nodes.len();
            let guest = self.start(&format!("guest{nth}"));
            self.until(SOON, "the guest has its shards", |world| world.settled(4));
            self.queue.push_back((guest, Input::Leave));
            self.drain_queue();
            self.until(SOON, "the guest is let go", |world| world.nodes[guest].stopped.is_some() && world.settled(3));
        }
    }

    fn noted(&self, at: usize) -> Vec<&Note> {
        self.notes.iter().filter(|(by, _)| *by == at).map(|(_, note)| note).collect()
    }
}

/// Three nodes that keep a snapshot every ten entries, some of which have been kept.
fn with_snapshots() -> World {
    let mut world = World::new(Profile::Fast);
    world.snapshot_every = 10;
    for name in ["n1", "n2", "n3"] {
        world.start(name);
    }
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    world.churn(35);
    world
}

#[test]
fn the_leader_keeps_a_snapshot_each_time_so_many_entries_have_been_written() {
    let world = with_snapshots();
    let kept = world.notes.iter().filter_map(|(_, note)| match note {
        Note::SnapshotStored { epoch } => Some(epoch.0 / 10),
        _ => None,
    });
    let tens: Vec<_> = kept.collect();
    assert_eq!(tens, (1..=world.log.len() as u64 / 10).collect::<Vec<_>>(), "one each, by one node");
    let (snapshot, fold) = (world.snapshot().expect("kept"), fold(&world.log));
    let index = snapshot.at().sequence.0 as usize - 1;
    assert_eq!(*snapshot, fold[index], "it is the fold up to its entry");
}

/// The fold after each entry.
fn fold(log: &[StoredEntry]) -> Vec<Topology> {
    let mut topology = Topology::default();
    let apply = |stored| {
        topology.apply(stored).expect("a lawful log");
        topology.clone()
    };
    log.iter().map(apply).collect()
}

#[test]
fn a_node_that_begins_with_a_snapshot_has_exactly_what_one_has_that_read_everything() {
    let mut world = with_snapshots();
    let late = world.start("n4");
    let began = Note::BeganFrom { epoch: world.snapshot().expect("kept").epoch() };
    assert_eq!(world.noted(late), [&began]);
    world.until(SOON, "it has joined", |world| world.settled(4));
    assert_eq!(world.nodes[late].machine.topology(), world.nodes[0].machine.topology());
    assert_eq!(world.nodes[late].machine.topology(), fold(&world.log).last().expect("entries"));
    // What it has not read it does not miss, and what it has read it remembers.
    let machine = &mut world.nodes[late].machine;
    let (now, wall) = (world.now, WallTime::default());
    for (nth, convicts) in [(2, false), (world.log.len() - 1, true)] {
        let mut other = world.log[nth].clone();
        other.at.hash ^= 1;
        machine.step(now, wall, Input::Log(LogUpdate::Entry(other)));
        assert_eq!(machine.fault().is_some(), convicts, "entry {nth}");
    }
}

#[test]
fn from_any_entry_on_the_kept_fold_goes_on_as_the_one_that_was_read() {
    let world = with_snapshots();
    let read = fold(&world.log);
    for kept in &read {
        let image = TopologyImage::of(kept).expect("it has seen an entry");
        let mut built = image.topology().expect("a topology");
        for stored in &world.log[kept.at().sequence.0 as usize..] {
            built.apply(stored).expect("a lawful log");
        }
        assert_eq!(Some(&built), read.last());
    }
}

#[test]
fn a_snapshot_that_the_log_does_not_bear_out_is_passed_over() {
    let world = with_snapshots();
    let snapshot = world.snapshot().expect("kept");
    let (at, epoch) = (snapshot.at(), snapshot.epoch());
    let sequence = at.sequence;
    let with = |change: &dyn Fn(&mut TopologyImage)| {
        let mut image = TopologyImage::of(&snapshot).expect("it has seen an entry");
        change(&mut image);
        image.topology().expect("a topology")
    };
    let shown = |of: &Topology, log: &[StoredEntry]| -> Vec<StoredEntry> {
        log.iter().filter(|stored| stored.at.sequence > proof_after(of)).take(1).cloned().collect()
    };
    assert_eq!(weigh(&snapshot, &shown(&snapshot, &world.log)), Ok(()));
    let another = PassedOver::AnotherEntry { sequence, epoch, found: epoch };
    let later = Epoch(epoch.0 + 1);
    let vacant = LeadershipLease::Vacant { last_term: Term(99) };
    for (forged, why) in [
        (with(&|image| image.at.hash ^= 1), another.clone()),
        (with(&|image| image.uid = ClusterUid(7)), another.clone()),
        (with(&|image| image.leadership = vacant.clone()), another),
        (with(&|image| image.epoch = later), PassedOver::AnotherEntry { sequence, epoch: later, found: epoch }),
        (
            with(&|image| image.at.sequence = sequence.next()),
            PassedOver::AnotherEntry { sequence: sequence.next(), epoch, found: later },
        ),
        (with(&|image| image.at.sequence = Sequence(9_999)), PassedOver::NotThere { sequence: Sequence(9_999) }),
    ] {
        assert_eq!(weigh(&forged, &shown(&forged, &world.log)), Err(why));
    }
    let shorter = &world.log[..sequence.0 as usize - 1];
    assert_eq!(weigh(&snapshot, &shown(&snapshot, shorter)), Err(PassedOver::NotThere { sequence }));
    assert_eq!(weigh(&snapshot, &world.log[..1]), Err(PassedOver::NotThere { sequence }), "what was not asked for");
}

#[test]
fn whatever_lies_under_its_key_nodes_start_and_the_leader_writes_over_it() {
    let snapshot_of = |topology: Topology| {
        ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce(1), topology: Arc::new(topology) })
    };
    for spoiled in [false, true] {
        let mut world = with_snapshots();
        let mut image = TopologyImage::of(&world.snapshot().expect("kept")).expect("it has seen an entry");
        image.at.hash ^= 1;
        let revision = Revision(world.revision + 1);
        world.revision += 1;
        let record = snapshot_of(image.topology().expect("a topology"));
        world.control.insert(KEY, StoredRecord { record, revision });
        if spoiled {
            world.spoil(KEY);
        }
        let late = world.start("n4");
        world.until(SOON, "it has joined", |world| world.settled(4));
        let noted = world.noted(late);
        assert!(!noted.iter().any(|note| matches!(note, Note::BeganFrom { .. })), "{noted:?}");
        assert_eq!(world.nodes[late].machine.topology(), world.nodes[0].machine.topology());
        world.queue.push_back((late, Input::Leave));
        world.drain_queue();
        world.until(SOON, "it is let go", |world| world.nodes[late].stopped.is_some() && world.settled(3));
        let due = world.log.len() / 10 * 10 + 15;
        world.churn(due);
        let kept = world.snapshot().expect("kept");
        assert_eq!(*kept, fold(&world.log)[kept.at().sequence.0 as usize - 1], "written over");
        assert_eq!(world.refusals, Vec::<String>::new());
    }
}

#[test]
fn a_snapshot_that_cannot_be_stored_is_said_once_and_tried_again_when_the_next_is_due() {
    let mut world = with_snapshots();
    let leader = world.leader().expect("a leader");
    let kept = |world: &World| world.control.get(&KEY).expect("kept").revision;
    // Whatever is read of it, another one is there by the time it is written.
    let mut lost = 0;
    let before = kept(&world);
    let (now, wall) = (world.now, WallTime::default());
    let machine = &mut world.nodes[leader].machine;
    for _ in 0..3 {
        for _ in 0..10 {
            let position = |topology: &Topology| Position {
                sequence: topology.at().sequence.next(),
                hash: topology.at().sequence.0 + 77,
            };
            let mut draft = aether_domain::topology::Draft::new(machine.topology());
            let (term, _) = machine.leads().expect("it leads");
            let renew = aether_domain::lease::LeadershipCommand::RenewLeadership { leader: machine.me().clone(), term };
            draft.leadership(&renew).expect("it leads");
            let signature = aether_domain::topology::Signature {
                format: Format::FIRST,
                cluster: machine.topology().cluster().uid().expect("founded"),
                leader: machine.me().clone(),
                term,
                nonce: Nonce(1),
                cause: "test".into(),
                at: wall,
            };
            let at = position(machine.topology());
            let entry = draft.finish(signature).expect("a lawful entry");
            let effects = machine.step(now, wall, Input::Log(LogUpdate::Entry(StoredEntry { entry, at })));
            for effect in effects {
                if let Effect::ReadBack { token, key: KEY } = effect {
                    let wrote = machine.step(now, wall, Input::ReadBack { token, found: None });
                    let token = wrote.iter().find_map(|effect| match effect {
                        Effect::Write { token, record: ControlRecord::Snapshot(_), .. } => Some(*token),
                        _ => None,
                    });
                    let outcome = WriteOutcome::Conflict { actual: Some(before) };
                    let token = token.expect("it is written");
                    let noted = machine.step(now, wall, Input::Written { token, outcome });
                    lost += 1;
                    let said = noted.iter().any(|it| matches!(it, Effect::Note(Note::SnapshotNotStored { .. })));
                    assert_eq!(said, lost == 1, "{noted:?}");
                    let again = |it: &&Effect| matches!(it, Effect::Write { record, .. } if record.key() == KEY);
                    assert_eq!(noted.iter().find(again), None, "not at once");
                }
            }
        }
    }
    assert_eq!((lost, machine.fault(), machine.phase(now)), (3, None, Phase::Active), "and nothing depends on it");
}

#[test]
fn a_node_with_other_settings_refuses_a_cluster_that_it_knows_from_a_snapshot() {
    let mut world = with_snapshots();
    world.profile = Profile::Default;
    let other = world.start("n4");
    world.until(SOON, "it ends", |world| world.nodes[other].stopped.is_some());
    assert!(world.noted(other).iter().any(|note| matches!(note, Note::BeganFrom { .. })));
    let stopped = &world.nodes[other].stopped;
    assert!(matches!(stopped, Some(StopReason::SettingsDiffer { .. })), "{stopped:?}");
}

#[test]
fn a_snapshot_changes_nothing_for_a_node_that_has_read_an_entry() {
    let mut world = with_snapshots();
    let mut image = TopologyImage::of(&world.snapshot().expect("kept")).expect("it has seen an entry");
    image.at.hash ^= 1;
    let before = world.nodes[0].machine.topology().clone();
    let forged = Arc::new(image.topology().expect("a topology"));
    let effects = world.nodes[0].machine.step(world.now, WallTime::default(), Input::Snapshot(forged));
    assert!(!effects.contains(&Effect::Publish), "{effects:?}");
    assert_eq!(world.nodes[0].machine.topology(), &before);
}
