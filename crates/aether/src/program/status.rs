//! `aether status`: one node's view of its cluster.

use super::args::Global;
use super::ask::{Form, show};
use super::ink::{Ink, Tone};
use super::table::{Cell, Table};
use crate::admin::ClusterView;

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    show(global, "/v1/cluster", lines).await
}

/// The nodes as lines for people.
pub(super) fn nodes(view: &ClusterView, form: Form, ink: Ink) -> String {
    let mut head = vec!["NODE", "STATUS", ">SHARDS", ">ACTORS", ">CMD/S", "ADMIN"];
    if form == Form::Wide {
        head.extend([">WEIGHT", "ZONE", "TAGS", ">SINCE", ">VIEW", "LIFE", "BUILD"]);
    }
    let mut nodes = Table::new(head);
    for node in &view.nodes {
        let leads = view.leader.as_deref() == Some(&node.id) && node.status == "active";
        let mut status = if leads { format!("{}, leader", node.status) } else { node.status.clone() };
        if node.trust != "trusted" && node.status == "active" {
            status = format!("{status}, {}", node.trust);
        }
        let figures = [node.shards, node.actors, node.commands_per_second].map(|figure| figure.to_string().into());
        let mut row = vec![node.id.as_str().into(), Cell::toned(tone(&node.status, &node.trust), status)];
        row.extend(figures);
        row.push(node.admin_url.clone().unwrap_or_default().into());
        if form == Form::Wide {
            row.extend([
                node.weight.to_string().into(),
                node.zone.clone().unwrap_or_default().into(),
                node.tags.join(",").into(),
                node.since_epoch.to_string().into(),
                node.view_epoch.map(|epoch| epoch.to_string()).unwrap_or_default().into(),
                node.incarnation.as_str().into(),
                node.build.clone().unwrap_or_default().into(),
            ]);
        }
        nodes.row(row);
    }
    nodes.shown(ink)
}

fn tone(status: &str, trust: &str) -> Tone {
    match (status, trust) {
        ("active", "trusted") => Tone::Good,
        ("active" | "draining", _) => Tone::Warning,
        ("failed", _) => Tone::Bad,
        _ => Tone::Faint,
    }
}

/// The cluster as lines for people.
fn lines(view: &ClusterView, form: Form, ink: Ink) -> String {
    let (shards, nodes) = (&view.shards, nodes(view, form, ink));
    let order = view.order.as_ref().filter(|order| order.wish != "resume");
    let order = order.map_or_else(String::new, |order| format!("; redistribution: {} by {}", order.wish, order.by));
    format!(
        "cluster {}: leader {}, term {}, epoch {}; shards {} of {} owned, {} orphaned, {} moving{order}\n{nodes}",
        view.namespace,
        view.leader.as_deref().unwrap_or("none"),
        view.term,
        view.epoch,
        shards.assigned,
        shards.total,
        shards.orphaned,
        shards.moving,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ClusterView {
        let node = |id: &str, status: &str, shards: u64| {
            serde_json::json!({
                "id": id, "incarnation": format!("00000000000000{id}"), "status": status, "shards": shards, "actors": 7,
                "admin_url": "http://127.0.0.1:1", "commands_per_second": 5, "weight": 1, "zone": null,
                "tags": ["eu", "ssd"], "since_epoch": 3, "trust": "trusted", "view_epoch": 9, "build": "0.1.0",
            })
        };
        serde_json::from_value(serde_json::json!({
            "namespace": "bank", "cluster_uid": "07", "epoch": 9, "term": 2, "leader": "n1",
            "nodes": [node("n1", "active", 1024), node("n2", "failed", 0)],
            "shards": { "total": 1024, "assigned": 1024, "orphaned": 0, "moving": 3 },
            "order": { "wish": "pause", "by": "ann", "why": "", "since_epoch": 8 },
        }))
        .expect("a view")
    }

    #[test]
    fn a_cluster_is_a_line_and_a_line_for_each_node() {
        let expected = "\
cluster bank: leader n1, term 2, epoch 9; shards 1024 of 1024 owned, 0 orphaned, 3 moving; redistribution: pause by ann
NODE  STATUS          SHARDS  ACTORS  CMD/S  ADMIN
n1    active, leader    1024       7      5  http://127.0.0.1:1
n2    failed               0       7      5  http://127.0.0.1:1";
        assert_eq!(lines(&view(), Form::Table, Ink::NONE), expected);
        let wide = lines(&view(), Form::Wide, Ink::NONE);
        let last: Vec<_> = wide.lines().last().expect("n2").split_whitespace().skip(6).collect();
        assert_eq!(last, ["1", "eu,ssd", "3", "9", "00000000000000n2", "0.1.0"]);
    }
}
