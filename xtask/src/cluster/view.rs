//! What a node says about the cluster, and whether several nodes say the same.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http;

/// How long a node may take to answer; a frozen one never does.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// `GET /v1/cluster`, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The name under which everything of the cluster is stored.
    pub namespace: String,
    /// Tells this cluster from another of the same name.
    pub cluster_uid: Value,
    /// How many entries of the topology log the node has folded.
    pub epoch: u64,
    /// The number of the current leadership.
    pub term: u64,
    /// The node id of the leader, as far as the node knows.
    pub leader: Option<String>,
    /// Every node there is.
    pub nodes: Vec<NodeView>,
    /// How many shards are in which state.
    pub shards: ShardsView,
}

/// One node as another sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: String,
    /// Which life of it.
    #[serde(default)]
    pub incarnation: Value,
    /// `active`, `draining`, `failed` or `left`, in any case of letters.
    pub status: String,
    /// How many shards it owns.
    #[serde(default)]
    pub shards: u64,
    /// How many actors it holds, where that is known.
    #[serde(default)]
    pub actors: Option<u64>,
    /// Where it answers, where that is known.
    #[serde(default)]
    pub admin_url: Option<String>,
}

/// How many shards are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsView {
    /// All of them, 1024.
    pub total: u64,
    /// Those with an owner.
    pub assigned: u64,
    /// Those without.
    pub orphaned: u64,
    /// Those on their way from one owner to another.
    #[serde(default)]
    pub moving: u64,
}

/// Who owns each shard, in the order of their numbers; an empty name where nobody does.
///
/// # Errors
/// The node does not answer within a second, or not what it should.
pub fn owners(admin_url: &str) -> Result<Vec<String>> {
    let answer: Value = http::get_json(&format!("{}/v1/shards?full=1", admin_url.trim_end_matches('/')), ASK_LIMIT)?;
    Ok(read_owners(&answer))
}

/// Reads `{"shards": [{"owner": "n1"}, {"owner": null}]}`.
fn read_owners(answer: &Value) -> Vec<String> {
    let shards = answer.get("shards").unwrap_or(answer).as_array();
    let owner = |shard: &Value| shard.get("owner").and_then(Value::as_str).unwrap_or_default().to_owned();
    shards.into_iter().flatten().map(owner).collect()
}

impl ClusterView {
    /// Asks the node at `admin_url`.
    ///
    /// # Errors
    /// It does not answer within a second, or not what it should.
    pub fn ask(admin_url: &str) -> Result<Self> {
        http::get_json(&format!("{}/v1/cluster", admin_url.trim_end_matches('/')), ASK_LIMIT)
    }

    /// The node called `id`.
    pub fn node(&self, id: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether there is a leader, exactly `active` nodes are Active, and every shard has an owner and stays there.
    pub fn is_whole(&self, active: usize) -> bool {
        let shards = &self.shards;
        let counted = self.nodes.iter().filter(|node| node.is_active()).count();
        let owned = shards.total > 0 && shards.assigned == shards.total && shards.orphaned == 0 && shards.moving == 0;
        self.leader.is_some() && counted == active && owned
    }

    /// Whether no Active node owns two shards more than another. True of nodes of equal weight that have settled.
    pub fn is_balanced(&self) -> bool {
        let owned = || self.nodes.iter().filter(|node| node.is_active()).map(|node| node.shards);
        owned().max().unwrap_or_default() - owned().min().unwrap_or_default() <= 1
    }

    /// Whether both have folded the same log equally far.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let names = |view: &Self| (view.namespace.clone(), view.cluster_uid.clone());
        names(self) == names(other)
            && (self.epoch, self.term, &self.leader) == (other.epoch, other.term, &other.leader)
            && self.shards == other.shards
    }
}

impl NodeView {
    /// Whether it may own shards.
    pub fn is_active(&self) -> bool {
        self.status.eq_ignore_ascii_case("active")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn whole() -> ClusterView {
        let node = |id: &str, status: &str, shards| NodeView {
            id: id.to_owned(),
            incarnation: 1.into(),
            status: status.to_owned(),
            shards,
            actors: None,
            admin_url: None,
        };
        ClusterView {
            namespace: "demo".to_owned(),
            cluster_uid: "u".into(),
            epoch: 9,
            term: 2,
            leader: Some("n1".to_owned()),
            nodes: vec![node("n1", "Active", 512), node("n2", "active", 512), node("n0", "left", 0)],
            shards: ShardsView { total: 1024, assigned: 1024, orphaned: 0, moving: 0 },
        }
    }

    #[test]
    fn a_cluster_is_whole_when_it_leads_and_every_shard_rests_with_an_active_node() {
        assert!(whole().is_whole(2));
        assert!(!whole().is_whole(3));
        let cases: [fn(&mut ClusterView); 5] = [
            |view| view.leader = None,
            |view| view.shards = ShardsView { assigned: 1023, orphaned: 1, ..view.shards },
            |view| view.shards.moving = 1,
            |view| view.shards = ShardsView::default(),
            |view| view.nodes[0].status = "draining".to_owned(),
        ];
        for (number, spoil) in cases.into_iter().enumerate() {
            let mut view = whole();
            spoil(&mut view);
            assert!(!view.is_whole(2), "case {number}");
        }
    }

    #[test]
    fn a_cluster_is_balanced_when_active_nodes_own_the_same_but_for_one() {
        let mut view = whole();
        view.nodes[0].shards = 513;
        assert!(view.is_balanced(), "a node that has left owns nothing and does not count");
        view.nodes[1].shards = 511;
        assert!(!view.is_balanced());
    }

    #[test]
    fn two_nodes_agree_when_they_have_folded_equally_far() {
        assert!(whole().agrees_with(&whole()));
        let later = ClusterView { epoch: 10, ..whole() };
        let other = ClusterView { cluster_uid: "v".into(), ..whole() };
        assert!(!whole().agrees_with(&later) && !whole().agrees_with(&other));
    }

    #[test]
    fn owners_are_read_in_the_order_of_shards_with_gaps_for_orphans() {
        let answer = serde_json::json!({"shards": [{"shard": 0, "owner": "n1"}, {"shard": 1, "owner": null}]});
        assert_eq!(read_owners(&answer), ["n1", ""]);
        assert!(read_owners(&serde_json::json!({"error": "busy"})).is_empty());
    }

    #[test]
    fn what_the_http_page_promises_is_enough() {
        let text = r#"{"namespace":"demo","cluster_uid":"u","epoch":1,"term":1,"leader":null,"more":1,
            "nodes":[{"id":"n1","incarnation":3,"status":"active","shards":1024,"actors":0}],
            "shards":{"total":1024,"assigned":1024,"orphaned":0,"moving":0}}"#;
        let view: ClusterView = serde_json::from_str(text).expect("readable");
        assert!(view.node("n1").is_some_and(NodeView::is_active) && !view.is_whole(1));
    }
}
