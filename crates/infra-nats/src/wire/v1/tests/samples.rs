//! One of everything that is stored or sent.

use std::sync::Arc;
use std::time::Duration;

use crate::wire::v1::decode_frames;
use aether_domain::assignment::{AssignmentEvent, CancelReason, PlannedMove, ShardState};
use aether_domain::cluster::{
    ClusterEvent, ClusterSettings, FailureReason, Member, NodeInfo, NodeStatus, OpenPlan, RebalanceCause, Trust,
};
use aether_domain::image::TopologyImage;
use aether_domain::lease::{LeadershipEvent, LeadershipLease, LossReason};
use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::policy::{LoadPolicy, MoveCaps, Pin, PlacementPolicy, Strategy, TagRule, ZoneMode};
use aether_domain::ports::{
    Answer, AnswerFrame, AskFrame, Claim, Frame, ReadMode, Request, WarmFrame, WarmTakenFrame, WarmVerdict,
};
use aether_domain::records::{
    ActorSnapshot, Checkpoint, CommandMark, CommitRecord, ControlRecord, DeadLetter, DesiredPlacement, Entry,
    EventRecord, FeedState, Format, Health, LeaseRecord, LeaseState, Load, MemberRecord, MemberState, MissedTicks,
    OrdersRecord, OriginMarks, PayloadCodec, Position, ReleaseReport, StoredReply, Timer, TimerChange,
    TopologySnapshot, WarmActor,
};
use aether_domain::topology::TopologyEvent;
use aether_domain::{
    ActorAddress, ActorId, ActorKey, ActorKind, ClusterUid, CommandId, Epoch, FeedName, Incarnation, MessageId, NodeId,
    NodeRef, Nonce, PlanId, Sequence, ShardCount, ShardId, ShardSet, Slot, StrategyName, Tag, Term, Version, WallTime,
    Zone,
};
use bytes::Bytes;

pub(in crate::wire) fn node(name: &str, incarnation: u64) -> NodeRef {
    NodeRef { node: NodeId::new(name).expect("a node id"), incarnation: Incarnation(incarnation) }
}

/// Of that weight, in a zone and with two tags.
fn info(weight: u32) -> NodeInfo {
    let tags = ["eu", "ssd"].map(|tag| Tag::new(tag).expect("a tag"));
    NodeInfo { weight, zone: Some(Zone::new("z1").expect("a zone")), tags: tags.into() }
}

fn shards(runs: &str) -> ShardSet {
    runs.parse().expect("runs of shards")
}

pub(in crate::wire) fn checkpoint() -> Checkpoint {
    Checkpoint {
        feed: FeedName::new("totals").expect("a name"),
        position: Sequence(4711),
        owner: node("n1", 0x4d2),
        nonce: Nonce(0xfeed),
        state: FeedState::Held,
    }
}

pub(in crate::wire) fn lease() -> ControlRecord {
    ControlRecord::Lease(LeaseRecord {
        term: Term(26),
        holder: node("n1", 0x4d2),
        ttl: Duration::from_secs(10),
        nonce: Nonce(0xfeed),
        state: LeaseState::Held,
    })
}

/// Who sent a message, and its frames: all of them are understood.
pub(in crate::wire) fn sound_frames(payload: &[u8]) -> (NodeRef, Vec<Frame>) {
    let read = decode_frames(payload).expect("own bytes");
    assert!(read.refused.is_empty(), "{:?}", read.refused);
    (read.from, read.frames)
}

pub(in crate::wire) fn member() -> ControlRecord {
    ControlRecord::Member(MemberRecord {
        node: node("n1", 0x4d2),
        state: MemberState::Alive,
        heartbeat: 17,
        nonce: Nonce(u64::MAX),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(31),
        load: Load { actors: 1000, commands_per_second: 250 },
        info: info(1),
        admin_url: "http://127.0.0.1:7070".to_owned(),
        build: "0.1.0".to_owned(),
        supervisor: Some(Nonce(0x5afe)),
        health: Health {
            loop_lag: Duration::from_millis(3),
            commit_p99: Duration::from_millis(12),
            mailbox_age: Duration::from_millis(40),
            accuses: vec![node("n2", 1).node],
            unserved: shards("3-4,9"),
        },
        shard_loads: vec![(ShardId(0), 70), (ShardId(1023), u32::MAX)],
        reads: Format::FIRST,
        digest: u128::MAX / 5,
    })
}

/// With something in each of its places.
pub(in crate::wire) fn policy() -> PlacementPolicy {
    let pin = |shard, name: &str| Pin { shard: ShardId(shard), node: node(name, 0).node };
    PlacementPolicy {
        strategy: Strategy { name: StrategyName::new("own").expect("a name"), version: 2 },
        zones: ZoneMode::Equal,
        pins: vec![pin(0, "n2"), pin(1, "n1"), pin(2, "n2"), pin(3, "n2")],
        rules: vec![
            TagRule { shards: shards("0-3,7"), tags: info(1).tags },
            TagRule { shards: shards("5"), tags: [Tag::new("gpu").expect("a tag")].into() },
        ],
        caps: MoveCaps { total: 100, per_source: 10, per_target: 20, per_second: 50 },
        return_grace: Duration::from_secs(30),
        load: Some(LoadPolicy::default()),
    }
}

pub(in crate::wire) fn placement() -> ControlRecord {
    ControlRecord::Placement(DesiredPlacement { nonce: Nonce(0xfeed), policy: Arc::new(policy()) })
}

pub(in crate::wire) fn order() -> RebalanceOrder {
    RebalanceOrder { wish: Wish::Pause, asked: Asked::new("ann", "the \"big\" sale"), id: Nonce(0xbeef) }
}

pub(in crate::wire) fn orders() -> ControlRecord {
    let orders = Orders {
        rebalance: Some(order()),
        drains: vec![(node("n2", 0x4d2), Asked::new("ben", ""))],
        step_down: Some((Term(26), Asked::new("ann", "disk"))),
    };
    ControlRecord::Orders(OrdersRecord { nonce: Nonce(0xfeed), orders: Arc::new(orders) })
}

pub(in crate::wire) fn release() -> ControlRecord {
    ControlRecord::Release(ReleaseReport {
        node: node("n1", 0x4d2),
        nonce: Nonce(3),
        released: vec![(shards("0-3,7"), Epoch(31)), (shards("1023"), Epoch(32))],
    })
}

/// Three shards of each state, two moves that have not begun, and a member of each standing.
pub(in crate::wire) fn snapshot() -> ControlRecord {
    let (a, b, c, d) = (node("n1", 1), node("n2", 2), node("n3", 3), node("n4", u64::MAX));
    let member = |node: &NodeRef, status, since| {
        let trust = if since == 1 { Trust::Suspected } else { Trust::Full };
        Member {
            node: node.clone(),
            status,
            info: if since == 7 { NodeInfo::default() } else { info(1) },
            since: Epoch(since),
            trust,
        }
    };
    let owned = |owner: &NodeRef, epoch| ShardState::Owned { owner: owner.incarnation, epoch: Epoch(epoch) };
    let draining =
        ShardState::Draining { from: b.incarnation, to: a.incarnation, epoch: Epoch(2), drain_epoch: Epoch(300) };
    let image = TopologyImage {
        uid: ClusterUid(u128::MAX / 3),
        settings: ClusterSettings { shards: ShardCount::new(8).expect("a power of two"), ..ClusterSettings::default() },
        members: vec![
            member(&a, NodeStatus::Active, 1),
            member(&b, NodeStatus::Draining, 299),
            member(&c, NodeStatus::Failed, 250),
            member(&d, NodeStatus::Left, 7),
        ],
        policy: Arc::new(policy()),
        plan: Some(OpenPlan { id: PlanId(300), cause: RebalanceCause::Drain, planned: 5, moved: 0 }),
        order: Some((order(), Epoch(299))),
        leadership: LeadershipLease::Held { leader: a.clone(), term: Term(26) },
        shards: vec![
            owned(&a, 1),
            owned(&a, 1),
            owned(&a, 260),
            draining,
            draining,
            draining,
            owned(&b, 2),
            owned(&b, 2),
        ],
        pending: vec![(ShardId(6), b.clone(), a.clone()), (ShardId(7), b, a)],
        epoch: Epoch(300),
        at: Position { sequence: Sequence(300), hash: 0x0123_4567_89ab_cdef },
    };
    let topology = Arc::new(image.topology().expect("a topology"));
    ControlRecord::Snapshot(TopologySnapshot { nonce: Nonce(0xfeed), topology })
}

pub(in crate::wire) fn entry() -> Entry {
    let (a, b) = (node("n1", 1), node("n2", 2));
    let events: Vec<TopologyEvent> = vec![
        ClusterEvent::ClusterCreated { uid: ClusterUid(7), settings: ClusterSettings::default() }.into(),
        ClusterEvent::NodeJoined { node: a.clone(), info: NodeInfo::default() }.into(),
        ClusterEvent::NodeRestarted { node: b.clone(), previous: Incarnation(9), info: info(2) }.into(),
        ClusterEvent::NodeDraining { node: a.clone() }.into(),
        ClusterEvent::NodeFailed { node: b.clone(), reason: FailureReason::Silent }.into(),
        ClusterEvent::NodeLeft { node: a.clone() }.into(),
        ClusterEvent::NodeSuspected { node: b.clone(), by: vec![a.node.clone(), b.node.clone()] }.into(),
        ClusterEvent::NodeRelieved { node: b.clone() }.into(),
        ClusterEvent::NodeTrusted { node: b.clone() }.into(),
        ClusterEvent::PlacementAdopted { policy: Arc::new(policy()) }.into(),
        ClusterEvent::PlacementRejected { strategy: policy().strategy, why: "it panicked: \"no\"".to_owned() }.into(),
        ClusterEvent::RebalancingOrdered { order: order() }.into(),
        ClusterEvent::RebalancingTriggered {
            plan: PlanId(31),
            cause: RebalanceCause::Join,
            moves: vec![PlannedMove { shards: shards("0-340,512"), from: a.clone(), to: b.clone() }],
        }
        .into(),
        ClusterEvent::RebalancingCompleted { plan: PlanId(31), moved: 342 }.into(),
        LeadershipEvent::TermStarted { term: Term(26), leader: a.clone() }.into(),
        LeadershipEvent::LeadershipRenewed { term: Term(26), leader: a.clone() }.into(),
        LeadershipEvent::LeadershipLost { term: Term(26), leader: a.clone(), reason: LossReason::Resigned }.into(),
        AssignmentEvent::ShardAssigned { shards: shards("0-1023"), to: a.clone() }.into(),
        AssignmentEvent::ShardMigrationStarted { shards: shards("5"), from: a.clone(), to: b.clone() }.into(),
        AssignmentEvent::ShardMigrated { shards: shards("5"), from: a.clone(), to: b.clone() }.into(),
        AssignmentEvent::ShardMigrationFailed {
            shards: shards("6"),
            from: a.clone(),
            to: b,
            reason: CancelReason::DestinationGone,
        }
        .into(),
        AssignmentEvent::ShardsOrphaned { shards: shards("7-8") }.into(),
    ];
    Entry {
        format: Format::FIRST,
        cluster: ClusterUid(7),
        epoch: Epoch(31),
        term: Term(26),
        leader: a,
        nonce: Nonce(0xfeed),
        prev_hash: 0x0123_4567_89ab_cdef,
        cause: "join n2".to_owned(),
        at: WallTime { unix_millis: 1_767_225_600_000 },
        events,
    }
}

pub(in crate::wire) fn commit(codec: PayloadCodec) -> CommitRecord {
    let (reply, event): (&[u8], &[u8]) = match codec {
        PayloadCodec::Json => (br#"{"balance":90}"#, br#"{"Withdrawn": {"amount": 10}}"#),
        PayloadCodec::Binary => (&[90], &[1, 10]),
    };
    CommitRecord {
        shard_epoch: Epoch(31),
        owner: Incarnation(0x4d2),
        nonce: Nonce(0xfeed),
        base: Version(4),
        prev_sequence: Sequence(250),
        prev_hash: 0x0123_4567_89ab_cdef,
        at: WallTime { unix_millis: 1_767_225_600_000 },
        codec,
        commands: vec![
            CommandMark {
                id: CommandId { origin: Incarnation(0x4d2), sequence: 300 },
                floor: 299,
                message: Some(MessageId(0xabc)),
                reply: Bytes::copy_from_slice(reply),
            },
            CommandMark {
                id: CommandId { origin: Incarnation(0x4d2), sequence: 301 },
                floor: 299,
                message: None,
                reply: Bytes::new(),
            },
        ],
        events: vec![EventRecord { schema: 1, name: "withdrawn".into(), payload: Bytes::copy_from_slice(event) }],
        timers: vec![
            TimerChange::Set(Timer {
                name: "interest".into(),
                due: WallTime { unix_millis: 1_767_229_200_000 },
                every: Some(Duration::from_secs(3600)),
                missed: MissedTicks::All,
                command: "accrue".into(),
                payload: Bytes::copy_from_slice(reply),
            }),
            TimerChange::Cancelled { name: "expiry".into() },
            TimerChange::Fired { name: "reminder".into(), next: Some(WallTime { unix_millis: 1_767_225_700_000 }) },
        ],
    }
}

pub(crate) fn ask() -> AskFrame {
    let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("alice").expect("an id") };
    let request = Request {
        actor: ActorAddress { key, slot: Slot(0xa5b) },
        command: "Withdraw".into(),
        payload: Bytes::from_static(br#"{"amount":10}"#),
        codec: PayloadCodec::Json,
        message: Some(MessageId(0xabc)),
        mode: ReadMode::Leased,
        trace: None,
    };
    AskFrame {
        id: CommandId { origin: Incarnation(0x4d2), sequence: 300 },
        floor: 299,
        request: request.into(),
        view: Epoch(31),
        budget: Duration::from_millis(1500),
        attempt: 1,
        sending: 2,
        wants_answer: true,
    }
}

pub(in crate::wire) fn answers() -> Vec<Answer> {
    let owner = Some(node("n2", 2).node);
    vec![
        Answer::Replied(Bytes::from_static(b"90")),
        Answer::Looked(Bytes::from_static(b"80")),
        Answer::Rejected(Bytes::from_static(b"\"no funds\"")),
        Answer::NotOwner { owner: owner.clone() },
        Answer::NotOwner { owner: None },
        Answer::Moving { to: owner },
        Answer::Behind,
        Answer::Unavailable { retry_after: Duration::from_millis(200), maybe_applied: true },
        Answer::Busy,
        Answer::Expired { maybe_applied: false },
        Answer::Poisoned { reason: "overflow".to_owned(), maybe_applied: false },
        Answer::Invalid { reason: "no such command".to_owned(), maybe_applied: true },
        Answer::Quarantined { reason: "prev_hash differs".to_owned(), maybe_applied: true },
    ]
}

pub(in crate::wire) fn frames() -> Vec<Frame> {
    let answer = |(nth, answer)| {
        let id = CommandId { origin: Incarnation(0x4d2), sequence: 300 + nth as u64 };
        Frame::Answer(AnswerFrame { id, sending: 2, view: Epoch(31), answer })
    };
    std::iter::once(Frame::Ask(ask())).chain(answers().into_iter().enumerate().map(answer)).collect()
}

/// A warm actor with something in each of its places and an empty one, and each thing that can become of them.
pub(in crate::wire) fn warm_frames() -> Vec<Frame> {
    let (shard, drain_epoch) = (ShardId(1023), Epoch(300));
    let actor = |id: &str| ActorAddress {
        key: ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new(id).expect("an id") },
        slot: Slot(0xffff),
    };
    let blank = ActorSnapshot {
        state: Bytes::new(),
        origins: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
        ..actor_snapshot()
    };
    let actors = [("\u{fc} 1", actor_snapshot()), ("2", blank)];
    let actors = actors
        .map(|(id, snapshot)| WarmActor { actor: actor(id), snapshot, grown_events: 7, grown_bytes: 300 })
        .to_vec();
    let warm = WarmFrame { shard, drain_epoch, chunk: 1, actors: Arc::new(actors) };
    let nothing = WarmFrame { shard: ShardId(0), drain_epoch: Epoch(1), chunk: 0, actors: Arc::default() };
    let taken = |verdict| Frame::WarmTaken(WarmTakenFrame { shard, drain_epoch, chunk: 1, verdict });
    let verdicts = [WarmVerdict::Taken, WarmVerdict::NoRoom, WarmVerdict::Unwanted];
    [Frame::Warm(warm), Frame::Warm(nothing)].into_iter().chain(verdicts.map(taken)).collect()
}

pub(in crate::wire) const WAKE: Option<WallTime> = Some(WallTime { unix_millis: 1_770_000_000_123 });

pub(in crate::wire) fn claims() -> Vec<Claim> {
    let leader = node("n1", 0x4d2);
    let term = Term(26);
    vec![
        Claim {
            node: leader.clone(),
            leads: Some(term),
            term,
            leader: Some(leader),
            epoch: Epoch(31),
            hash: u64::MAX - 1,
            serves: Some(0xfeed),
        },
        Claim {
            node: node("n2", u64::MAX),
            leads: None,
            term: Term::ZERO,
            leader: None,
            epoch: Epoch::ZERO,
            hash: 0,
            serves: None,
        },
    ]
}

/// With something in each of its places.
pub(in crate::wire) fn actor_snapshot() -> ActorSnapshot {
    let reply = |codec, bytes: &'static [u8]| StoredReply { codec, bytes: Bytes::from_static(bytes) };
    let json = || reply(PayloadCodec::Json, b"{\"balance\":7}");
    let timer = Timer {
        name: "refill".into(),
        due: WallTime { unix_millis: 1_700_000_000_000 },
        every: Some(Duration::from_millis(1500)),
        missed: MissedTicks::Skip,
        command: "refill".into(),
        payload: Bytes::from_static(b"{}"),
    };
    ActorSnapshot {
        at: Position { sequence: Sequence(300), hash: u64::MAX - 1 },
        version: Version(40),
        shard_epoch: Epoch(31),
        schema: 2,
        codec: PayloadCodec::Binary,
        state: Bytes::from_static(&[7, 0, 255]),
        origins: vec![OriginMarks {
            origin: Incarnation(0x4d2),
            floor: 17,
            applied: vec![(17, json()), (300, reply(PayloadCodec::Binary, &[9]))],
        }],
        messages: vec![(MessageId(0xabc), json())],
        timers: vec![timer],
    }
}

pub(in crate::wire) fn letter() -> DeadLetter {
    DeadLetter {
        actor: ActorAddress {
            key: ActorKey {
                kind: ActorKind::new("account").expect("a kind"),
                id: ActorId::new("\u{fc} 1").expect("an id"),
            },
            slot: Slot(0xa5b),
        },
        command: "withdraw".to_owned(),
        id: CommandId { origin: Incarnation(0x4d2), sequence: 17 },
        message: Some(MessageId(7)),
        codec: PayloadCodec::Json,
        payload: Some(Bytes::from_static(b"{\"amount\":12}")),
        reason: "attempt to divide by zero".to_owned(),
        maybe_applied: true,
        by: node("n1", 0x4d2),
        at: WallTime { unix_millis: 1_700_000_000_000 },
    }
}
