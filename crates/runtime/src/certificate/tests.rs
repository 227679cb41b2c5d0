//! What a certificate does about each thing it can meet, and that it ends whatever the store does.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::NodeInfo;
use aether_domain::ports::{ControlUpdate, Expected};
use aether_domain::records::{
    ControlKey, ControlRecord, Format, Health, Load, MemberRecord, MemberState, StoredRecord,
};
use aether_domain::testing::life;
use aether_domain::{Epoch, Monotonic, NodeRef, Nonce, Revision};
use aether_infra_memory::{Loss, MemoryHub, Target};

use super::{Certificate, Verdict, certify};
use crate::clock::BootClock;
use crate::control::{Effect, Input, Token, WriteOutcome};

const OURS: Nonce = Nonce(0x5afe);
const OTHERS: Nonce = Nonce(0xbad);
const WITHIN: Duration = Duration::from_secs(30);

fn record(node: &NodeRef, state: MemberState, heartbeat: u64, supervisor: Option<Nonce>) -> MemberRecord {
    MemberRecord {
        node: node.clone(),
        state,
        heartbeat,
        nonce: Nonce(heartbeat),
        heartbeat_every: Duration::from_secs(1),
        view: Epoch(7),
        load: Load::default(),
        info: NodeInfo { weight: 2, ..NodeInfo::default() },
        admin_url: "http://n1".into(),
        build: "test".into(),
        supervisor,
        health: Health::default(),
        shard_loads: Vec::new(),
        reads: Format::FIRST,
        digest: 0,
    }
}

fn stored(record: &MemberRecord, revision: u64) -> StoredRecord {
    StoredRecord { record: ControlRecord::Member(record.clone()), revision: Revision(revision) }
}

/// A certificate, and a clock that only the test turns.
struct Desk {
    certificate: Certificate,
    now: Monotonic,
}

impl Desk {
    fn new() -> Self {
        let now = Monotonic::from_start(Duration::from_secs(100));
        Self { certificate: Certificate::new(OURS, 1, now, WITHIN), now }
    }
    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.certificate.step(self.now, input)
    }
    fn sees(&mut self, record: &MemberRecord, revision: u64) -> Vec<Effect> {
        self.step(Input::Control(ControlUpdate::Record(stored(record, revision))))
    }
    fn caught_up(&mut self) -> Vec<Effect> {
        self.step(Input::Control(ControlUpdate::CaughtUp))
    }
    /// Turns the clock to when the certificate wants to be woken.
    fn wakes(&mut self) -> Vec<Effect> {
        self.now = self.certificate.wakes_at().expect("it waits for something").max(self.now);
        self.step(Input::Tick)
    }
    fn settled(&self) -> Option<(Vec<NodeRef>, Vec<NodeRef>)> {
        match self.certificate.verdict()? {
            Verdict::Settled { dead, replaced } => Some((dead.clone(), replaced.clone())),
            other => panic!("{other:?}"),
        }
    }
}

/// The one write among the effects: its token, what it writes, and over what.
fn write(effects: &[Effect]) -> (Token, MemberRecord, Expected) {
    match effects {
        [Effect::Write { token, record: ControlRecord::Member(record), expected }] => {
            (*token, record.clone(), *expected)
        }
        other => panic!("one write of a member record: {other:?}"),
    }
}

#[test]
fn whatever_a_record_of_the_process_says_is_written_over_on_the_revision_that_was_read() {
    let n1 = life("n1", 1);
    for state in [MemberState::Starting, MemberState::Alive, MemberState::Leaving, MemberState::Fenced] {
        let mut desk = Desk::new();
        let last = record(&n1, state, 9, Some(OURS));
        let (token, dead, expected) = write(&desk.sees(&last, 40));
        assert_eq!(expected, Expected::At(Revision(40)), "{state:?}");
        let same = MemberRecord { state, nonce: last.nonce, ..dead.clone() };
        assert_eq!((dead.state, same), (MemberState::Dead, last), "{state:?}");
        assert_eq!(desk.step(Input::Written { token, outcome: WriteOutcome::Ok(Revision(41)) }), []);
        assert_eq!(desk.settled(), None, "there may be more records");
        assert_eq!(desk.caught_up(), []);
        assert_eq!(desk.settled(), Some((vec![n1.clone()], vec![])), "{state:?}");
    }
}

#[test]
fn records_of_other_processes_are_left_alone() {
    let mut desk = Desk::new();
    for (name, supervisor) in [("n1", None), ("n2", Some(OTHERS))] {
        assert_eq!(desk.sees(&record(&life(name, 1), MemberState::Alive, 9, supervisor), 40), [], "{name}");
    }
    desk.caught_up();
    assert_eq!(desk.wakes(), []);
    assert_eq!(desk.certificate.verdict(), Some(&Verdict::NoRecord));
}

#[test]
fn what_the_dead_process_had_sent_before_is_written_over_too() {
    let (n1, later) = (life("n1", 1), life("n1", 2));
    // A heartbeat, a fence of the leader's, which names no supervisor, and a new life of the same process.
    for (met, supervisor) in [(&n1, Some(OURS)), (&n1, None), (&later, Some(OURS))] {
        let mut desk = Desk::new();
        desk.caught_up();
        let (token, first, _) = write(&desk.sees(&record(&n1, MemberState::Alive, 9, Some(OURS)), 40));
        let conflict = WriteOutcome::Conflict { actual: Some(Revision(41)) };
        let key = ControlKey::Member(n1.node.clone());
        assert_eq!(desk.step(Input::Written { token, outcome: conflict }), [Effect::ReadBack { token, key }]);
        let found = Some(stored(&record(met, MemberState::Fenced, 10, supervisor), 41));
        let (token, second, expected) = write(&desk.step(Input::ReadBack { token, found }));
        assert_eq!((expected, &second.node), (Expected::At(Revision(41)), met));
        assert_eq!(second.supervisor, Some(OURS));
        assert_ne!(first.nonce, second.nonce, "another intention has another mark");
        desk.step(Input::Written { token, outcome: WriteOutcome::Ok(Revision(42)) });
        assert_eq!(desk.settled(), Some((vec![met.clone()], vec![])));
    }
}

#[test]
fn a_process_that_has_taken_the_record_over_keeps_it() {
    let (n1, next) = (life("n1", 1), life("n1", 2));
    for supervisor in [None, Some(OTHERS)] {
        let mut desk = Desk::new();
        desk.caught_up();
        write(&desk.sees(&record(&n1, MemberState::Alive, 9, Some(OURS)), 40));
        // The watch shows it before the write is answered.
        assert_eq!(desk.sees(&record(&next, MemberState::Starting, 1, supervisor), 41), []);
        assert_eq!(desk.settled(), Some((vec![], vec![n1.clone()])));
    }
}

#[test]
fn an_unknown_outcome_is_resolved_by_reading() {
    let n1 = life("n1", 1);
    let last = record(&n1, MemberState::Alive, 9, Some(OURS));
    let begin = || {
        let mut desk = Desk::new();
        desk.caught_up();
        let (token, dead, expected) = write(&desk.sees(&last, 40));
        let asked = desk.step(Input::Written { token, outcome: WriteOutcome::Unknown });
        assert_eq!(asked, [Effect::ReadBack { token, key: ControlKey::Member(n1.node.clone()) }]);
        (desk, token, dead, expected)
    };
    // It had landed.
    let (mut desk, token, dead, _) = begin();
    assert_eq!(desk.step(Input::ReadBack { token, found: Some(stored(&dead, 41)) }), []);
    assert_eq!(desk.settled(), Some((vec![n1.clone()], vec![])));
    // It had not, as far as a read tells, or the read failed: the same bytes with the same expectation.
    for found in [Some(stored(&last, 40)), None] {
        let (mut desk, token, dead, expected) = begin();
        assert_eq!(desk.step(Input::ReadBack { token, found }), []);
        assert_eq!(write(&desk.wakes()), (token, dead, expected));
    }
}

#[test]
fn every_node_of_the_process_is_written_dead() {
    let lives = [life("n1", 1), life("n2", 1)];
    let mut desk = Desk::new();
    let tokens = lives.clone().map(|node| write(&desk.sees(&record(&node, MemberState::Alive, 9, Some(OURS)), 40)).0);
    desk.caught_up();
    for (nth, token) in (41..).zip(tokens) {
        assert_eq!(desk.settled(), None);
        desk.step(Input::Written { token, outcome: WriteOutcome::Ok(Revision(nth)) });
    }
    assert_eq!(desk.settled(), Some((lives.to_vec(), vec![])));
}

#[test]
fn a_record_that_says_so_already_is_not_written_again() {
    let mut desk = Desk::new();
    assert_eq!(desk.sees(&record(&life("n1", 1), MemberState::Dead, 9, Some(OURS)), 40), []);
    desk.caught_up();
    assert_eq!(desk.settled(), Some((vec![life("n1", 1)], vec![])));
}

#[test]
fn a_first_record_that_the_process_had_sent_is_waited_for_a_while() {
    let mut desk = Desk::new();
    desk.caught_up();
    desk.now = desk.now + Duration::from_millis(900);
    assert_eq!(desk.step(Input::Tick), []);
    assert_eq!(desk.certificate.verdict(), None);
    write(&desk.sees(&record(&life("n1", 1), MemberState::Starting, 1, Some(OURS)), 1));
}

#[test]
fn what_cannot_be_understood_is_not_written_over() {
    let n1 = life("n1", 1);
    let mut desk = Desk::new();
    desk.caught_up();
    let (token, ..) = write(&desk.sees(&record(&n1, MemberState::Alive, 9, Some(OURS)), 40));
    desk.step(Input::Written { token, outcome: WriteOutcome::Unknown });
    assert_eq!(desk.step(Input::Spoiled { token, revision: Revision(41) }), []);
    assert_eq!(desk.wakes(), []);
    assert_eq!(desk.certificate.verdict(), Some(&Verdict::TimedOut { open: vec![n1] }));
}

#[test]
fn a_store_that_does_not_answer_is_given_up_in_time() {
    let mut desk = Desk::new();
    let began = desk.now;
    assert_eq!(desk.wakes(), []);
    assert_eq!(desk.certificate.verdict(), Some(&Verdict::TimedOut { open: vec![] }));

    let mut desk = Desk::new();
    desk.caught_up();
    let (token, ..) = write(&desk.sees(&record(&life("n1", 1), MemberState::Alive, 9, Some(OURS)), 40));
    let mut sent = 1;
    while desk.certificate.verdict().is_none() {
        desk.step(Input::Written { token, outcome: WriteOutcome::Unavailable });
        sent += desk.wakes().len();
        assert!(sent <= 400, "it does not spin");
    }
    assert_eq!(desk.certificate.verdict(), Some(&Verdict::TimedOut { open: vec![life("n1", 1)] }));
    assert_eq!(desk.now.since(began), WITHIN);
    assert!(sent > 100, "it goes on trying");
}

#[tokio::test]
async fn over_a_store_the_record_says_dead_whatever_became_of_the_first_write() {
    for loss in [None, Some(Loss::Stored), Some(Loss::NotStored), Some(Loss::Late)] {
        let hub = MemoryHub::new();
        let (n1, beside) = (life("n1", 1), life("beside", 1));
        let (node, supervisor) = (hub.ports(&n1.node), hub.ports(&beside.node));
        let alive = ControlRecord::Member(record(&n1, MemberState::Alive, 9, Some(OURS)));
        node.control.write(&alive, Expected::Absent).await.expect("nothing is in the way");
        if let Some(loss) = loss {
            hub.lose_next_ack(&beside.node, Target::Control, loss);
        }
        let verdict = certify(Arc::clone(&supervisor.control), Arc::new(BootClock), OURS, 7, WITHIN).await;
        assert_eq!(verdict, Verdict::Settled { dead: vec![n1.clone()], replaced: vec![] }, "{loss:?}");
        hub.land_late_writes();
        let found = node.control.read(&ControlKey::Member(n1.node.clone())).await.expect("it reads");
        let ControlRecord::Member(found) = found.expect("it is there").record else { panic!("a member record") };
        assert_eq!((found.state, found.node), (MemberState::Dead, n1), "{loss:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_again_until_it_is_back() {
    let hub = MemoryHub::new();
    let (n1, beside) = (life("n1", 1), life("beside", 1));
    let (node, supervisor) = (hub.ports(&n1.node), hub.ports(&beside.node));
    let alive = ControlRecord::Member(record(&n1, MemberState::Alive, 9, Some(OURS)));
    node.control.write(&alive, Expected::Absent).await.expect("nothing is in the way");
    hub.cut(&beside.node);
    let certified = certify(Arc::clone(&supervisor.control), Arc::new(BootClock), OURS, 7, WITHIN);
    let healed = async {
        // A watch that cannot begin is begun again.
        while supervisor.control.watch().await.is_ok() {}
        hub.heal(&beside.node);
    };
    let (verdict, ()) = tokio::join!(certified, healed);
    assert_eq!(verdict, Verdict::Settled { dead: vec![n1], replaced: vec![] });

    hub.outage(true);
    let brief = Duration::from_millis(50);
    let verdict = certify(Arc::clone(&supervisor.control), Arc::new(BootClock), OURS, 8, brief).await;
    assert_eq!(verdict, Verdict::TimedOut { open: vec![] });
}
