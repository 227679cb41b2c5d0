//! Leadership as folded from its events, and its judgement.

use super::{LeadershipCommand as Command, LeadershipEvent as Event, LeadershipRefusal as Refusal, LossReason};
use crate::aggregate::Aggregate;
use crate::ids::{Epoch, NodeRef, Term};
use crate::topology::TopologyEvent;

/// Who leads. A vacant lease has no holder to misread; a held one cannot lack a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipLease {
    /// Nobody leads.
    Vacant {
        /// The last term that was started; [`Term::ZERO`] if none was.
        last_term: Term,
    },
    /// Somebody leads.
    Held {
        /// Who.
        leader: NodeRef,
        /// In which term.
        term: Term,
    },
}

impl Default for LeadershipLease {
    fn default() -> Self {
        Self::Vacant { last_term: Term::ZERO }
    }
}

impl LeadershipLease {
    /// The last term that was started.
    pub fn term(&self) -> Term {
        match self {
            Self::Vacant { last_term: term } | Self::Held { term, .. } => *term,
        }
    }
    /// Who leads, if anybody does.
    pub fn leader(&self) -> Option<&NodeRef> {
        match self {
            Self::Vacant { .. } => None,
            Self::Held { leader, .. } => Some(leader),
        }
    }
    /// Whether exactly this life leads in exactly this term.
    pub fn is_led_by(&self, node: &NodeRef, term: Term) -> bool {
        matches!(self, Self::Held { leader, term: held } if leader == node && *held == term)
    }
}

impl Aggregate for LeadershipLease {
    type Command = Command;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<TopologyEvent>, Refusal> {
        let leads = |leader: &NodeRef, term: Term| {
            let refusal = Refusal::NotLeader { claimed_by: leader.clone(), term };
            self.is_led_by(leader, term).then(|| (leader.clone(), term)).ok_or(refusal)
        };
        match command {
            Command::ElectLeader { candidate, term, active } => {
                if *term <= self.term() {
                    return Err(Refusal::TermOver { asked: *term, current: self.term() });
                }
                if !active {
                    return Err(Refusal::NotActive { candidate: candidate.clone() });
                }
                let lost = match self {
                    Self::Vacant { .. } => None,
                    Self::Held { leader, term } => {
                        let (leader, term) = (leader.clone(), *term);
                        Some(Event::LeadershipLost { term, leader, reason: LossReason::Superseded }.into())
                    }
                };
                let started = Event::TermStarted { term: *term, leader: candidate.clone() };
                Ok(lost.into_iter().chain([started.into()]).collect())
            }
            Command::RenewLeadership { leader, term } => {
                let (leader, term) = leads(leader, *term)?;
                Ok(vec![Event::LeadershipRenewed { term, leader }.into()])
            }
            Command::ResignLeadership { leader, term } => {
                let (leader, term) = leads(leader, *term)?;
                Ok(vec![Event::LeadershipLost { term, leader, reason: LossReason::Resigned }.into()])
            }
        }
    }

    fn evolve(&mut self, event: &TopologyEvent, _: Epoch) {
        match event {
            TopologyEvent::Leadership(Event::TermStarted { term, leader }) => {
                *self = Self::Held { leader: leader.clone(), term: *term };
            }
            TopologyEvent::Leadership(Event::LeadershipLost { term, .. }) => {
                *self = Self::Vacant { last_term: *term };
            }
            _ => {}
        }
    }
}
