//! What is a contradiction, and what only looks like one.

use std::time::Duration;

use aether_domain::assignment::{AssignmentCommand, Grant, PlannedMove};
use aether_domain::cluster::{ClusterCommand, ClusterSettings, NodeInfo};
use aether_domain::lease::LeadershipCommand;
use aether_domain::ports::Claim;
use aether_domain::records::{Format, LeaseRecord, LeaseState, Position, StoredEntry};
use aether_domain::testing::life;
use aether_domain::topology::{Draft, Signature, Topology};
use aether_domain::{ClusterUid, Epoch, Monotonic, NodeRef, Nonce, Sequence, ShardCount, ShardId, Term, WallTime};

use super::{CLEARS_AFTER, Evidence, Finding, Input, SUSPICIONS_MAX, Watch};
use crate::subscription::TopologyRecord;

fn seconds(seconds: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_secs(1_000 + seconds))
}

/// A log of three entries and every prefix of its fold: `a` is elected, `b` after it, and a shard begins to move.
struct Log {
    records: Vec<TopologyRecord>,
    folds: Vec<Topology>,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { records: Vec::new(), folds: vec![Topology::default()] };
        let settings = ClusterSettings { shards: ShardCount::new(8).expect("8"), ..ClusterSettings::default() };
        let (a, b) = (life("a", 1), life("b", 1));
        let lives = vec![a.incarnation, b.incarnation];
        log.append(&a, 1, |draft| {
            draft.cluster(&ClusterCommand::CreateCluster { uid: ClusterUid(7), settings }).expect("a new cluster");
            for node in [&a, &b] {
                draft
                    .cluster(&ClusterCommand::JoinCluster { node: node.clone(), info: NodeInfo::default() })
                    .expect("it joins");
            }
            let elect = LeadershipCommand::ElectLeader { candidate: a.clone(), term: Term(1), active: true };
            draft.leadership(&elect).expect("nobody leads");
            let dealt = |nth| (0..8).filter(|shard| shard % 2 == nth).map(ShardId).collect();
            let grants = vec![Grant { shards: dealt(0), to: a.clone() }, Grant { shards: dealt(1), to: b.clone() }];
            let assign = AssignmentCommand::AssignShards { grants, active: lives.clone(), living: lives.clone() };
            draft.assignment(&assign).expect("nobody has them");
        });
        log.append(&b, 2, |draft| {
            let elect = LeadershipCommand::ElectLeader { candidate: b.clone(), term: Term(2), active: true };
            draft.leadership(&elect).expect("a higher term");
        });
        log.append(&b, 2, |draft| {
            let moves = vec![PlannedMove { shards: ShardId(0).into(), from: a.clone(), to: b.clone() }];
            let begin = AssignmentCommand::RebalanceFromTopology { moves, active: lives.clone() };
            draft.assignment(&begin).expect("a has it");
        });
        log
    }

    fn append(&mut self, leader: &NodeRef, term: u64, compose: impl FnOnce(&mut Draft)) {
        let mut fold = self.folds.last().expect("one").clone();
        let mut draft = Draft::new(&fold);
        compose(&mut draft);
        let (cluster, cause, at) = (ClusterUid(7), "a test".into(), WallTime::default());
        let by = Signature {
            format: Format::FIRST,
            cluster,
            leader: leader.clone(),
            term: Term(term),
            nonce: Nonce(1),
            cause,
            at,
        };
        let entry = draft.finish(by).expect("it breaks nothing");
        let sequence = Sequence(entry.epoch.0);
        let stored = StoredEntry { entry, at: Position { sequence, hash: 0x1000 + sequence.0 } };
        fold.apply(&stored).expect("it follows");
        self.folds.push(fold);
        self.records.push(stored.into());
    }

    /// What an honest node says that has come so far.
    fn claim(&self, node: &NodeRef, epoch: usize) -> Claim {
        let fold = &self.folds[epoch];
        let digest = Claim::digests(fold).get(&node.incarnation).copied().unwrap_or_default();
        let (term, leader) = (fold.leadership().term(), fold.leadership().leader().cloned());
        let leads = (leader.as_ref() == Some(node)).then_some(term);
        Claim {
            node: node.clone(),
            leads,
            term,
            leader,
            epoch: fold.epoch(),
            hash: fold.at().hash,
            serves: Some(digest),
        }
    }

    /// A watch whose node has folded so much, and which has read as much.
    fn watch(&self, epoch: usize) -> Watch {
        let mut watch = Watch::default();
        for record in &self.records[..epoch] {
            assert_eq!(watch.step(seconds(0), Input::Stored(record)), []);
        }
        assert_eq!(watch.step(seconds(0), Input::Folded(&self.folds[epoch])), []);
        watch
    }
}

fn lease(term: u64, holder: &NodeRef) -> LeaseRecord {
    let (ttl, nonce, state) = (Duration::from_secs(10), Nonce(1), LeaseState::Held);
    LeaseRecord { term: Term(term), holder: holder.clone(), ttl, nonce, state }
}

#[test]
fn nobody_who_is_behind_ahead_asleep_or_new_contradicts_anybody() {
    let log = Log::new();
    let nodes = [life("a", 1), life("b", 1), life("c", 1)];
    for (mine, theirs) in (0..4).flat_map(|mine| (0..4).map(move |theirs| (mine, theirs))) {
        let mut watch = log.watch(mine);
        for node in &nodes {
            let honest = log.claim(node, theirs);
            let silent = Claim { serves: None, ..honest.clone() };
            for claim in [honest, silent] {
                assert_eq!(watch.step(seconds(1), Input::Claimed(&claim)), [], "at {mine} of {claim:?}");
            }
        }
        for held in [lease(1, &nodes[0]), lease(2, &nodes[1]), lease(3, &nodes[0]), lease(1, &nodes[0])] {
            assert_eq!(watch.step(seconds(1), Input::Lease(&held)), [], "at {mine}: {held:?}");
        }
        assert_eq!(watch.suspected(), 0);
    }
}

#[test]
fn whatever_cannot_be_is_said_once_and_until_it_has_not_been_seen_for_a_while() {
    let log = Log::new();
    let (a, b, forger) = (life("a", 1), life("b", 1), life("b", 666));
    let honest = |node: &NodeRef| log.claim(node, 3);
    let claims = |leads: Option<u64>| Claim { leads: leads.map(Term), ..honest(&forger) };
    let two = |term, one: &NodeRef, other: &NodeRef, says: &NodeRef| {
        let (term, one, other, says) = (Term(term), one.clone(), other.clone(), says.clone());
        Evidence::TwoLeaders { term, one, other, says }
    };
    for (claim, evidence) in [
        (claims(Some(2)), two(2, &b, &forger, &forger)),
        (claims(Some(1)), two(1, &a, &forger, &forger)),
        (claims(Some(3)), Evidence::NoSuchTerm { term: Term(3), claimed_by: forger.clone() }),
        (
            Claim { epoch: Epoch(0), ..claims(Some(9)) },
            Evidence::NoSuchTerm { term: Term(9), claimed_by: forger.clone() },
        ),
        (Claim { leader: Some(forger.clone()), ..honest(&a) }, two(2, &b, &forger, &a)),
        (
            Claim { hash: 7, ..honest(&a) },
            Evidence::TwoLogs { node: a.clone(), epoch: Epoch(3), stored: 0x1003, claimed: 7 },
        ),
        (
            Claim { epoch: Epoch(1), hash: 7, ..honest(&a) },
            Evidence::TwoLogs { node: a.clone(), epoch: Epoch(1), stored: 0x1001, claimed: 7 },
        ),
        (Claim { serves: Some(7), ..honest(&a) }, Evidence::ServesAnothers { node: a.clone(), epoch: Epoch(3) }),
        (
            Claim { serves: honest(&b).serves, ..honest(&forger) },
            Evidence::ServesAnothers { node: forger.clone(), epoch: Epoch(3) },
        ),
    ] {
        let mut watch = log.watch(3);
        assert_eq!(watch.step(seconds(1), Input::Claimed(&claim)), [Finding::Suspected(evidence.clone())]);
        assert_eq!(watch.step(seconds(5), Input::Claimed(&claim)), [], "it is one story");
        assert_eq!((watch.suspicions().len(), watch.suspected()), (1, 1));
        let quiet = seconds(5) + CLEARS_AFTER;
        assert_eq!(watch.step(quiet - Duration::from_millis(1), Input::Tick), []);
        assert_eq!(watch.step(quiet, Input::Tick), [Finding::Cleared(evidence)]);
        assert_eq!((watch.suspicions().len(), watch.suspected()), (0, 1));
    }
}

#[test]
fn two_claims_of_a_term_that_the_log_has_not_told_of_yet_contradict_each_other() {
    let log = Log::new();
    let mut watch = log.watch(1);
    assert_eq!(watch.step(seconds(1), Input::Claimed(&log.claim(&life("b", 1), 2))), []);
    let forged = Claim { node: life("c", 1), ..log.claim(&life("b", 1), 2) };
    let found = watch.step(seconds(1), Input::Claimed(&Claim { serves: None, ..forged }));
    assert!(matches!(&found[..], [Finding::Suspected(Evidence::TwoLeaders { term: Term(2), .. })]), "{found:?}");
}

#[test]
fn a_claim_of_somebody_who_is_ahead_is_judged_once_the_log_has_been_read_that_far() {
    let log = Log::new();
    let forger = life("c", 1);
    let forged = Claim { leads: Some(Term(9)), serves: Some(7), ..log.claim(&forger, 3) };
    let mut watch = log.watch(2);
    assert_eq!(watch.step(seconds(1), Input::Claimed(&forged)), []);
    let unheard_of = Evidence::NoSuchTerm { term: Term(9), claimed_by: forger.clone() };
    assert_eq!(watch.step(seconds(1), Input::Stored(&log.records[2])), []);
    let serves = Evidence::ServesAnothers { node: forger, epoch: Epoch(3) };
    let found = watch.step(seconds(1), Input::Folded(&log.folds[3]));
    assert_eq!(found, [Finding::Suspected(unheard_of), Finding::Suspected(serves)]);
    assert_eq!(watch.step(seconds(1), Input::Folded(&log.folds[3])), [], "it waits no more");
}

#[test]
fn a_lease_record_of_another_stands_accused_as_long_as_it_lies_there() {
    let log = Log::new();
    let (mut watch, forger) = (log.watch(3), life("c", 1));
    let evidence = Evidence::LeaseOfAnother { term: Term(2), leader: life("b", 1), holder: forger.clone() };
    let found = watch.step(seconds(1), Input::Lease(&lease(2, &forger)));
    assert_eq!(found, [Finding::Suspected(evidence.clone())]);
    for later in 2..60 {
        assert_eq!(watch.step(seconds(later), Input::Tick), []);
    }
    assert_eq!(watch.step(seconds(60), Input::Lease(&lease(2, &life("b", 1)))), []);
    assert_eq!(watch.step(seconds(59) + CLEARS_AFTER, Input::Tick), [Finding::Cleared(evidence)]);
}

#[test]
fn a_flood_of_forgeries_takes_no_more_memory_than_a_few() {
    let log = Log::new();
    let mut watch = log.watch(3);
    for forger in 2..2_000 {
        let node = life("b", forger);
        watch.step(seconds(1), Input::Claimed(&Claim { leads: Some(Term(2)), ..log.claim(&node, 3) }));
        let unheard_of = Claim { leads: Some(Term(1_000_000 + forger)), epoch: Epoch(1 << 60), ..log.claim(&node, 3) };
        watch.step(seconds(1), Input::Claimed(&unheard_of));
    }
    assert_eq!((watch.suspicions().len(), watch.suspected() >= 1_998), (SUSPICIONS_MAX, true));
    assert_eq!(watch.step(seconds(100), Input::Tick).len(), SUSPICIONS_MAX);
}
