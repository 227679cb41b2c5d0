//! What a node believes, in the binary envelope.

use aether_domain::ports::Claim;
use aether_domain::{Epoch, Incarnation, NodeId, NodeRef, Term};
use wincode::{SchemaRead, SchemaWrite};

use super::envelope::{self, Body, Kind};
use super::{Encoded, WireFault, bounded};

/// The most bytes of a claim: two names of nodes and seven numbers.
const CLAIM_BYTES_MAX: usize = 256;

#[derive(SchemaWrite, SchemaRead)]
struct ClaimB1 {
    node: String,
    incarnation: u64,
    leads: Option<u64>,
    term: u64,
    leader: Option<LifeB1>,
    epoch: u64,
    hash: u64,
    serves: Option<u64>,
}

#[derive(SchemaWrite, SchemaRead)]
struct LifeB1 {
    node: String,
    incarnation: u64,
}

impl Body<'_> for ClaimB1 {
    const KIND: Kind = Kind::Claim;
}

/// The claim as it is sent.
pub(crate) fn encode_claim(claim: &Claim) -> Result<Encoded, WireFault> {
    let body = ClaimB1 {
        node: claim.node.node.to_string(),
        incarnation: claim.node.incarnation.0,
        leads: claim.leads.map(|Term(term)| term),
        term: claim.term.0,
        leader: claim
            .leader
            .as_ref()
            .map(|life| LifeB1 { node: life.node.to_string(), incarnation: life.incarnation.0 }),
        epoch: claim.epoch.0,
        hash: claim.hash,
        serves: claim.serves,
    };
    envelope::encode(&body, CLAIM_BYTES_MAX)
}

/// The claim that those bytes hold.
pub(crate) fn decode_claim(bytes: &[u8]) -> Result<Claim, WireFault> {
    bounded(bytes.len(), CLAIM_BYTES_MAX)?;
    let body: ClaimB1 = envelope::decode(bytes)?;
    let life = |node: &str, incarnation| {
        Ok::<_, WireFault>(NodeRef { node: NodeId::new(node)?, incarnation: Incarnation(incarnation) })
    };
    Ok(Claim {
        node: life(&body.node, body.incarnation)?,
        leads: body.leads.map(Term),
        term: Term(body.term),
        leader: body.leader.map(|leader| life(&leader.node, leader.incarnation)).transpose()?,
        epoch: Epoch(body.epoch),
        hash: body.hash,
        serves: body.serves,
    })
}
