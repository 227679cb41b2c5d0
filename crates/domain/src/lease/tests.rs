//! Leadership's rules, as given/when/then.

use super::{
    LeadershipCommand as Command, LeadershipEvent as Event, LeadershipLease, LeadershipRefusal as Refusal, LossReason,
};
use crate::ids::Term;
use crate::testing::{given, life};
use crate::topology::TopologyEvent;

fn started(term: u64, name: &str) -> TopologyEvent {
    Event::TermStarted { term: Term(term), leader: life(name, 1) }.into()
}

fn lost(term: u64, name: &str, reason: LossReason) -> TopologyEvent {
    Event::LeadershipLost { term: Term(term), leader: life(name, 1), reason }.into()
}

fn elect(term: u64, name: &str) -> Command {
    Command::ElectLeader { candidate: life(name, 1), term: Term(term), active: true }
}

#[test]
fn the_first_leader_is_elected_in_the_first_term() {
    given::<LeadershipLease>([]).when(elect(1, "a")).then([started(1, "a")]);
}

#[test]
fn a_term_is_used_once_and_terms_only_grow() {
    for term in [0, 3, 4] {
        given::<LeadershipLease>([started(4, "a")])
            .when(elect(term, "b"))
            .then_refused(Refusal::TermOver { asked: Term(term), current: Term(4) });
    }
    given::<LeadershipLease>([started(4, "a"), lost(4, "a", LossReason::Resigned)])
        .when(elect(4, "b"))
        .then_refused(Refusal::TermOver { asked: Term(4), current: Term(4) });
}

#[test]
fn whoever_led_before_has_lost_the_lead() {
    given::<LeadershipLease>([started(4, "a")])
        .when(elect(6, "b"))
        .then([lost(4, "a", LossReason::Superseded), started(6, "b")]);
}

#[test]
fn only_an_active_node_is_elected() {
    given::<LeadershipLease>([])
        .when(Command::ElectLeader { candidate: life("a", 1), term: Term(1), active: false })
        .then_refused(Refusal::NotActive { candidate: life("a", 1) });
}

#[test]
fn only_the_leader_renews_or_resigns_and_only_in_its_own_term() {
    let renewed = Event::LeadershipRenewed { term: Term(2), leader: life("a", 1) };
    let renew = |name: &str, term| Command::RenewLeadership { leader: life(name, 1), term: Term(term) };
    let resign = |name: &str, term| Command::ResignLeadership { leader: life(name, 1), term: Term(term) };
    given::<LeadershipLease>([started(2, "a")]).when(renew("a", 2)).then([renewed.into()]);
    given::<LeadershipLease>([started(2, "a")]).when(resign("a", 2)).then([lost(2, "a", LossReason::Resigned)]);
    for (name, term) in [("b", 2), ("a", 1), ("a", 3)] {
        let refusal = || Refusal::NotLeader { claimed_by: life(name, 1), term: Term(term) };
        given::<LeadershipLease>([started(2, "a")]).when(renew(name, term)).then_refused(refusal());
        given::<LeadershipLease>([started(2, "a")]).when(resign(name, term)).then_refused(refusal());
    }
}

#[test]
fn a_vacant_lease_remembers_its_last_term_and_names_nobody() {
    let lease = given::<LeadershipLease>([started(3, "a"), lost(3, "a", LossReason::Resigned)]).state();
    assert_eq!((lease.term(), lease.leader()), (Term(3), None));
}
