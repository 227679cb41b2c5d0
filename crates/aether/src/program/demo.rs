//! `aether demo`: a whole cluster in this process, in memory, shown on the live screen, or in lines where there is no terminal.

mod cast;
mod host;

use std::io::{IsTerminal as _, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;

use aether_runtime::clock::BootClock;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::{DemoArgs, Global};
use super::{out, signals};
use crate::admin::{self, ClusterView};
use crate::config::{Layers, LoadSettings};
use crate::demo::load::{Load, LocalTeller};
use crate::node::Node;
use crate::{entropy, telemetry};
use cast::Cast;
use host::Demo;

/// How often the state is looked at; a line is printed when it has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many accounts each worker of the load has.
const ACCOUNTS_A_WORKER: u32 = 8;

pub(super) async fn run(args: DemoArgs, global: &Global) -> anyhow::Result<()> {
    let on_screen = !args.plain && stdin().is_terminal() && stdout().is_terminal();
    let layers = Layers::text("the demo's own settings", "node.id = \"demo\"\nlog.level = \"warn\"");
    let announce = args.announce.as_ref().map(|file| file.display().to_string());
    let workers = args.load.map(|workers| workers.to_string());
    let accounts = args.load.map(|workers| (u32::from(workers) * ACCOUNTS_A_WORKER).to_string());
    let layers = layers.with_process_environment().with_flag("admin.announce", announce);
    let settings = layers.with_flag("load.workers", workers).with_flag("load.accounts", accounts).load()?;
    if !on_screen {
        telemetry::start(&settings.log)?;
    }
    let asked_to_end = if on_screen { signals::end()? } else { signals::polite_end()? };

    let (announce, listen, load) = (settings.admin.announce.clone(), settings.admin.listen, settings.load);
    let cast = Arc::new(Cast::new(settings));
    let mut nodes = Vec::new();
    for number in 1..=args.nodes {
        // A port that was asked for is the first node's; the others take free ones.
        let free = std::net::SocketAddr::new(listen.ip(), 0);
        nodes.push(cast.launch(&format!("n{number}"), if number == 1 { listen } else { free }).await?);
    }
    tokio::select! {
        ready = all_ready(&nodes) => ready?,
        () = asked_to_end.cancelled() => return Ok(()),
    }
    let load = args.load.map(|_| start_load(&cast, load));
    cast.serve(load.as_ref());
    let urls = cast.urls();
    if let Some(file) = &announce {
        admin::announce(file, &urls)?;
    }
    out::line(format_args!("{} nodes in memory; their state ends with this process", nodes.len()));
    for (node, url) in nodes.iter().zip(&urls) {
        out::line(format_args!("  {} {url}", node.id()));
    }
    let shown = if on_screen {
        let host = Demo { cast: Arc::clone(&cast), over: asked_to_end, runtime: tokio::runtime::Handle::current() };
        let colour = global.ink().is_on();
        let screen = tokio::task::spawn_blocking(move || aether_screen::run(Arc::new(host), colour, false));
        screen.await?.context("the terminal cannot be used; --plain does without")
    } else {
        show(&nodes, load.as_ref(), &asked_to_end).await;
        Ok(())
    };
    cast.close().await;
    shown
}

/// Every node serves, and all see each other.
async fn all_ready(nodes: &[Node]) -> anyhow::Result<()> {
    for node in nodes {
        node.ready().await?;
    }
    Ok(())
}

fn start_load(cast: &Arc<Cast>, settings: LoadSettings) -> Load {
    let nodes = Arc::clone(cast);
    let teller = LocalTeller::of(move || nodes.nodes());
    Load::start(Arc::new(teller), settings, entropy::seed(), Arc::new(BootClock))
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
