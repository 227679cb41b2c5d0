//! Whatever the domain can say is read back as it was said.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::assignment::{AssignmentEvent, CancelReason, ShardState};
use aether_domain::cluster::{
    ClusterEvent, ClusterSettings, FailureReason, Member, NodeInfo, NodeStatus, OpenPlan, RebalanceCause, Trust,
};
use aether_domain::image::TopologyImage;
use aether_domain::lease::LeadershipLease;
use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::policy::{LoadPolicy, MoveCaps, Pin, PlacementPolicy, TagRule, ZoneMode};
use aether_domain::ports::{Answer, AnswerFrame, AskFrame, Claim, Frame, WarmFrame};
use aether_domain::records::{
    Checkpoint, CommandMark, CommitRecord, ControlKey, ControlRecord, DeadLetter, DesiredPlacement, EventRecord,
    FeedState, Format, Health, LeaseRecord, LeaseState, Load, MemberRecord, MemberState, MissedTicks, OrdersRecord,
    OriginMarks, PayloadCodec, Position, ReleaseReport, StoredReply, Timer, TimerChange, TopologySnapshot,
};
use aether_domain::timing::Profile;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, CommandId, Epoch, FeedName, Incarnation, MessageId, NodeId,
    NodeRef, Nonce, PlanId, Sequence, ShardCount, ShardId, ShardSet, Slot, Tag, Term, Version, WallTime, Zone,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::samples;
use crate::wire::v1::{
    CHUNK_BYTES_MAX, Kept, WireFault, chunk, decode_checkpoint, decode_chunk, decode_claim, decode_commit,
    decode_control, decode_entry, decode_kept, decode_letter, decode_wake, encode_checkpoint, encode_claim,
    encode_commit, encode_control, encode_entry, encode_frames, encode_letter, encode_wake, manifest, snapshot_body,
    whole,
};

fn nodes() -> impl Strategy<Value = NodeRef> {
    ("[a-z0-9_-]{1,32}", any::<u64>()).prop_map(|(name, incarnation)| NodeRef {
        node: NodeId::new(name).expect("a node id"),
        incarnation: Incarnation(incarnation),
    })
}

/// Of that weight, and with a zone and tags as `bits` say.
fn info(weight: u32, bits: u32) -> NodeInfo {
    NodeInfo {
        weight,
        zone: (bits & 1 == 0).then(|| Zone::new(format!("z{}", bits % 5)).expect("a zone")),
        tags: (0..bits / 2 % 17).map(|nth| Tag::new(format!("t{nth}")).expect("a tag")).collect(),
    }
}

/// Of sixteen shards, one as good as another, told by `bits`; the default among them.
fn policy(bits: u64) -> PlacementPolicy {
    if bits.is_multiple_of(5) {
        return PlacementPolicy::default();
    }
    let nth_bit = |nth: u64| bits >> (nth % 64) & 1 == 1;
    let node = |nth: u16| NodeId::new(format!("n{}", nth % 3)).expect("a node id");
    let shards =
        |skip: u64| -> ShardSet { (0..16).filter(|nth| nth_bit(*nth + skip)).map(|n| ShardId(n as u16)).collect() };
    let rules = (0..bits % 65).filter(|nth| !shards(*nth).is_empty());
    PlacementPolicy {
        strategy: format!("s-{}/{}", bits % 7, bits % 9 + 1).parse().expect("a strategy"),
        zones: ZoneMode::NAMES[(bits % 2) as usize].0,
        pins: shards(3).iter().map(|shard| Pin { shard, node: node(shard.0) }).collect(),
        rules: rules.map(|nth| TagRule { shards: shards(nth), tags: info(1, nth as u32 % 16 * 2 + 3).tags }).collect(),
        caps: MoveCaps { total: bits as u16 | 1, per_source: 7, per_target: u16::MAX, per_second: bits as u16 | 1 },
        return_grace: Duration::from_millis(bits % 3_600_001),
        load: nth_bit(9).then_some(LoadPolicy { trigger: 999, stop: 100, ..LoadPolicy::default() }),
    }
}

fn shard_sets() -> impl Strategy<Value = ShardSet> {
    vec(any::<u16>(), 0..40).prop_map(|shards| shards.into_iter().map(ShardId).collect())
}

fn payloads() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..60).prop_map(Bytes::from),
        "\\PC{0,20}".prop_map(|text| Bytes::from(serde_json::to_vec(&text).expect("a text is JSON"))),
        select(vec!["null", "1.0", " 1", "1\n", "{\"a\" : [1e400]}", "\"\\u0000\"", "{}{}", ""])
            .prop_map(|text| Bytes::from_static(text.as_bytes())),
    ]
}

fn timer_changes() -> impl Strategy<Value = TimerChange> {
    let timers =
        (any::<[u64; 2]>(), any::<bool>(), 0..3_usize, payloads()).prop_map(|(numbers, again, missed, payload)| {
            Timer {
                name: format!("t{}", numbers[0] % 7),
                due: WallTime { unix_millis: numbers[0] },
                every: again.then(|| Duration::from_millis(numbers[1])),
                missed: [MissedTicks::Once, MissedTicks::All, MissedTicks::Skip][missed],
                command: "tick".into(),
                payload,
            }
        });
    let next = option::of(any::<u64>().prop_map(|unix_millis| WallTime { unix_millis }));
    prop_oneof![
        timers.prop_map(TimerChange::Set),
        "[a-z]{1,5}".prop_map(|name| TimerChange::Cancelled { name }),
        ("[a-z]{1,5}", next).prop_map(|(name, next)| TimerChange::Fired { name, next }),
    ]
}

fn commits() -> impl Strategy<Value = CommitRecord> {
    let marks = (any::<[u64; 3]>(), option::of(any::<u128>()), payloads()).prop_map(|(numbers, message, reply)| {
        let [origin, sequence, floor] = numbers;
        let id = CommandId { origin: Incarnation(origin), sequence };
        CommandMark { id, floor, message: message.map(MessageId), reply }
    });
    let events = (any::<u32>(), "[a-zü\"]{0,9}", payloads()).prop_map(|(schema, name, payload)| EventRecord {
        schema,
        name: name.into(),
        payload,
    });
    (any::<[u64; 7]>(), any::<bool>(), vec(marks, 0..6), vec(events, 0..6), vec(timer_changes(), 0..4)).prop_map(
        |(numbers, binary, commands, events, timers)| {
            let [shard_epoch, owner, nonce, base, prev_sequence, prev_hash, unix_millis] = numbers;
            CommitRecord {
                shard_epoch: Epoch(shard_epoch),
                owner: Incarnation(owner),
                nonce: Nonce(nonce),
                base: Version(base),
                prev_sequence: Sequence(prev_sequence),
                prev_hash,
                at: WallTime { unix_millis },
                codec: if binary { PayloadCodec::Binary } else { PayloadCodec::Json },
                commands,
                events,
                timers,
            }
        },
    )
}

fn control_records() -> impl Strategy<Value = ControlRecord> {
    let leases = (nodes(), any::<[u64; 2]>(), any::<u32>(), any::<bool>()).prop_map(|(holder, numbers, ttl, held)| {
        ControlRecord::Lease(LeaseRecord {
            term: Term(numbers[0]),
            holder,
            ttl: Duration::from_millis(ttl.into()),
            nonce: Nonce(numbers[1]),
            state: if held { LeaseState::Held } else { LeaseState::Resigned },
        })
    });
    let states = select(MemberState::NAMES.map(|(state, _)| state).to_vec());
    let members = (nodes(), states, any::<[u64; 3]>(), any::<[u32; 4]>(), "\\PC{0,30}").prop_map(
        |(node, state, wide, narrow, text)| {
            let accused = node.node.clone();
            ControlRecord::Member(MemberRecord {
                node,
                state,
                heartbeat: wide[0],
                nonce: Nonce(wide[1]),
                heartbeat_every: Duration::from_millis(narrow[0].into()),
                view: Epoch(wide[2]),
                load: Load { actors: narrow[1], commands_per_second: narrow[2] },
                info: info(narrow[3], narrow[1]),
                admin_url: text.clone(),
                build: text,
                supervisor: (wide[0] & 1 == 0).then_some(Nonce(wide[2])),
                health: Health {
                    loop_lag: Duration::from_millis(narrow[0].into()),
                    commit_p99: Duration::from_millis(narrow[1].into()),
                    mailbox_age: Duration::from_millis(narrow[2].into()),
                    accuses: vec![accused; usize::from(narrow[3] as u8 % 9)],
                    unserved: (0..narrow[1] as u16 % 65).map(|nth| ShardId(nth * 3)).collect(),
                },
                shard_loads: (0..narrow[0] as u16 % 513).map(|nth| (ShardId(nth * 7), narrow[1])).collect(),
                reads: Format::FIRST,
                digest: u128::from(wide[0]) << 64 | u128::from(wide[1]),
            })
        },
    );
    let released = vec((shard_sets(), any::<u64>().prop_map(Epoch)), 0..5);
    let reports = (nodes(), any::<u64>(), released).prop_map(|(node, nonce, released)| {
        ControlRecord::Release(ReleaseReport { node, nonce: Nonce(nonce), released })
    });
    let placements = any::<[u64; 2]>().prop_map(|[nonce, bits]| {
        ControlRecord::Placement(DesiredPlacement { nonce: Nonce(nonce), policy: Arc::new(policy(bits)) })
    });
    let asked = || ("\\PC{0,64}", "\\PC{0,200}").prop_map(|(by, why)| Asked::new(&by, &why));
    let drains = vec((nodes(), asked()), 0..=Orders::DRAINS_MAX);
    let orders = (any::<[u64; 3]>(), drains, asked(), any::<bool>()).prop_map(|(numbers, drains, asked, both)| {
        let wish = Wish::NAMES[(numbers[1] % 3) as usize].0;
        let rebalance = both.then(|| RebalanceOrder { wish, asked: asked.clone(), id: Nonce(numbers[1]) });
        let orders = Orders { rebalance, drains, step_down: both.then_some((Term(numbers[2]), asked)) };
        ControlRecord::Orders(OrdersRecord { nonce: Nonce(numbers[0]), orders: Arc::new(orders) })
    });
    prop_oneof![leases, members, reports, snapshots(), placements, orders]
}

/// Topologies of every shape: which of the lives, with which epochs, and in what state each shard is.
fn snapshots() -> impl Strategy<Value = ControlRecord> {
    let lives = vec((nodes(), any::<u32>(), 0usize..4, any::<u64>()), 1..6);
    let shards = vec((0usize..3, any::<[prop::sample::Index; 2]>(), any::<[u64; 2]>()), 16);
    let pending = vec((any::<bool>(), any::<[prop::sample::Index; 2]>()), 16);
    (lives, shards, pending, any::<[u64; 4]>(), any::<u128>(), any::<bool>()).prop_map(
        |(lives, shards, pending, numbers, uid, plan)| {
            use NodeStatus::{Active, Draining, Failed, Left};
            let epoch = numbers[0].max(1);
            let mut members: Vec<_> = lives
                .into_iter()
                .map(|(node, weight, status, since)| Member {
                    node,
                    info: info(weight.max(1), weight),
                    status: [Active, Draining, Failed, Left][status],
                    since: Epoch(since % epoch),
                    trust: Trust::NAMES[weight as usize % 3].0,
                })
                .collect();
            members.sort_by(|a, b| a.node.node.cmp(&b.node.node));
            members.dedup_by(|a, b| a.node.node == b.node.node);
            let owners: Vec<_> = members.iter().filter(|member| member.status.owns()).map(|m| m.node.clone()).collect();
            let active = members.iter().any(|member| member.status == Active);
            let shards = shards.into_iter().map(|(kind, lives, epochs)| {
                let [Epoch(given), Epoch(asked)] = epochs.map(|of| Epoch(of % epoch));
                match kind {
                    _ if owners.is_empty() => ShardState::Orphaned,
                    0 if !active => ShardState::Orphaned,
                    0 | 1 => ShardState::Owned { owner: lives[0].get(&owners).incarnation, epoch: Epoch(given) },
                    _ => ShardState::Draining {
                        from: lives[0].get(&owners).incarnation,
                        to: lives[1].get(&owners).incarnation,
                        epoch: Epoch(given),
                        drain_epoch: Epoch(asked),
                    },
                }
            });
            let shards = shards.collect();
            let pending =
                pending.into_iter().zip(0..).filter(|((pends, _), _)| plan && *pends).map(|((_, lives), nth)| {
                    let of = |index: &prop::sample::Index| index.get(&members).node.clone();
                    (ShardId(nth), of(&lives[0]), of(&lives[1]))
                });
            let image = TopologyImage {
                uid: ClusterUid(uid),
                settings: ClusterSettings {
                    shards: ShardCount::new(16).expect("a power of two"),
                    hash: numbers[1] as u8,
                    hash_seed: numbers[1],
                    profile: Profile::NAMES[numbers[1] as usize % 3].0,
                },
                policy: Arc::new(policy(numbers[1])),
                plan: plan.then(|| OpenPlan {
                    id: PlanId(numbers[2]),
                    cause: RebalanceCause::NAMES[numbers[2] as usize % RebalanceCause::NAMES.len()].0,
                    planned: numbers[2] as u32,
                    moved: numbers[3] as u32,
                }),
                order: plan
                    .then(|| (RebalanceOrder { id: Nonce(numbers[2]), ..samples::order() }, Epoch(numbers[3] % epoch))),
                leadership: match owners.first() {
                    Some(leader) => LeadershipLease::Held { leader: leader.clone(), term: Term(numbers[3]) },
                    None => LeadershipLease::Vacant { last_term: Term(numbers[3]) },
                },
                shards,
                pending: pending.collect(),
                members,
                epoch: Epoch(epoch),
                at: Position { sequence: Sequence(numbers[2].max(1)), hash: numbers[3] },
            };
            let topology = Arc::new(image.topology().expect("a topology"));
            ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce(numbers[1]), topology })
        },
    )
}

/// 65,536 shards scattered over 1,000 nodes, each of which was given its own in eight entries, none next to one of the
/// same; every third on its way, and every third to follow: far worse than the planner makes it.
#[test]
fn the_largest_cluster_fits_into_a_snapshot() {
    const NODES: u64 = 1_000;
    let count = ShardCount::new(65_536).expect("the most there can be");
    let lives: Vec<_> =
        (0..NODES).map(|nth| samples::node(&format!("node-with-a-long-name-{nth:04}"), u64::MAX - nth)).collect();
    let nth_owner = |shard: usize| shard.wrapping_mul(40_503) % 65_537 % lives.len();
    let owner = |shard: usize| &lives[nth_owner(shard)];
    let state = |shard: usize| {
        let epoch = Epoch(1_000_000 - (shard % 8 * lives.len() + nth_owner(shard)) as u64);
        let owner = owner(shard).incarnation;
        if shard.is_multiple_of(3) {
            let to = lives[shard % lives.len()].incarnation;
            ShardState::Draining { from: owner, to, epoch, drain_epoch: Epoch(1_000_000) }
        } else {
            ShardState::Owned { owner, epoch }
        }
    };
    let moves = |shard: usize| (ShardId(shard as u16), owner(shard).clone(), lives[shard % lives.len()].clone());
    let image = TopologyImage {
        uid: ClusterUid(7),
        settings: ClusterSettings { shards: count, ..ClusterSettings::default() },
        members: lives
            .iter()
            .map(|node| Member {
                node: node.clone(),
                status: NodeStatus::Active,
                info: NodeInfo::default(),
                since: Epoch(999_999),
                trust: Trust::Relieved,
            })
            .collect(),
        policy: Arc::default(),
        order: None,
        plan: Some(OpenPlan { id: PlanId(1_000_000), cause: RebalanceCause::Join, planned: 40_000, moved: 1 }),
        leadership: LeadershipLease::Held { leader: lives[0].clone(), term: Term(70_000) },
        shards: (0..65_536).map(state).collect(),
        pending: (0..65_536).filter(|shard| shard % 3 == 1).map(moves).collect(),
        epoch: Epoch(1_000_000),
        at: Position { sequence: Sequence(1_000_000), hash: u64::MAX },
    };
    let record = ControlRecord::Snapshot(TopologySnapshot {
        nonce: Nonce(u64::MAX),
        topology: Arc::new(image.topology().expect("a topology")),
    });
    let encoded = encode_control(&record).expect("it fits");
    println!("{} bytes", encoded.payload.len());
    assert!(encoded.payload.len() < 700_000, "{} bytes", encoded.payload.len());
    let read = decode_control(&ControlKey::TopologySnapshot, &encoded.payload, None);
    assert_eq!(read.expect("own bytes"), record);
}

proptest! {
    #[test]
    fn commits_come_back_byte_for_byte(record in commits()) {
        let encoded = encode_commit(&record).expect("it fits");
        prop_assert_eq!(encoded.checksum.is_none(), record.codec == PayloadCodec::Binary);
        let read = decode_commit(&encoded.payload, encoded.checksum.as_deref());
        prop_assert_eq!(read.expect("own bytes"), record);
    }

    #[test]
    fn control_records_come_back_under_their_own_key_only(record in control_records(), other in nodes()) {
        let encoded = encode_control(&record).expect("it fits");
        let read = |key: &ControlKey| decode_control(key, &encoded.payload, encoded.checksum.as_deref());
        prop_assert_eq!(read(&record.key()).expect("own bytes"), record.clone());
        for key in [
            ControlKey::Lease,
            ControlKey::Member(other.node),
            ControlKey::TopologySnapshot,
            ControlKey::Placement,
            ControlKey::Orders,
        ] {
            prop_assert_eq!(read(&key).is_ok(), key == record.key());
        }
    }

    #[test]
    fn entries_come_back(numbers: [u64; 5], uid: u128, leader in nodes(), shards in shard_sets(), cause in "\\PC{0,40}") {
        let mut entry = samples::entry();
        entry.cluster.0 = uid;
        (entry.epoch, entry.term, entry.nonce) = (Epoch(numbers[0]), Term(numbers[1]), Nonce(numbers[2]));
        (entry.prev_hash, entry.at) = (numbers[3], WallTime { unix_millis: numbers[4] });
        entry.events.push(AssignmentEvent::ShardAssigned { shards, to: leader.clone() }.into());
        (entry.leader, entry.cause) = (leader, cause);
        let encoded = encode_entry(&entry).expect("it fits");
        prop_assert_eq!(decode_entry(&encoded.payload, encoded.checksum.as_deref()).expect("own bytes"), entry);
    }

    #[test]
    fn frames_come_back(from in nodes(), id in "\\PC{1,32}", payload in payloads(), numbers: [u64; 3], text in "\\PC{0,40}") {
        let mut ask = samples::ask();
        let request = Arc::make_mut(&mut ask.request);
        request.actor.key.id = ActorId::new(id).expect("an id");
        (request.payload, request.command) = (payload.clone(), text.clone().into());
        (ask.floor, ask.budget) = (numbers[0], Duration::from_micros(numbers[1]));
        let id = CommandId { origin: Incarnation(numbers[2]), sequence: numbers[0] };
        let answers = [Answer::Replied(payload), Answer::Invalid { reason: text, maybe_applied: true }];
        let mut frames = vec![Frame::Ask(ask)];
        frames.extend(answers.map(|answer| Frame::Answer(AnswerFrame { id, sending: 7, view: Epoch(numbers[1]), answer })));
        let bytes = encode_frames(&from, &frames, 1 << 20).expect("it fits");
        prop_assert_eq!(samples::sound_frames(&bytes), (from, frames));
    }

    #[test]
    fn warm_actors_come_back(
        from in nodes(), id in "\\PC{1,32}", numbers: [u64; 4], state in vec(any::<u8>(), 0..300), many in 0..9_usize,
    ) {
        let Some(Frame::Warm(sample)) = samples::warm_frames().into_iter().next() else { unreachable!("it is the first") };
        let mut warm = sample.actors[0].clone();
        warm.actor.key.id = ActorId::new(id).expect("an id");
        warm.snapshot.at = Position { sequence: Sequence(numbers[0]), hash: numbers[1] };
        (warm.snapshot.version, warm.snapshot.shard_epoch) = (Version(numbers[2]), Epoch(numbers[3]));
        warm.snapshot.state = state.into();
        let frame = WarmFrame { actors: Arc::new(vec![warm; many]), chunk: many as u32, ..sample };
        let frames = vec![Frame::Warm(frame)];
        let bytes = encode_frames(&from, &frames, 1 << 20).expect("it fits");
        prop_assert_eq!(samples::sound_frames(&bytes), (from, frames));
    }

    #[test]
    fn actor_snapshots_come_back(
        numbers: [u64; 4], schema: u32, state in vec(any::<u8>(), 0..300), marks in vec((any::<u64>(), payloads()), 0..9),
        message: u128,
    ) {
        let stored = |bytes| StoredReply { codec: PayloadCodec::Json, bytes };
        let mut snapshot = samples::actor_snapshot();
        snapshot.at = Position { sequence: Sequence(numbers[0]), hash: numbers[1] };
        (snapshot.version, snapshot.shard_epoch) = (Version(numbers[2]), Epoch(numbers[3]));
        (snapshot.schema, snapshot.state) = (schema, state.into());
        snapshot.messages.extend(marks.iter().map(|(nth, reply)| (MessageId(message ^ u128::from(*nth)), stored(reply.clone()))));
        let applied = marks.into_iter().map(|(sequence, reply)| (sequence, stored(reply))).collect();
        snapshot.origins.push(OriginMarks { origin: Incarnation(numbers[1]), floor: numbers[0], applied });
        let body = snapshot_body(&snapshot).expect("it fits");
        prop_assert!(body.len() <= snapshot.bytes(), "{} bytes were counted as {}", body.len(), snapshot.bytes());
        let Ok(Kept::Whole(read)) = decode_kept(&whole(&body).expect("it fits").payload) else { panic!("own bytes") };
        prop_assert_eq!(read, snapshot);
    }

    #[test]
    fn dead_letters_come_back(
        kind in "[a-z0-9_-]{1,32}", id in "\\PC{1,32}", payload in option::of(payloads()), numbers: [u64; 3],
        message in option::of(any::<u128>()), words in ["\\PC{0,40}", "\\PC{0,80}"], slot: u16, by in nodes(), binary: bool,
    ) {
        let [command, reason] = words;
        let letter = DeadLetter {
            actor: ActorAddress {
                key: ActorKey { kind: ActorKind::new(&kind).expect("a kind"), id: ActorId::new(id).expect("an id") },
                slot: Slot(slot),
            },
            command,
            id: CommandId { origin: Incarnation(numbers[0]), sequence: numbers[1] },
            message: message.map(MessageId),
            codec: if binary { PayloadCodec::Binary } else { PayloadCodec::Json },
            payload,
            reason,
            maybe_applied: binary,
            by,
            at: WallTime { unix_millis: numbers[2] },
        };
        let encoded = encode_letter(&letter).expect("it fits");
        prop_assert_eq!(decode_letter(&encoded.payload, encoded.checksum.as_deref()).expect("own bytes"), letter);
    }

    #[test]
    fn checkpoints_come_back(feed in "[a-z0-9_-]{1,32}", owner in nodes(), numbers: [u64; 2], held: bool) {
        let (feed, position) = (FeedName::new(&feed).expect("a name"), Sequence(numbers[0]));
        let state = if held { FeedState::Held } else { FeedState::Released };
        let checkpoint = Checkpoint { feed, position, owner, nonce: Nonce(numbers[1]), state };
        let encoded = encode_checkpoint(&checkpoint).expect("it fits");
        let read = decode_checkpoint(&checkpoint.feed, &encoded.payload, encoded.checksum.as_deref());
        prop_assert_eq!(read.expect("own bytes"), checkpoint);
    }

    #[test]
    fn large_snapshots_come_back_in_chunks(state in vec(any::<u8>(), 1..64), times in 1usize..40_000) {
        let mut snapshot = samples::actor_snapshot();
        snapshot.state = state.repeat(times).into();
        let body = snapshot_body(&snapshot).expect("it fits");
        let parts = body.chunks(CHUNK_BYTES_MAX).map(|part| chunk(part).expect("it fits"));
        let mut read = Vec::new();
        for part in parts {
            read.extend_from_slice(decode_chunk(&part.payload).expect("own bytes"));
        }
        let chunks = (1..=body.len().div_ceil(CHUNK_BYTES_MAX) as u64).collect();
        let message = manifest(&body, chunks).expect("it fits");
        let Ok(Kept::Chunks(manifest)) = decode_kept(&message.payload) else { panic!("own bytes") };
        prop_assert_eq!(manifest.decode(&read).expect("own bytes"), snapshot);
    }

    #[test]
    fn wakes_come_back(at: Option<u64>) {
        let at = at.map(|unix_millis| WallTime { unix_millis });
        prop_assert_eq!(decode_wake(&encode_wake(at).expect("it fits").payload).expect("own bytes"), at);
    }

    #[test]
    fn claims_come_back(
        node in nodes(), leader in option::of(nodes()), leads: Option<u64>, numbers: [u64; 3], serves: Option<u64>,
    ) {
        let (leads, [term, epoch, hash]) = (leads.map(Term), numbers);
        let claim = Claim { node, leads, term: Term(term), leader, epoch: Epoch(epoch), hash, serves };
        prop_assert_eq!(decode_claim(&encode_claim(&claim).expect("it fits").payload).expect("own bytes"), claim);
    }
}

#[test]
fn every_name_of_a_closed_set_is_read_back() {
    let mut entry = samples::entry();
    let (a, b) = (samples::node("a", 1), samples::node("b", 2));
    for (reason, _) in FailureReason::NAMES {
        entry.events.push(ClusterEvent::NodeFailed { node: a.clone(), reason }.into());
    }
    for (cause, _) in RebalanceCause::NAMES {
        entry.events.push(ClusterEvent::RebalancingTriggered { plan: PlanId(1), cause, moves: Vec::new() }.into());
    }
    for (reason, _) in CancelReason::NAMES {
        let (shards, from, to) = (ShardSet::default(), a.clone(), b.clone());
        entry.events.push(AssignmentEvent::ShardMigrationFailed { shards, from, to, reason }.into());
    }
    let encoded = encode_entry(&entry).expect("it fits");
    assert_eq!(decode_entry(&encoded.payload, encoded.checksum.as_deref()).expect("own bytes"), entry);
}

#[test]
fn a_record_above_its_bound_is_not_written() {
    for codec in [PayloadCodec::Json, PayloadCodec::Binary] {
        let mut record = samples::commit(codec);
        let filling = |bytes: usize| Bytes::from(format!("\"{}\"", "x".repeat(bytes)));
        record.events[0].payload = filling(CommitRecord::BYTES_MAX - 2_000);
        let fits = encode_commit(&record).expect("it fits");
        assert!(fits.payload.len() <= CommitRecord::BYTES_MAX);
        assert_eq!(decode_commit(&fits.payload, fits.checksum.as_deref()).expect("own bytes"), record);
        record.events[0].payload = filling(CommitRecord::BYTES_MAX);
        assert!(matches!(encode_commit(&record), Err(WireFault::TooLarge { .. })));
    }
}

#[test]
fn a_frame_of_more_warm_actors_than_there_may_be_is_refused() {
    let from = samples::node("n1", 1);
    let Some(Frame::Warm(sample)) = samples::warm_frames().into_iter().next() else { unreachable!("it is the first") };
    let mut warm = sample.actors[0].clone();
    for (more, fits) in [(0, true), (1, false)] {
        warm.snapshot.state = vec![7; warm.snapshot.state.len() + WarmFrame::BYTES_MAX - warm.bytes() + more].into();
        let frames = vec![Frame::Warm(WarmFrame { actors: Arc::new(vec![warm.clone()]), ..sample.clone() })];
        let bytes = encode_frames(&from, &frames, 1 << 20).expect("the sender has its own check");
        assert_eq!(crate::wire::v1::decode_frames(&bytes).expect("the message is sound").refused.is_empty(), fits);
    }
}

#[test]
fn the_largest_command_fits_into_a_message() {
    let mut ask = samples::ask();
    Arc::make_mut(&mut ask.request).payload = vec![7; AskFrame::PAYLOAD_BYTES_MAX].into();
    let from = samples::node("n1", 1);
    let bytes = encode_frames(&from, &[Frame::Ask(ask.clone())], 1 << 20).expect("it fits");
    assert_eq!(samples::sound_frames(&bytes), (from.clone(), vec![Frame::Ask(ask.clone())]));
    Arc::make_mut(&mut ask.request).payload = vec![7; AskFrame::PAYLOAD_BYTES_MAX + 1].into();
    let bytes = encode_frames(&from, &[Frame::Ask(ask.clone())], 1 << 20).expect("the sender has its own check");
    let read = crate::wire::v1::decode_frames(&bytes).expect("the message is sound");
    assert!(read.frames.is_empty() && matches!(&read.refused[..], [WireFault::TooLarge { .. }]), "{read:?}");
    let two = vec![Frame::Ask(ask.clone()), Frame::Ask(ask)];
    assert!(matches!(encode_frames(&from, &two, 1 << 20), Err(WireFault::TooLarge { .. })));
}
