//! The digest of the shard map: everybody has the same at the same entry, and a leader hears who has not.

use aether_domain::topology::Topology;
use aether_placement::MapDigest;
use aether_runtime::control::DIGESTS_MAX;

use super::*;

/// Of a whole topology, from nothing.
fn anew(topology: &Topology) -> MapDigest {
    let life = |incarnation| &topology.cluster().owner(incarnation).expect("a member").node;
    topology.assignment().iter().fold(MapDigest::ZERO, |digest, (ShardId(shard), state)| {
        let shard = u32::from(shard);
        digest
            ^ match state {
                ShardState::Orphaned => MapDigest::ZERO,
                ShardState::Owned { owner, epoch } => MapDigest::owned(shard, life(owner), epoch),
                ShardState::Draining { from, to, epoch, drain_epoch } => {
                    MapDigest::owned(shard, life(from), epoch) ^ MapDigest::leaving(shard, life(to), drain_epoch)
                }
            }
    })
}

impl World {
    /// The digests that heartbeats say now, by the entry they are of.
    fn said(&self) -> Vec<(Epoch, u128)> {
        let records = self.control.values().filter_map(|stored| match &stored.record {
            ControlRecord::Member(record) if record.digest != 0 => Some((record.view, record.digest)),
            _ => None,
        });
        records.collect()
    }

    /// The leader sees a heartbeat of that node that is changed on its way, and says what it notes.
    fn heard(&mut self, at: usize, change: impl FnOnce(&mut MemberRecord)) -> Vec<Note> {
        let leader = self.leader().expect("a leader");
        let key = ControlKey::Member(self.nodes[at].machine.me().node.clone());
        let ControlRecord::Member(mut record) = self.control[&key].record.clone() else { panic!("a member's record") };
        change(&mut record);
        self.revision += 1;
        let stored = StoredRecord { record: ControlRecord::Member(record), revision: Revision(self.revision) };
        let input = Input::Control(ControlUpdate::Record(stored));
        let effects = self.nodes[leader].machine.step(self.now, WallTime::default(), input);
        let notes = effects.into_iter().filter_map(|effect| match effect {
            Effect::Note(note @ Note::MapDiffers { .. }) => Some(note),
            _ => None,
        });
        notes.collect()
    }
}

#[test]
fn at_the_same_entry_every_node_says_the_same_digest() {
    let mut world = World::new(Profile::Fast);
    world.snapshot_every = 10;
    for name in ["n1", "n2", "n3"] {
        world.start(name);
    }
    world.until(SOON, "three balanced nodes", |world| world.settled(3));
    let mut said: BTreeMap<Epoch, u128> = BTreeMap::new();
    // A move that takes its time, a node that leaves, one that dies, and one that begins with a snapshot.
    world.releases_max = 3;
    for nth in 0..4 {
        let guest = world.start(&format!("guest{nth}"));
        let ends = world.now + Duration::from_secs(20);
        while !world.settled(4) {
            let next = world.now + Duration::from_millis(50);
            world.until(SOON, "some time", |world| world.now >= next);
            assert!(world.now < ends, "the guest has its shards: {}", world.describe());
            for (epoch, digest) in world.said() {
                assert_eq!(*said.entry(epoch).or_insert(digest), digest, "at {epoch}");
            }
            for node in world.nodes.iter().filter(|node| node.alive) {
                assert_eq!(node.machine.digest(), anew(node.machine.topology()), "of {}", node.machine.me());
            }
        }
        if nth % 2 == 0 {
            world.nodes[guest].alive = false;
        } else {
            world.queue.push_back((guest, Input::Leave));
            world.drain_queue();
        }
        world.until(SOON, "the guest is gone", |world| world.settled(3));
    }
    assert!(said.len() > 10, "{} entries", said.len());
    assert!(world.notes.iter().any(|(_, note)| matches!(note, Note::BeganFrom { .. })));
    assert!(!world.notes.iter().any(|(_, note)| matches!(note, Note::MapDiffers { .. })));
    assert!(world.nodes.iter().all(|node| node.machine.strays().len() == 0));
}

#[test]
fn a_leader_says_once_who_has_another_map_until_it_has_the_same_again() {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    let stray = (leader + 1) % 3;
    let life = world.nodes[stray].machine.me().clone();
    // Everybody has said the digest of the last entry.
    world.until(SOON, "a heartbeat", |world| {
        let epoch = world.nodes[leader].machine.topology().epoch();
        world.said().len() == 3 && world.said().iter().all(|(view, _)| *view == epoch)
    });
    let epoch = world.nodes[leader].machine.topology().epoch();
    let strays = |world: &World| world.nodes[leader].machine.strays().cloned().collect::<Vec<_>>();
    assert_eq!(world.heard(stray, |_| ()), []);
    let differs = Note::MapDiffers { node: life.clone(), epoch };
    assert_eq!(world.heard(stray, |record| record.digest ^= 1), std::slice::from_ref(&differs));
    assert_eq!(world.heard(stray, |record| record.digest ^= 2), []);
    assert_eq!(strays(&world), [(life.clone(), epoch)]);
    // An entry that this leader does not have, or no longer, says nothing either way; nor does one without a digest.
    assert_eq!(world.heard(stray, |record| (record.view, record.digest) = (Epoch(9_999), 5)), []);
    assert_eq!(strays(&world).len(), 1);
    assert_eq!(world.heard(stray, |_| ()), []);
    assert_eq!(strays(&world), []);
    assert_eq!(world.heard(stray, |record| record.digest = 0), []);
    // Again, and by its next life: each is news.
    assert_eq!(world.heard(stray, |record| record.digest ^= 1), [differs]);
    let reborn = NodeRef { incarnation: Incarnation(77), ..life };
    let news = world.heard(stray, |record| {
        record.node = reborn.clone();
        record.digest ^= 1;
    });
    assert_eq!(news, [Note::MapDiffers { node: reborn, epoch }]);
}

#[test]
fn a_heartbeat_from_too_long_ago_is_compared_with_nothing() {
    let mut world = three(Profile::Fast);
    let epoch = |world: &World| world.nodes[0].machine.topology().epoch();
    let old = epoch(&world);
    world.churn(world.log.len() + DIGESTS_MAX + 1);
    let last = epoch(&world);
    let leader = world.leader().expect("a leader");
    let at = (leader + 1) % 3;
    let forgotten = Epoch(last.0 - DIGESTS_MAX as u64);
    assert!(forgotten >= old);
    assert_eq!(world.heard(at, |record| (record.view, record.digest) = (forgotten, 5)), []);
    let known = forgotten.next();
    let news = world.heard(at, |record| (record.view, record.digest) = (known, 5));
    assert_eq!(news.len(), 1, "one entry later it is remembered");
}

#[test]
fn whoever_leads_no_more_accuses_nobody() {
    let mut world = three(Profile::Default);
    let leader = world.leader().expect("a leader");
    assert_eq!(world.heard((leader + 1) % 3, |record| record.digest ^= 1).len(), 1);
    world.nodes[leader].frozen = true;
    world.until(SOON, "another leads", |world| {
        world.nodes.iter().any(|node| !node.frozen && node.machine.leads().is_some())
    });
    world.nodes[leader].frozen = false;
    world.drain_queue();
    world.until(SOON, "it knows", |world| world.nodes[leader].machine.leads().is_none());
    let next = world.now + Duration::from_secs(2);
    world.until(SOON, "a heartbeat", |world| world.now >= next);
    assert_eq!(world.nodes[leader].machine.strays().len(), 0);
}
