//! `aether status`: one node's view of its cluster.

use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::de::DeserializeOwned;

use super::args::{Output, StatusArgs};
use super::out;
use crate::admin::ClusterView;

/// How long a node may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let body = page(&args.url, "/v1/cluster").await?;
    match args.output {
        Output::Json => out::line(body.trim_end()),
        Output::Table => out::line(table(&view(&args.url, &body)?)),
    }
    Ok(())
}

/// What the node at `url` answers on that page.
pub(super) async fn page(url: &str, path: &str) -> anyhow::Result<String> {
    let url = format!("{}{path}", url.trim_end_matches('/'));
    tokio::task::spawn_blocking(move || ask(&url)).await.context("asking was interrupted")?
}

/// That answer, if it is one of a node.
pub(super) fn view<V: DeserializeOwned>(url: &str, body: &str) -> anyhow::Result<V> {
    serde_json::from_str(body)
        .with_context(|| format!("{url} does not answer as a node does; give the URL that a node has announced"))
}

fn ask(url: &str) -> anyhow::Result<String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(ASK_LIMIT)).http_status_as_error(false).proxy(None);
    let agent: ureq::Agent = config.build().into();
    let mut reply = agent
        .get(url)
        .call()
        .with_context(|| format!("no answer from {url}; is the node running, and is this its admin URL?"))?;
    let body = reply.body_mut().read_to_string().with_context(|| format!("the answer of {url} ended early"))?;
    if !reply.status().is_success() {
        bail!("{url} answered {}: {}", reply.status(), body.trim_end());
    }
    Ok(body)
}

/// The nodes as lines for people.
pub(super) fn nodes(view: &ClusterView) -> String {
    let mut nodes = Table::new();
    nodes.load_preset(presets::NOTHING).set_header(["NODE", "STATUS", "SHARDS", "ACTORS", "CMD/S", "ADMIN"]);
    for column in [2, 3, 4] {
        if let Some(column) = nodes.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for node in &view.nodes {
        let leads = view.leader.as_deref() == Some(&node.id) && node.status == "active";
        let status = if leads { format!("{}, leader", node.status) } else { node.status.clone() };
        let url = node.admin_url.clone().unwrap_or_default();
        let figures = [node.shards, node.actors, node.commands_per_second].map(|figure| figure.to_string());
        nodes.add_row([node.id.clone(), status].into_iter().chain(figures).chain([url]));
    }
    nodes.to_string()
}

/// The cluster as lines for people.
fn table(view: &ClusterView) -> String {
    let (shards, nodes) = (&view.shards, nodes(view));
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
