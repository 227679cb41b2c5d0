//! `aether node`: one node of the demo application, until it is asked to end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::{Global, NodeArgs};
use super::signals;
use crate::Watchdog;
use crate::admin::{self, Bound, Pages, Picture, Source};
use crate::config::{Layers, Settings};
use crate::demo::bank::Account;
use crate::node::{Ended, Node, NodeBuilder};
use crate::supervised::Supervisor;
use crate::telemetry;

/// A node that may not have begun yet, so that its pages answer from the first moment.
#[derive(Default)]
struct Late(OnceLock<Node>);

impl Source for Late {
    fn topology_events(
        &self,
        since: aether_runtime::subscription::Since,
    ) -> Option<aether_runtime::subscription::TopologyEvents> {
        Some(self.0.get()?.topology_events(since))
    }
    fn why(&self, shard: aether_domain::ShardId) -> Option<aether_runtime::projection::Why> {
        Source::why(self.0.get()?, shard)
    }
    fn preview(&self) -> Option<Result<aether_runtime::control::Preview, String>> {
        self.0.get()?.preview()
    }
    fn dead_letters(&self) -> Option<Arc<dyn aether_domain::ports::DeadLetters>> {
        self.0.get()?.dead_letters()
    }
    fn control(&self) -> Option<Arc<dyn aether_domain::ports::ControlStore>> {
        self.0.get()?.control()
    }
    fn picture(&self) -> Option<Picture> {
        self.0.get().and_then(Node::picture)
    }
}

pub(super) async fn run(args: NodeArgs, global: &Global) -> anyhow::Result<()> {
    let layers = Layers::file(&args.config)?.with_process_environment().with_flag("node.id", args.id);
    #[cfg(feature = "nats")]
    let layers = super::store::Over::of(global)?.settings(layers);
    let settings = layers.load()?;
    telemetry::start(&settings.log)?;
    let asked_to_end = signals::polite_end()?;
    let bound = Bound::bind(settings.admin.listen).await?;
    let url = bound.url();
    let (late, stop_pages) = (Arc::new(Late::default()), CancellationToken::new());
    let builder = describe(&settings, &url, global)?;
    let pages = tokio::spawn(
        bound.serve(Pages::of_operated_node(late.clone(), settings.admin.token.clone()), stop_pages.clone()),
    );
    if let Some(file) = &settings.admin.announce {
        admin::announce(file, std::slice::from_ref(&url))?;
    }
    tracing::info!(node = %settings.node.id, namespace = %settings.namespace, %url, "starting; admin pages are served");
    let done = live(builder, &late, &asked_to_end).await;
    stop_pages.cancel();
    // Whoever still reads a page is not waited for.
    pages.abort();
    done
}

#[cfg(feature = "nats")]
fn describe(settings: &Settings, url: &str, global: &Global) -> anyhow::Result<NodeBuilder> {
    let store = super::store::Over::of(global)?.store(settings, settings.node.id.as_str())?;
    Ok(common(settings, url).nats(store.config))
}

#[cfg(not(feature = "nats"))]
#[expect(clippy::unnecessary_wraps, reason = "with NATS it may fail")]
fn describe(settings: &Settings, url: &str, _: &Global) -> anyhow::Result<NodeBuilder> {
    Ok(common(settings, url).in_memory(&aether_infra_memory::MemoryHub::new()))
}

fn common(settings: &Settings, url: &str) -> NodeBuilder {
    let node = Node::builder(settings.node.id.as_str());
    let node = settings.node.zone.iter().fold(node, |node, zone| node.zone(zone.as_str()));
    node.namespace(settings.namespace.as_str())
        .profile(settings.profile)
        .weight(settings.node.weight)
        .tags(&settings.node.tags)
        .on_regression(settings.node.on_regression)
        .watchdog(Watchdog {
            slow_after: settings.node.slow_after,
            end_after: settings.node.end_after.unwrap_or(Duration::MAX),
            ..Watchdog::default()
        })
        .memory_limits(settings.memory)
        .admin_url(url)
        .actor::<Account>()
}

/// How often a supervised process looks whether its supervisor is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until the supervisor that had started this process is gone; for ever if there was none. Whoever looks after the
/// supervisor starts another, and with it another process under this node's id, which this one must make room for.
async fn orphaned() {
    let Some(supervisor) = Supervisor::of_this_process() else { return std::future::pending().await };
    while supervisor.is_parent() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::warn!(supervisor = supervisor.pid, "the supervisor is gone: this node hands over and leaves");
}

async fn live(builder: NodeBuilder, late: &Late, asked_to_end: &CancellationToken) -> anyhow::Result<()> {
    let node = tokio::select! {
        launched = builder.launch() => launched?,
        () = asked_to_end.cancelled() => return Ok(()),
    };
    let node = late.0.get_or_init(|| node);
    let ended = tokio::select! {
        ended = node.ended() => ended,
        () = asked_to_end.cancelled() => node.drain().await,
        () = orphaned() => node.drain().await,
    };
    // Whoever waits for this process relies on its code: only a node that was let go has handed everything over.
    let Ended::Left { .. } = ended else { return Err(ended.into()) };
    tracing::info!("{ended}");
    Ok(())
}
