//! What operators ask of a running cluster, written down: one record of the control store, changed by compare-and-set.
//!
//! Nothing is done here. The leader, and the nodes named, see the record and do as it says; what became of it is in the log.

use std::sync::Arc;

use aether_domain::orders::{Asked, Orders, RebalanceOrder, TooManyDrains, Wish};
use aether_domain::policy::PlacementPolicy;
use aether_domain::ports::{ControlStore, Expected, ReadError, WriteError};
use aether_domain::records::{
    ControlKey, ControlRecord, DesiredPlacement, LeaseState, MemberState, OrdersRecord, StoredRecord,
};
use aether_domain::{NodeId, NodeRef, Nonce, Revision, Term};

use crate::entropy;

/// How often a change is made anew because somebody else was faster, or nobody knows whether it was stored.
const ATTEMPTS_MAX: usize = 5;

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum OrderRefused {
    /// The control store does not answer. Nothing was written.
    #[error("the control store does not answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It may or may not have been written; asking again is harmless.
    #[error("{ATTEMPTS_MAX} attempts to write it had no certain end; ask again")]
    Undecided,
    /// No node of that name has ever joined.
    #[error("there is no node {node}")]
    NoSuchNode {
        /// The name.
        node: NodeId,
    },
    /// That node's last life is over: there is nobody to ask.
    #[error("{node} is over")]
    Over {
        /// That life.
        node: NodeRef,
    },
    /// As many nodes are asked to leave as can be.
    #[error(transparent)]
    TooManyDrains(#[from] TooManyDrains),
    /// There is no leader to step down.
    #[error("nobody leads")]
    NobodyLeads,
}

impl From<ReadError> for OrderRefused {
    fn from(error: ReadError) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

/// Writes what is to be under `key` instead of what is there now. Something that nobody can read is written over.
///
/// # Errors
/// [`OrderRefused::Unreachable`], [`OrderRefused::Undecided`], or why there is nothing to write.
pub(crate) async fn change(
    control: &dyn ControlStore,
    key: ControlKey,
    to: impl Fn(Nonce, Option<ControlRecord>) -> Result<ControlRecord, OrderRefused>,
) -> Result<(), OrderRefused> {
    let nonce = Nonce(entropy::seed());
    for _ in 0..ATTEMPTS_MAX {
        let (found, expected) = match control.read(&key).await {
            // It was stored, though nobody said so.
            Ok(Some(stored)) if stored.record.nonce() == nonce => return Ok(()),
            Ok(Some(stored)) => (Some(stored.record), Expected::At(stored.revision)),
            Ok(None) => (None, Expected::Absent),
            Err(ReadError::Corrupt { sequence, .. }) => (None, Expected::At(Revision(sequence))),
            Err(error @ ReadError::Unavailable { .. }) => return Err(error.into()),
        };
        match control.write(&to(nonce, found)?, expected).await {
            Ok(_) => return Ok(()),
            Err(WriteError::Conflict { .. } | WriteError::Unknown { .. }) => {}
            Err(error @ WriteError::Unavailable { .. }) => return Err(OrderRefused::Unreachable(Box::new(error))),
        }
    }
    Err(OrderRefused::Undecided)
}

async fn ask(
    control: &dyn ControlStore,
    asking: impl Fn(&mut Orders) -> Result<(), OrderRefused>,
) -> Result<(), OrderRefused> {
    let to = |nonce, found| {
        let mut orders = match found {
            Some(ControlRecord::Orders(record)) => Arc::unwrap_or_clone(record.orders),
            _ => Orders::default(),
        };
        asking(&mut orders)?;
        Ok(ControlRecord::Orders(OrdersRecord { nonce, orders: Arc::new(orders) }))
    };
    change(control, ControlKey::Orders, to).await
}

/// Changes what is wanted of where shards are: `to` makes the new policy of the one wanted now. The leader adopts it if the
/// cluster can go by it; the log says so with `PlacementAdopted`.
///
/// # Errors
/// [`OrderRefused::Unreachable`] or [`OrderRefused::Undecided`].
pub async fn place(
    control: &dyn ControlStore,
    to: impl Fn(&PlacementPolicy) -> PlacementPolicy,
) -> Result<(), OrderRefused> {
    let desired = |nonce, found| {
        let wanted = match found {
            Some(ControlRecord::Placement(desired)) => desired.policy,
            _ => Arc::default(),
        };
        Ok(ControlRecord::Placement(DesiredPlacement { nonce, policy: Arc::new(to(&wanted)) }))
    };
    change(control, ControlKey::Placement, desired).await
}

/// Asks for redistribution to be paused, cancelled or gone on with; answers what the order is known by in the log.
///
/// # Errors
/// [`OrderRefused`].
pub async fn rebalance(control: &dyn ControlStore, wish: Wish, asked: &Asked) -> Result<Nonce, OrderRefused> {
    let id = Nonce(entropy::seed());
    let order = RebalanceOrder { wish, asked: asked.clone(), id };
    let asking = |orders: &mut Orders| {
        orders.rebalance = Some(order.clone());
        Ok(())
    };
    ask(control, asking).await?;
    Ok(id)
}

/// Asks the present life of that node to hand over and leave; answers which that is.
///
/// # Errors
/// [`OrderRefused`].
pub async fn drain(control: &dyn ControlStore, node: &NodeId, asked: &Asked) -> Result<NodeRef, OrderRefused> {
    let life = match control.read(&ControlKey::Member(node.clone())).await?.map(|stored| stored.record) {
        Some(ControlRecord::Member(member)) if member.state.is_over() => {
            return Err(OrderRefused::Over { node: member.node });
        }
        Some(ControlRecord::Member(member)) => member.node,
        _ => return Err(OrderRefused::NoSuchNode { node: node.clone() }),
    };
    let heard = heard(control).await?;
    let asking = |orders: &mut Orders| {
        orders.drains.retain(|(node, _)| !heard.contains(node));
        orders.drain(life.clone(), asked.clone())?;
        Ok(())
    };
    ask(control, asking).await?;
    Ok(life)
}

/// If as many lives are asked to leave as can be: those of them that have heard it, or are over. They need not be asked any more.
async fn heard(control: &dyn ControlStore) -> Result<Vec<NodeRef>, OrderRefused> {
    let orders = match control.read(&ControlKey::Orders).await {
        Ok(Some(StoredRecord { record: ControlRecord::Orders(record), .. })) => record.orders,
        Ok(_) | Err(ReadError::Corrupt { .. }) => return Ok(Vec::new()),
        Err(error @ ReadError::Unavailable { .. }) => return Err(error.into()),
    };
    let mut heard = Vec::new();
    if orders.drains.len() >= Orders::DRAINS_MAX {
        for (node, _) in &orders.drains {
            let stored = control.read(&ControlKey::Member(node.node.clone())).await?;
            let waits = stored.is_some_and(|stored| match stored.record {
                ControlRecord::Member(member) => {
                    member.node == *node && matches!(member.state, MemberState::Starting | MemberState::Alive)
                }
                _ => false,
            });
            heard.extend((!waits).then(|| node.clone()));
        }
    }
    Ok(heard)
}

/// Asks the present leader to give the lead to another node; answers the term it leads in. A leader that no other Active node
/// could follow goes on.
///
/// # Errors
/// [`OrderRefused`].
pub async fn step_down(control: &dyn ControlStore, asked: &Asked) -> Result<Term, OrderRefused> {
    let term = match control.read(&ControlKey::Lease).await?.map(|stored| stored.record) {
        Some(ControlRecord::Lease(lease)) if lease.state == LeaseState::Held => lease.term,
        _ => return Err(OrderRefused::NobodyLeads),
    };
    let asking = |orders: &mut Orders| {
        orders.step_down = Some((term, asked.clone()));
        Ok(())
    };
    ask(control, asking).await?;
    Ok(term)
}

#[cfg(test)]
mod tests {
    use aether_infra_memory::MemoryHub;

    use super::*;

    async fn orders(control: &dyn ControlStore) -> Orders {
        match control.read(&ControlKey::Orders).await.expect("it answers").expect("written before").record {
            ControlRecord::Orders(record) => Orders::clone(&record.orders),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_asked_leaves_what_others_have_asked() {
        let node = NodeId::new("n1").expect("a name");
        let control = MemoryHub::new().ports(&node).control;
        let ann = Asked::new("ann", "the sale");
        let id = rebalance(&*control, Wish::Pause, &ann).await.expect("asked");
        assert!(matches!(drain(&*control, &node, &ann).await, Err(OrderRefused::NoSuchNode { .. })));
        assert!(matches!(step_down(&*control, &ann).await, Err(OrderRefused::NobodyLeads)));
        let again = rebalance(&*control, Wish::Resume, &ann).await.expect("asked");
        assert_ne!(id, again, "each order is another one");
        let order = RebalanceOrder { wish: Wish::Resume, asked: ann, id: again };
        assert_eq!(orders(&*control).await, Orders { rebalance: Some(order), ..Orders::default() });
    }
}
