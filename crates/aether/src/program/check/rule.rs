//! What follows from what one node says: pure, so that every case is a line of a table.

use aether_runtime::projection::has_failed;

use crate::admin::{ClusterView, NodeView, PlanView};
use crate::program::args::{LimitArgs, Subject};
use crate::program::pages::Health;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// All is well.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It is not as it must be.
    Critical,
}

impl Level {
    /// Its stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What one node says.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Which one: its admin URL.
    pub(super) asked: String,
    /// The cluster, as it sees it.
    pub(super) cluster: ClusterView,
    /// How everybody is, as it sees it.
    pub(super) health: Health,
    /// The plan under way, and for how many seconds it has been.
    pub(super) plan: Option<(PlanView, u64)>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
}

/// The figures that were judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    /// Its name, as programs read it.
    pub(super) name: &'static str,
    /// What it is, for people.
    pub(super) meaning: &'static str,
    pub(super) value: u64,
}

/// What follows.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) what: Subject,
    pub(super) level: Level,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
    pub(super) figures: Vec<Figure>,
    pub(super) facts: Facts,
}

impl Judged {
    /// What follows from the facts, by those limits.
    pub(super) fn of(what: Subject, facts: Facts, limits: &LimitArgs) -> Self {
        let mut findings = Vec::new();
        let all = what == Subject::Cluster;
        if all {
            nodes(&facts, limits, &mut findings);
        }
        if all || what == Subject::Leader {
            leader(&facts, &mut findings);
        }
        if all || what == Subject::Shards {
            shards(&facts, limits, &mut findings);
        }
        if all || what == Subject::Moves {
            moves(&facts, limits, &mut findings);
        }
        if all {
            health(&facts, &mut findings);
        }
        behind(&facts, limits, &mut findings);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let level = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        Self { what, level, findings, figures: figures(&facts), facts }
    }
}

/// The level of a figure that is bad from its limits on.
fn from(figure: u64, warning: u64, critical: Option<u64>) -> Level {
    match critical {
        Some(critical) if figure >= critical => Level::Critical,
        _ if figure >= warning => Level::Warning,
        _ => Level::Ok,
    }
}

/// Says it, unless all is well.
fn tell(findings: &mut Vec<Finding>, level: Level, text: impl FnOnce() -> String) {
    if level > Level::Ok {
        findings.push(Finding { level, text: text() });
    }
}

fn count(facts: &Facts, status: &str) -> u64 {
    facts.cluster.nodes.iter().filter(|node| node.status == status).count() as u64
}

/// How that node is, as the node asked sees it.
fn verdict<'a>(facts: &'a Facts, node: &str) -> Option<&'a str> {
    facts.health.nodes.iter().find(|health| health.id == node).map(|health| health.verdict.as_str())
}

fn is_unheard(facts: &Facts, node: &NodeView) -> bool {
    matches!(verdict(facts, &node.id), Some("silent" | "failed" | "left"))
}

/// Shards without an owner, and those of owners that are not heard.
fn unserved(facts: &Facts) -> u64 {
    let silent = facts.cluster.nodes.iter().filter(|node| is_unheard(facts, node));
    facts.cluster.shards.orphaned + silent.map(|node| node.shards).sum::<u64>()
}

fn nodes(facts: &Facts, limits: &LimitArgs, findings: &mut Vec<Finding>) {
    let active = count(facts, "active");
    let level = match active {
        few if few < limits.nodes_critical => Level::Critical,
        few if few < limits.nodes_warning => Level::Warning,
        _ => Level::Ok,
    };
    tell(findings, level, || {
        let wanted = if level == Level::Critical { limits.nodes_critical } else { limits.nodes_warning };
        format!("{active} nodes are active, fewer than {wanted}")
    });
    let failed: Vec<_> = facts.cluster.nodes.iter().filter(|node| node.status == "failed").collect();
    tell(findings, from(failed.len() as u64, limits.failed_warning, limits.failed_critical), || {
        let names = failed.iter().map(|node| format!("{}{}", node.id, how_it_failed(facts, node).unwrap_or_default()));
        format!("failed: {}", names.collect::<Vec<_>>().join(", "))
    });
}

/// How that node failed, as the health page has it in the reason that is about it, if one is.
fn how_it_failed<'a>(facts: &'a Facts, node: &NodeView) -> Option<&'a str> {
    let begins = has_failed(&node.id);
    facts.health.reasons.iter().find_map(|reason| reason.strip_prefix(&*begins))
}

fn leader(facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(leader) = &facts.cluster.leader else {
        return tell(findings, Level::Critical, || format!("nobody leads since term {}", facts.cluster.term));
    };
    match verdict(facts, leader) {
        Some(verdict @ ("silent" | "failed" | "left")) => {
            tell(findings, Level::Critical, || {
                format!("{leader}, which leads, is {verdict}, and nobody else does yet")
            });
        }
        Some(verdict @ ("late" | "suspect" | "paused")) => {
            tell(findings, Level::Warning, || format!("{leader}, which leads, is {verdict}"));
        }
        _ => {}
    }
}

fn shards(facts: &Facts, limits: &LimitArgs, findings: &mut Vec<Finding>) {
    let (unserved, orphaned) = (unserved(facts), facts.cluster.shards.orphaned);
    tell(findings, from(unserved, limits.unserved_warning, Some(limits.unserved_critical)), || {
        format!(
            "{unserved} of {} shards are not served: {orphaned} have no owner, {} have one that is not heard",
            facts.cluster.shards.total,
            unserved - orphaned,
        )
    });
}

fn moves(facts: &Facts, limits: &LimitArgs, findings: &mut Vec<Finding>) {
    if let Some((PlanView { id, cause, planned, moved }, seconds)) = &facts.plan {
        tell(findings, from(*seconds, limits.move_warning, Some(limits.move_critical)), || {
            format!("plan {id} ({cause}) has been under way for {seconds} s: {moved} of {planned} moved")
        });
    }
    if let Some(order) = facts.cluster.order.as_ref().filter(|order| order.wish != "resume") {
        let why = if order.why.is_empty() { String::new() } else { format!(" ({})", order.why) };
        tell(findings, Level::Warning, || {
            format!("redistribution: {} by {}{why} since epoch {}", order.wish, order.by, order.since_epoch)
        });
    }
}

/// What the health page finds, but for nodes that have failed: these have limits of their own.
fn health(facts: &Facts, findings: &mut Vec<Finding>) {
    let failed = facts.cluster.nodes.iter().filter(|node| node.status == "failed");
    let judged: Vec<_> = failed.map(|node| has_failed(&node.id)).collect();
    let about_them = |reason: &str| judged.iter().any(|begins| reason.starts_with(begins));
    let mut reasons = facts.health.reasons.clone();
    reasons.retain(|reason| !about_them(reason));
    let level = match facts.health.verdict.as_str() {
        "ok" => Level::Ok,
        "degraded" if reasons.is_empty() && !judged.is_empty() => Level::Ok,
        "degraded" => Level::Warning,
        _ => Level::Critical,
    };
    tell(findings, level, || format!("{}: {}", facts.health.verdict, reasons.join("; ")));
}

/// How many entries the node asked is behind what others have applied.
fn entries_behind(facts: &Facts) -> u64 {
    let others = facts.cluster.nodes.iter().filter_map(|node| node.view_epoch).max().unwrap_or_default();
    others.saturating_sub(facts.cluster.epoch)
}

fn behind(facts: &Facts, limits: &LimitArgs, findings: &mut Vec<Finding>) {
    let entries = entries_behind(facts);
    tell(findings, from(entries, limits.behind_warning, Some(limits.behind_critical)), || {
        format!("{} is {entries} entries behind the others: what it says is old", facts.asked)
    });
}

fn figures(facts: &Facts) -> Vec<Figure> {
    let shards = facts.cluster.shards;
    let figure = |name, meaning, value| Figure { name, meaning, value };
    vec![
        figure("nodes_active", "nodes that serve and may be given shards", count(facts, "active")),
        figure("nodes_draining", "nodes that hand their shards over", count(facts, "draining")),
        figure("nodes_failed", "nodes whose last life ended without leaving", count(facts, "failed")),
        figure("shards_total", "shards", shards.total),
        figure("shards_unserved", "shards without an owner, or with one that is not heard", unserved(facts)),
        figure("shards_moving", "shards on their way", shards.moving),
        figure(
            "plan_age_seconds",
            "for how long the plan under way has been",
            facts.plan.as_ref().map_or(0, |plan| plan.1),
        ),
        figure("entries_behind", "how far the node that was asked is behind the others", entries_behind(facts)),
        figure("term", "the last term started", facts.cluster.term),
        figure("epoch", "the last entry applied", facts.cluster.epoch),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::OrderView;
    use crate::program::pages::NodeHealth;

    /// Three nodes that are well, of which n1 leads.
    pub(in super::super) fn facts() -> Facts {
        let node = |id: &str| {
            serde_json::json!({
                "id": id, "incarnation": "1", "status": "active", "shards": 341, "actors": 7, "admin_url": null,
                "commands_per_second": 5, "weight": 1, "zone": null, "tags": [], "since_epoch": 3, "trust": "trusted",
                "view_epoch": 9, "build": null,
            })
        };
        let cluster = serde_json::json!({
            "namespace": "bank", "cluster_uid": "07", "epoch": 9, "term": 2, "leader": "n1",
            "nodes": [node("n1"), node("n2"), node("n3")],
            "shards": { "total": 1024, "assigned": 1024, "orphaned": 0, "moving": 0 }, "order": null,
        });
        let health = |id: &str| NodeHealth { id: id.into(), verdict: "healthy".into() };
        Facts {
            asked: "http://127.0.0.1:1".into(),
            cluster: serde_json::from_value(cluster).expect("a view"),
            health: Health { verdict: "ok".into(), reasons: Vec::new(), nodes: ["n1", "n2", "n3"].map(health).into() },
            plan: None,
        }
    }

    pub(in super::super) fn limits() -> LimitArgs {
        LimitArgs {
            nodes_warning: 1,
            nodes_critical: 1,
            failed_warning: 1,
            failed_critical: None,
            unserved_warning: 1,
            unserved_critical: 1,
            move_warning: 60,
            move_critical: 300,
            behind_warning: 32,
            behind_critical: 1024,
        }
    }

    fn plan(facts: &mut Facts, seconds: u64) {
        facts.plan = Some((PlanView { id: 8, cause: "joined".into(), planned: 9, moved: 2 }, seconds));
    }

    fn order(facts: &mut Facts, wish: &str) {
        let (by, why) = ("ann".into(), "the sale".into());
        facts.cluster.order = Some(OrderView { wish: wish.into(), by, why, since_epoch: 8 });
    }

    /// One of the nodes has failed, and the health page says so, behind other reasons.
    fn fail(facts: &mut Facts, others: &[&str]) {
        facts.cluster.nodes[2].status = "failed".into();
        facts.health.verdict = "degraded".into();
        facts.health.reasons = others.iter().copied().chain(["n3 has failed (silent)"]).map(String::from).collect();
    }

    /// What is changed, what is judged, what follows, and what is said of it.
    type Case = (fn(&mut Facts), fn(&mut LimitArgs), Subject, Level, &'static str);

    #[test]
    fn each_fact_has_its_verdict() {
        let cases: &[Case] = &[
            (|_| {}, |_| {}, Subject::Cluster, Level::Ok, ""),
            (|_| {}, |_| {}, Subject::Leader, Level::Ok, ""),
            (|_| {}, |_| {}, Subject::Shards, Level::Ok, ""),
            (|_| {}, |_| {}, Subject::Moves, Level::Ok, ""),
            // Nodes.
            (|_| {}, |l| l.nodes_warning = 4, Subject::Cluster, Level::Warning, "3 nodes are active, fewer than 4"),
            (|_| {}, |l| l.nodes_critical = 4, Subject::Cluster, Level::Critical, "3 nodes are active, fewer than 4"),
            (|f| f.cluster.nodes.clear(), |_| {}, Subject::Cluster, Level::Critical, "0 nodes are active"),
            (|f| f.cluster.nodes[2].status = "failed".into(), |_| {}, Subject::Cluster, Level::Warning, "failed: n3"),
            (
                |f| f.cluster.nodes[2].status = "failed".into(),
                |l| l.failed_critical = Some(1),
                Subject::Cluster,
                Level::Critical,
                "failed: n3",
            ),
            (
                |f| f.cluster.nodes[2].status = "failed".into(),
                |l| l.failed_warning = 2,
                Subject::Cluster,
                Level::Ok,
                "",
            ),
            (|f| f.cluster.nodes[2].status = "left".into(), |_| {}, Subject::Cluster, Level::Ok, ""),
            // The leader.
            (|f| f.cluster.leader = None, |_| {}, Subject::Leader, Level::Critical, "nobody leads since term 2"),
            (|f| f.cluster.leader = None, |_| {}, Subject::Cluster, Level::Critical, "nobody leads since term 2"),
            (|f| f.cluster.leader = None, |_| {}, Subject::Shards, Level::Ok, ""),
            (
                |f| f.health.nodes[0].verdict = "silent".into(),
                |_| {},
                Subject::Leader,
                Level::Critical,
                "n1, which leads, is silent",
            ),
            (
                |f| f.health.nodes[0].verdict = "late".into(),
                |_| {},
                Subject::Leader,
                Level::Warning,
                "n1, which leads, is late",
            ),
            (|f| f.health.nodes[0].verdict = "suspect".into(), |_| {}, Subject::Leader, Level::Warning, "is suspect"),
            (|f| f.health.nodes[0].verdict = "draining".into(), |_| {}, Subject::Leader, Level::Ok, ""),
            (|f| f.health.nodes[1].verdict = "silent".into(), |_| {}, Subject::Leader, Level::Ok, ""),
            // Shards.
            (
                |f| f.cluster.shards.orphaned = 3,
                |_| {},
                Subject::Shards,
                Level::Critical,
                "3 of 1024 shards are not served",
            ),
            (
                |f| f.health.nodes[1].verdict = "silent".into(),
                |_| {},
                Subject::Shards,
                Level::Critical,
                "341 have one that is not heard",
            ),
            (
                |f| f.cluster.shards.orphaned = 3,
                |l| l.unserved_critical = 4,
                Subject::Shards,
                Level::Warning,
                "3 have no owner",
            ),
            (
                |f| f.cluster.shards.orphaned = 3,
                |l| (l.unserved_warning, l.unserved_critical) = (4, 4),
                Subject::Shards,
                Level::Ok,
                "",
            ),
            (|f| f.cluster.shards.moving = 900, |_| {}, Subject::Shards, Level::Ok, ""),
            // Moves.
            (|f| plan(f, 59), |_| {}, Subject::Moves, Level::Ok, ""),
            (
                |f| plan(f, 60),
                |_| {},
                Subject::Moves,
                Level::Warning,
                "plan 8 (joined) has been under way for 60 s: 2 of 9 moved",
            ),
            (|f| plan(f, 300), |_| {}, Subject::Moves, Level::Critical, "for 300 s"),
            (|f| plan(f, 300), |l| l.move_critical = 301, Subject::Moves, Level::Warning, "for 300 s"),
            (|f| order(f, "pause"), |_| {}, Subject::Moves, Level::Warning, "pause by ann (the sale) since epoch 8"),
            (|f| order(f, "resume"), |_| {}, Subject::Moves, Level::Ok, ""),
            // What the health page finds.
            (
                |f| (f.health.verdict, f.health.reasons) = ("degraded".into(), vec!["a".into(), "b".into()]),
                |_| {},
                Subject::Cluster,
                Level::Warning,
                "degraded: a; b",
            ),
            (|f| fail(f, &[]), |_| {}, Subject::Cluster, Level::Warning, "failed: n3 (silent)"),
            (|f| fail(f, &[]), |l| l.failed_warning = 2, Subject::Cluster, Level::Ok, ""),
            (|f| fail(f, &["a"]), |l| l.failed_warning = 2, Subject::Cluster, Level::Warning, "degraded: a"),
            (|f| f.health.verdict = "critical".into(), |_| {}, Subject::Cluster, Level::Critical, "critical: "),
            (|f| f.health.verdict = "a newer word".into(), |_| {}, Subject::Cluster, Level::Critical, "a newer word"),
            (|f| f.health.verdict = "critical".into(), |_| {}, Subject::Moves, Level::Ok, ""),
            // A node that does not know how things are says so whatever it is asked.
            (
                |f| f.cluster.nodes[1].view_epoch = Some(41),
                |_| {},
                Subject::Leader,
                Level::Warning,
                "32 entries behind",
            ),
            (|f| f.cluster.nodes[1].view_epoch = Some(40), |_| {}, Subject::Leader, Level::Ok, ""),
            (
                |f| f.cluster.nodes[1].view_epoch = Some(1033),
                |_| {},
                Subject::Moves,
                Level::Critical,
                "what it says is old",
            ),
        ];
        for (nth, (change, limit, what, level, said)) in cases.iter().enumerate() {
            let (mut facts, mut limits) = (facts(), limits());
            change(&mut facts);
            limit(&mut limits);
            let judged = Judged::of(*what, facts, &limits);
            assert_eq!(judged.level, *level, "case {nth}: {:?}", judged.findings);
            assert!(
                said.is_empty() || judged.findings.iter().any(|finding| finding.text.contains(said)),
                "case {nth}: {:?}",
                judged.findings
            );
            assert_eq!(judged.findings.is_empty(), judged.level == Level::Ok, "case {nth}");
        }
    }

    #[test]
    fn a_node_that_has_failed_is_said_once() {
        let mut facts = facts();
        fail(&mut facts, &[]);
        let findings = Judged::of(Subject::Cluster, facts, &limits()).findings;
        assert_eq!(findings, [Finding { level: Level::Warning, text: "failed: n3 (silent)".into() }]);
    }

    #[test]
    fn the_worst_is_said_first() {
        let mut facts = facts();
        facts.cluster.nodes[2].status = "failed".into();
        facts.cluster.leader = None;
        let judged = Judged::of(Subject::Cluster, facts, &limits());
        let levels: Vec<_> = judged.findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Critical, Level::Warning]);
    }
}
