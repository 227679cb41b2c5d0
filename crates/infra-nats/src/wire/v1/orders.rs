//! What operators ask, in JSON, as it stands in their record, in the entry that takes it up, and in the snapshot.

use std::sync::Arc;

use aether_domain::orders::{Asked, Orders, RebalanceOrder, Wish};
use aether_domain::records::OrdersRecord;
use aether_domain::{Nonce, Term};
use serde::{Deserialize, Serialize};

use super::json::{Counter, JsonRecord, Life, Mark, Word, Words};
use super::{FORMAT, WireFault};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrdersV1 {
    format: u8,
    kind: String,
    nonce: Mark,
    rebalance: Option<RebalanceV1>,
    drains: Vec<DrainV1>,
    step_down: Option<StepDownV1>,
}

impl JsonRecord for OrdersV1 {
    const KIND: &'static str = "orders";
    fn head(&self) -> (u8, &str) {
        (self.format, &self.kind)
    }
}

/// A word on redistribution.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RebalanceV1 {
    wish: Word<Wish>,
    by: String,
    why: String,
    id: Mark,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainV1 {
    node: Life,
    by: String,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepDownV1 {
    term: Counter,
    by: String,
    why: String,
}

impl Words for Wish {
    const TABLE: &'static [(Self, &'static str)] = &Self::NAMES;
}

fn said(asked: &Asked) -> (String, String) {
    (asked.by().to_owned(), asked.why().to_owned())
}

/// Who asks and why; what is too long was not written by us.
fn heard(by: &str, why: &str) -> Result<Asked, WireFault> {
    let asked = Asked::new(by, why);
    let whole = asked.by() == by && asked.why() == why;
    let count = by.chars().count() + why.chars().count();
    if whole { Ok(asked) } else { Err(WireFault::TooMany { what: "characters of an order", count }) }
}

impl From<&RebalanceOrder> for RebalanceV1 {
    fn from(order: &RebalanceOrder) -> Self {
        let (by, why) = said(&order.asked);
        Self { wish: Word(order.wish), by, why, id: Mark(order.id.0) }
    }
}

impl RebalanceV1 {
    pub(super) fn read(self) -> Result<RebalanceOrder, WireFault> {
        let Self { wish: Word(wish), by, why, id: Mark(id) } = self;
        Ok(RebalanceOrder { wish, asked: heard(&by, &why)?, id: Nonce(id) })
    }
}

impl From<&OrdersRecord> for OrdersV1 {
    fn from(record: &OrdersRecord) -> Self {
        let Orders { rebalance, drains, step_down } = &*record.orders;
        let drain = |(node, asked): &(_, Asked)| {
            let (by, why) = said(asked);
            DrainV1 { node: Life(aether_domain::NodeRef::clone(node)), by, why }
        };
        Self {
            format: FORMAT,
            kind: Self::KIND.to_owned(),
            nonce: Mark(record.nonce.0),
            rebalance: rebalance.as_ref().map(RebalanceV1::from),
            drains: drains.iter().map(drain).collect(),
            step_down: step_down.as_ref().map(|(term, asked)| {
                let (by, why) = said(asked);
                StepDownV1 { term: Counter(term.0), by, why }
            }),
        }
    }
}

impl TryFrom<OrdersV1> for OrdersRecord {
    type Error = WireFault;
    fn try_from(dto: OrdersV1) -> Result<Self, WireFault> {
        if dto.drains.len() > Orders::DRAINS_MAX {
            return Err(WireFault::TooMany { what: "lives asked to leave", count: dto.drains.len() });
        }
        let drains = dto.drains.into_iter().map(|DrainV1 { node: Life(node), by, why }| Ok((node, heard(&by, &why)?)));
        let step_down = dto.step_down.map(|StepDownV1 { term, by, why }| Ok((Term(term.0), heard(&by, &why)?)));
        let orders = Orders {
            rebalance: dto.rebalance.map(RebalanceV1::read).transpose()?,
            drains: drains.collect::<Result<_, WireFault>>()?,
            step_down: step_down.transpose().map_err(|fault: WireFault| fault)?,
        };
        Ok(Self { nonce: Nonce(dto.nonce.0), orders: Arc::new(orders) })
    }
}
