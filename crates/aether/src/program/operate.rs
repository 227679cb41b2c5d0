//! `aether rebalance`, `aether nodes`, `aether leader`: what operators ask of a running cluster.
//!
//! What is asked is written into the control store and nowhere else; what became of it is read from the log. What is shown is
//! asked of a node.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::cluster::ClusterEvent;
use aether_domain::orders::{Asked, Wish};
use aether_domain::ports::{ControlStore, TopologyLog};
use aether_domain::topology::TopologyEvent;
use aether_domain::{NodeId, NodeRef, Nonce, Term};
use aether_runtime::subscription::{Since, topology_events};
use anyhow::{Context, bail};
use futures_util::StreamExt as _;

use super::args::{AskArgs, Global, LeaderArgs, LeaderCommand, NodesArgs, NodesCommand, RebalanceArgs};
use super::ask::{Form, Nodes, show};
use super::store::Store;
use super::{out, status};
use crate::admin::{ClusterView, RebalanceView};
use crate::operator;

/// How long the log may take to say what became of an order.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(15);
/// How long a node may take to leave: it ends after 22 s, whatever it hears of the world.
const LEFT_WITHIN: Duration = Duration::from_secs(30);
/// How many entries before now are looked through for what was asked just now.
const RECENT: u64 = 256;

pub(super) async fn rebalance(args: RebalanceArgs, global: &Global) -> anyhow::Result<()> {
    let RebalanceArgs { plan: _, apply, pause, resume, cancel, ask } = args;
    let form = global.form()?;
    let wish = match (pause, cancel, apply || resume) {
        (true, ..) => Wish::Pause,
        (_, true, _) => Wish::Cancel,
        (.., true) => Wish::Resume,
        _ => return show(global, "/v1/rebalance", |view, _, _| diff(view)).await,
    };
    let epoch = order(global, &ask, wish).await?;
    match form {
        Form::Json => out::line(serde_json::json!({ "wish": wish.name(), "epoch": epoch })),
        Form::Table | Form::Wide => out::line(format!("{}: the log says so since epoch {epoch}", wish.name())),
    }
    Ok(())
}

/// Asks for that, and answers the entry by which a leader has taken it up.
pub(super) async fn order(global: &Global, ask: &AskArgs, wish: Wish) -> anyhow::Result<u64> {
    let asked = asked(ask);
    let id = with_ports(global, ask, async |control, _| Ok(operator::rebalance(control, wish, &asked).await?)).await?;
    with_ports(global, ask, async |_, log| taken_up(log, id).await).await
}

/// Asks that node to hand over and leave; answers which life of it is asked.
pub(super) async fn drain(global: &Global, ask: &AskArgs, node: &NodeId) -> anyhow::Result<NodeRef> {
    let asked = asked(ask);
    with_ports(global, ask, async |control, _| Ok(operator::drain(control, node, &asked).await?)).await
}

/// Asks the leader to step down, and answers the term that it has led in and who leads then.
pub(super) async fn step_down(global: &Global, ask: &AskArgs) -> anyhow::Result<(Term, NodeRef)> {
    let asked = asked(ask);
    let term = with_ports(global, ask, async |control, _| Ok(operator::step_down(control, &asked).await?)).await?;
    let (_, next) = with_ports(global, ask, async |_, log| {
        let next = |event: &TopologyEvent| match event {
            TopologyEvent::Leadership(aether_domain::lease::LeadershipEvent::TermStarted { term: next, leader }) => {
                (*next > term).then(|| leader.clone())
            }
            _ => None,
        };
        let stays = || format!("the leader of term {term} goes on; is there another Active node to lead?");
        find(log, TAKEN_UP_WITHIN, next).await.with_context(stays)
    })
    .await?;
    Ok((term, next))
}

/// The plan that would be made now, as lines for people.
fn diff(view: &RebalanceView) -> String {
    let mut lines = Vec::new();
    if let Some(order) = view.order.as_ref().filter(|order| order.wish != Wish::Resume.name()) {
        let why = if order.why.is_empty() { String::new() } else { format!(" ({})", order.why) };
        lines.push(format!(
            "{} by {}{why} since epoch {}: only what must move does",
            order.wish, order.by, order.since_epoch
        ));
    }
    lines.extend(
        view.plan
            .as_ref()
            .map(|plan| format!("plan {} is under way: {} of {} moved", plan.id, plan.moved, plan.planned)),
    );
    lines.extend(view.obstacle.clone());
    for step in &view.next {
        let from = step.from.as_deref().unwrap_or("nobody");
        lines.push(format!("{:<10} {from} -> {}  {}", step.class, step.to, step.shards));
    }
    if view.next.is_empty() && view.obstacle.is_none() {
        lines.push("nothing to move".to_owned());
    }
    lines.join("\n")
}

pub(super) async fn nodes(args: NodesArgs, global: &Global) -> anyhow::Result<()> {
    let form = global.form()?;
    let Some(NodesCommand::Drain { node, wait, ask }) = args.command else {
        let nodes = Nodes::of(global)?;
        match form {
            Form::Json => out::line(nodes.page("/v1/nodes").await?.body.trim_end()),
            Form::Table | Form::Wide => {
                let view: ClusterView = nodes.view("/v1/cluster").await?;
                out::line(status::nodes(&view, form, global.ink()));
            }
        }
        return Ok(());
    };
    let life = drain(global, &ask, &NodeId::new(node)?).await?;
    let said = |left: bool, text: String| match form {
        Form::Json => out::line(serde_json::json!({
            "node": life.node.as_str(), "incarnation": life.incarnation.to_string(), "left": left,
        })),
        Form::Table | Form::Wide => out::line(text),
    };
    if !wait {
        said(false, format!("{life} is asked to leave"));
        return Ok(());
    }
    let left = with_ports(global, &ask, async |_, log| {
        let gone = |event: &TopologyEvent| match event {
            TopologyEvent::Cluster(ClusterEvent::NodeLeft { node }) if *node == life => Some(true),
            TopologyEvent::Cluster(ClusterEvent::NodeFailed { node, .. }) if *node == life => Some(false),
            TopologyEvent::Cluster(ClusterEvent::NodeRestarted { node, previous, .. })
                if node.node == life.node && *previous == life.incarnation =>
            {
                Some(false)
            }
            _ => None,
        };
        let (_, left) = find(log, LEFT_WITHIN, gone).await.with_context(|| format!("{life} has not left yet"))?;
        Ok(left)
    });
    if !left.await? {
        bail!("{life} has failed before it had handed over everything; others have taken over what it had");
    }
    said(true, format!("{life} has left"));
    Ok(())
}

pub(super) async fn leader(args: LeaderArgs, global: &Global) -> anyhow::Result<()> {
    let form = global.form()?;
    let Some(LeaderCommand::StepDown { ask }) = args.command else {
        let view: ClusterView = Nodes::of(global)?.view("/v1/cluster").await?;
        match form {
            Form::Json => {
                out::line(serde_json::json!({ "leader": view.leader, "term": view.term, "epoch": view.epoch }));
            }
            Form::Table | Form::Wide => {
                let leader = view.leader.as_deref().unwrap_or("nobody");
                out::line(format!("{leader} leads in term {}, epoch {}", view.term, view.epoch));
            }
        }
        return Ok(());
    };
    let (term, next) = step_down(global, &ask).await?;
    match form {
        Form::Json => out::line(serde_json::json!({ "leader": next.node.as_str(), "after_term": term.0 })),
        Form::Table | Form::Wide => out::line(format!("{next} leads now")),
    }
    Ok(())
}

/// Who asks, and why; without a name the user of this machine.
fn asked(args: &AskArgs) -> Asked {
    let by = args.by.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "an operator".to_owned());
    Asked::new(&by, args.why.as_deref().unwrap_or_default())
}

async fn with_ports<R>(
    global: &Global,
    ask: &AskArgs,
    does: impl AsyncFnOnce(&dyn ControlStore, Arc<dyn TopologyLog>) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let ports = Store::of(global, ask.store.config.as_deref(), "operator")?.connect().await?;
    let done = does(&*ports.control, Arc::clone(&ports.log)).await;
    ports.session.close().await;
    done
}

/// The entry that took that order up.
async fn taken_up(log: Arc<dyn TopologyLog>, id: Nonce) -> anyhow::Result<u64> {
    let this = |event: &TopologyEvent| match event {
        TopologyEvent::Cluster(ClusterEvent::RebalancingOrdered { order }) => (order.id == id).then_some(()),
        _ => None,
    };
    let found = find(log, TAKEN_UP_WITHIN, this).await;
    let (epoch, ()) =
        found.context("it is written down, and no leader has taken it up yet; one will (see `aether leader`)")?;
    Ok(epoch)
}

/// The first event of the last entries, or of those to come, that says something.
async fn find<T>(
    log: Arc<dyn TopologyLog>,
    within: Duration,
    says: impl Fn(&TopologyEvent) -> Option<T>,
) -> anyhow::Result<(u64, T)> {
    let mut events = topology_events(log, Since::Recent(RECENT));
    let look = async {
        while let Some(record) = events.next().await {
            let record = record?;
            if let Some(found) = record.events.iter().find_map(&says) {
                return Ok((record.epoch.0, found));
            }
        }
        bail!("the log has ended")
    };
    tokio::time::timeout(within, look).await.with_context(|| format!("the log has not said so within {within:?}"))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{OrderView, StepView};

    #[test]
    fn a_plan_is_shown_as_what_would_move_from_where_to_where() {
        let mut view = RebalanceView { epoch: 9, order: None, plan: None, next: Vec::new(), obstacle: None };
        assert_eq!(diff(&view), "nothing to move");
        let (wish, by, why) = ("pause".to_owned(), "ann".to_owned(), "the sale".to_owned());
        view.order = Some(OrderView { wish, by, why, since_epoch: 8 });
        let step = |shards: &str, from: Option<&str>, class: &str| StepView {
            shards: shards.to_owned(),
            from: from.map(str::to_owned),
            to: "n3".to_owned(),
            class: class.to_owned(),
        };
        view.next = vec![step("0-3,7", Some("n1"), "balance"), step("9", None, "orphan")];
        let lines = "pause by ann (the sale) since epoch 8: only what must move does\n\
                     balance    n1 -> n3  0-3,7\n\
                     orphan     nobody -> n3  9";
        assert_eq!(diff(&view), lines);
    }
}
