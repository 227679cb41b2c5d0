//! `aether demo`: a whole cluster in this process, in memory, and lines that show it.

use std::sync::Arc;
use std::time::Duration;

use aether_infra_memory::MemoryHub;
use aether_runtime::clock::BootClock;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::DemoArgs;
use super::{out, signals};
use crate::admin::{self, Bound, ClusterView, Pages};
use crate::config::{Layers, LoadSettings, Settings};
use crate::demo::bank::Account;
use crate::demo::load::{Load, LocalTeller};
use crate::node::Node;
use crate::{entropy, telemetry};

/// How often the state is looked at; a line is printed when it has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many accounts each worker of the load has.
const ACCOUNTS_A_WORKER: u32 = 8;

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let layers = Layers::text("the demo's own settings", "node.id = \"demo\"\nlog.level = \"warn\"");
    let announce = args.announce.as_ref().map(|file| file.display().to_string());
    let workers = args.load.map(|workers| workers.to_string());
    let accounts = args.load.map(|workers| (u32::from(workers) * ACCOUNTS_A_WORKER).to_string());
    let layers = layers.with_process_environment().with_flag("admin.announce", announce);
    let settings = layers.with_flag("load.workers", workers).with_flag("load.accounts", accounts).load()?;
    telemetry::start(&settings.log)?;
    let asked_to_end = signals::polite_end()?;

    let (hub, stop) = (MemoryHub::new(), CancellationToken::new());
    let mut bounds = Vec::new();
    for number in 1..=args.nodes {
        // A port that was asked for is the first node's; the others take free ones.
        let listen = settings.admin.listen;
        let free = std::net::SocketAddr::new(listen.ip(), 0);
        bounds.push((format!("n{number}"), Bound::bind(if number == 1 { listen } else { free }).await?));
    }
    let urls: Vec<_> = bounds.iter().map(|(_, bound)| bound.url()).collect();
    let mut nodes = Vec::new();
    for ((id, _), url) in bounds.iter().zip(&urls) {
        nodes.push(launch(id, url, &hub, &settings).await?);
    }
    tokio::select! {
        ready = all_ready(&nodes) => ready?,
        () = asked_to_end.cancelled() => return Ok(()),
    }
    let load = args.load.map(|_| start_load(&nodes, settings.load));
    for ((_, bound), node) in bounds.into_iter().zip(&nodes) {
        let pages = Pages::of_node(node.source());
        let pages = match &load {
            Some(load) => pages.with_load(load.clone()),
            None => pages,
        };
        tokio::spawn(bound.serve(pages, stop.clone()));
    }
    if let Some(file) = &settings.admin.announce {
        admin::announce(file, &urls)?;
    }
    out::line(format_args!("{} nodes in memory; their state ends with this process", nodes.len()));
    for (node, url) in nodes.iter().zip(&urls) {
        out::line(format_args!("  {} {url}", node.id()));
    }
    show(&nodes, load.as_ref(), &asked_to_end).await;
    stop.cancel();
    if let Some(load) = load {
        load.stop();
    }
    for node in &nodes {
        node.kill().await;
    }
    Ok(())
}

async fn launch(id: &str, url: &str, hub: &MemoryHub, settings: &Settings) -> anyhow::Result<Node> {
    let builder = Node::builder(id).namespace(settings.namespace.as_str()).profile(settings.profile);
    let launched = builder.admin_url(url).in_memory(hub).actor::<Account>().launch().await;
    launched.with_context(|| format!("node {id} of the demo cannot start"))
}

/// Every node serves, and all see each other.
async fn all_ready(nodes: &[Node]) -> anyhow::Result<()> {
    for node in nodes {
        node.ready().await?;
    }
    Ok(())
}

fn start_load(nodes: &[Node], settings: LoadSettings) -> Load {
    Load::start(Arc::new(LocalTeller::new(nodes.to_vec())), settings, entropy::seed(), Arc::new(BootClock))
}

async fn show(nodes: &[Node], load: Option<&Load>, asked_to_end: &CancellationToken) {
    let mut last = String::new();
    while !asked_to_end.is_cancelled() {
        if let Some(picture) = nodes[0].source().picture() {
            let view = ClusterView::of(&picture);
            let mut line = format!(
                "leader {} term {} epoch {} shards {}/{} |",
                view.leader.as_deref().unwrap_or("none"),
                view.term,
                view.epoch,
                view.shards.assigned,
                view.shards.total,
            );
            for node in &view.nodes {
                line = format!("{line} {} {} {} |", node.id, node.status, node.shards);
            }
            if let Some(load) = load {
                let load = load.view();
                line = format!("{line} load: {} acknowledged, {:.0}/s", load.acknowledged, load.ops_per_second);
            }
            if line != last {
                out::line(&line);
                last = line;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = asked_to_end.cancelled() => {}
        }
    }
}
