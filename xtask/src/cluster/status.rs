//! `cluster-status`: what every node and the load say, and whether the nodes agree.

use std::{fmt, path::Path, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{
    file::{ClusterFile, LoadRecord},
    view::{ClusterView, ShardsView},
};
use crate::http;

/// How long the load may take to compare its sums with what the actors answer.
const VERIFY_LIMIT: Duration = Duration::from_secs(60);

/// How long the load may take to say how it stands.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// The cluster at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The name under which everything is stored.
    pub namespace: String,
    /// Whether every node that answers has folded the same log equally far; they may differ for a moment.
    pub agreement: bool,
    /// Whether every node whose process exists answers, sees exactly these nodes Active and every shard owned. True
    /// again once the others have taken over from a node that was killed or has left.
    pub whole: bool,
    /// The furthest epoch any node has folded.
    pub epoch: Option<u64>,
    /// The leadership at that epoch.
    pub term: Option<u64>,
    /// The leader at that epoch.
    pub leader: Option<String>,
    /// The shards at that epoch.
    pub shards: ShardsView,
    /// Each recorded node.
    pub nodes: Vec<NodeStatus>,
    /// The load, if one was started.
    pub load: Option<LoadStatus>,
}

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: String,
    /// Its process id.
    pub pid: u32,
    /// Whether the process exists, frozen or not.
    pub alive: bool,
    /// Whether it answers.
    pub reachable: bool,
    /// What the node furthest ahead calls it.
    pub status: Option<String>,
    /// How far it has folded the log itself.
    pub epoch: Option<u64>,
    /// How many shards it owns, as the node furthest ahead sees it.
    pub shards: Option<u64>,
    /// How many actors it holds.
    pub actors: Option<u64>,
    /// Where it answers.
    pub admin_url: String,
}

/// What the load says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadStatus {
    /// Whether it answers.
    #[serde(default)]
    pub reachable: bool,
    /// How many commands were acknowledged.
    #[serde(default)]
    pub acknowledged: u64,
    /// How many of them are missing from what the actors answer.
    #[serde(default)]
    pub lost: u64,
    /// How many commands show twice in what the actors answer.
    #[serde(default)]
    pub applied_twice: u64,
    /// Whether balances and pending transfers of every account were exact at the last comparison.
    #[serde(default)]
    pub sums_exact: bool,
    /// How many answers contradicted what was acknowledged before.
    #[serde(default)]
    pub wrong_answers: u64,
    /// How many are on their way.
    #[serde(default)]
    pub in_flight: u64,
    /// Whether the sums were compared just now; without it `lost` and `applied_twice` are of the last comparison.
    #[serde(default)]
    pub verified: bool,
}

/// Asks everybody. With `verify` the load compares its sums with what the actors answer, which takes it a while.
///
/// # Errors
/// No cluster is up. Processes that do not answer are no error; the status says so.
pub fn status(dir: &Path, verify: bool) -> Result<Status> {
    let file = ClusterFile::load(dir)?;
    let views: Vec<_> = file.nodes.iter().map(|node| ClusterView::ask(&node.admin_url).ok()).collect();
    let mut status = combine(&file, &views, &|index| file.nodes[index].process.is_alive());
    status.load = file.load.as_ref().map(|load| ask_load(load, verify));
    Ok(status)
}

fn combine(file: &ClusterFile, views: &[Option<ClusterView>], alive: &dyn Fn(usize) -> bool) -> Status {
    let answered: Vec<_> = views.iter().flatten().collect();
    let furthest = answered.iter().max_by_key(|view| view.epoch).copied();
    let nodes: Vec<_> = file
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let own = views[index].as_ref();
            let seen = furthest.and_then(|view| view.node(&node.id));
            NodeStatus {
                id: node.id.clone(),
                pid: node.process.pid,
                alive: alive(index),
                reachable: own.is_some(),
                status: seen.map(|seen| seen.status.clone()),
                epoch: own.map(|view| view.epoch),
                shards: seen.map(|seen| seen.shards),
                actors: own.and_then(|view| view.node(&node.id)).and_then(|node| node.actors),
                admin_url: node.admin_url.clone(),
            }
        })
        .collect();
    let agreement = !answered.is_empty() && answered.iter().all(|view| view.agrees_with(answered[0]));
    let living = nodes.iter().filter(|node| node.alive).count();
    let all_answer = living > 0 && nodes.iter().all(|node| node.alive == node.reachable);
    let whole = all_answer && answered.iter().all(|view| view.is_whole(living));
    Status {
        namespace: file.namespace.clone(),
        agreement,
        whole,
        epoch: furthest.map(|view| view.epoch),
        term: furthest.map(|view| view.term),
        leader: furthest.and_then(|view| view.leader.clone()),
        shards: furthest.map(|view| view.shards).unwrap_or_default(),
        nodes,
        load: None,
    }
}

fn ask_load(load: &LoadRecord, verify: bool) -> LoadStatus {
    let (query, limit) = if verify { ("?verify=1", VERIFY_LIMIT) } else { ("", ASK_LIMIT) };
    match http::get_json::<LoadStatus>(&format!("{}/v1/load{query}", load.admin_url), limit) {
        Ok(answer) => LoadStatus { reachable: true, ..answer },
        Err(_) => LoadStatus::default(),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        writeln!(
            f,
            "{}: leader {}, term {}, epoch {}, shards {}/{} owned, {} moving{}",
            self.namespace,
            self.leader.as_deref().unwrap_or("none"),
            number(self.term),
            number(self.epoch),
            self.shards.assigned,
            self.shards.total,
            self.shards.moving,
            if self.agreement { "" } else { ", nodes differ" }
        )?;
        for node in &self.nodes {
            let status = match (&node.status, node.alive, node.reachable) {
                (status, false, _) => format!("{} (process ended)", status.as_deref().unwrap_or("unknown")),
                (status, true, false) => format!("{} (no answer)", status.as_deref().unwrap_or("unknown")),
                (status, true, true) => status.clone().unwrap_or_else(|| "unknown".to_owned()),
            };
            let (shards, actors) = (number(node.shards), number(node.actors));
            writeln!(
                f,
                "  {:<6} {status:<12} shards {shards:>5}  actors {actors:>6}  pid {:<8} {}",
                node.id, node.pid, node.admin_url
            )?;
        }
        if let Some(load) = &self.load {
            let LoadStatus { acknowledged, lost, applied_twice, in_flight, .. } = load;
            let verified = match (load.reachable, load.verified, load.sums_exact && load.wrong_answers == 0) {
                (false, ..) => "no answer",
                (true, true, true) => "sums verified",
                (true, true, false) => "SUMS WRONG",
                (true, false, _) => "sums not compared",
            };
            writeln!(
                f,
                "  load   {acknowledged} acknowledged, {lost} lost, {applied_twice} applied twice, \
                 {in_flight} in flight, {verified}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{file::tests::sample, view::tests::whole};

    #[test]
    fn a_dead_node_is_described_by_the_others() {
        let mut file = sample();
        file.nodes.push(super::super::file::NodeRecord { id: "n2".to_owned(), ..file.nodes[0].clone() });
        let status = combine(&file, &[Some(whole()), None], &|index| index == 0);
        assert!(status.agreement && !status.whole);
        let dead = &status.nodes[1];
        assert_eq!((dead.alive, dead.reachable, dead.shards, dead.epoch), (false, false, Some(512), None));
        assert!(status.to_string().contains("active (process ended)"), "{status}");
    }

    #[test]
    fn a_cluster_is_whole_again_once_the_others_have_taken_over() {
        let mut file = sample();
        file.nodes.push(super::super::file::NodeRecord { id: "n2".to_owned(), ..file.nodes[0].clone() });
        let mut after = whole();
        assert!(!combine(&file, &[Some(after.clone()), None], &|index| index == 0).whole);
        after.nodes[1].status = "failed".to_owned();
        assert!(combine(&file, &[Some(after.clone()), None], &|index| index == 0).whole);
        // A frozen process exists and does not answer.
        assert!(!combine(&file, &[Some(after), None], &|_| true).whole);
    }

    #[test]
    fn the_view_furthest_ahead_counts_and_the_difference_is_told() {
        let mut file = sample();
        file.nodes.push(super::super::file::NodeRecord { id: "n2".to_owned(), ..file.nodes[0].clone() });
        let ahead = ClusterView { epoch: 12, term: 3, leader: Some("n2".to_owned()), ..whole() };
        let status = combine(&file, &[Some(whole()), Some(ahead)], &|_| true);
        assert_eq!((status.epoch, status.term, status.leader.as_deref()), (Some(12), Some(3), Some("n2")));
        assert!(!status.agreement && status.whole);
        assert!(status.to_string().contains("nodes differ"), "{status}");
    }

    #[test]
    fn a_cluster_nobody_answers_for_is_neither_whole_nor_agreed() {
        let status = combine(&sample(), &[None], &|_| false);
        assert!(!status.agreement && !status.whole && status.epoch.is_none());
    }
}
