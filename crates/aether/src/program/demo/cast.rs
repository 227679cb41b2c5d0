//! The demo's nodes, which come and go while it is shown, each with pages of its own.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aether_infra_memory::MemoryHub;
use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::admin::{Bound, Pages};
use crate::config::Settings;
use crate::demo::bank::Account;
use crate::demo::load::Load;
use crate::node::{Ended, Node};

/// Every node there is or was, in the order in which they came.
pub(super) struct Cast {
    hub: MemoryHub,
    settings: Settings,
    lives: Mutex<Vec<(String, Life)>>,
    load: Mutex<Option<Load>>,
    /// Whose turn it is to end a node's life or to begin one: keys are pressed faster than nodes start.
    turn: tokio::sync::Mutex<()>,
}

/// One life of a node, which may be over.
struct Life {
    node: Node,
    url: String,
    /// Its pages' end, which is its own.
    over: CancellationToken,
    /// What its pages will be served by, until they are.
    bound: Option<Bound>,
}

impl Life {
    fn lives(&self) -> bool {
        !self.over.is_cancelled()
    }
}

impl Cast {
    pub(super) fn new(settings: Settings) -> Self {
        let (lives, load, turn) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        Self { hub: MemoryHub::new(), settings, lives, load, turn }
    }

    fn lives(&self) -> MutexGuard<'_, Vec<(String, Life)>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node of that id, whose pages are at that address; it is not ready yet, and its pages not served.
    pub(super) async fn launch(&self, id: &str, listen: SocketAddr) -> anyhow::Result<Node> {
        let bound = Bound::bind(listen).await?;
        let (url, settings) = (bound.url(), &self.settings);
        let builder = Node::builder(id).namespace(settings.namespace.as_str()).profile(settings.profile);
        let launched = builder.admin_url(&url).in_memory(&self.hub).actor::<Account>().launch().await;
        let node = launched.with_context(|| format!("node {id} of the demo cannot start"))?;
        let life = Life { node: node.clone(), url, over: CancellationToken::new(), bound: Some(bound) };
        let mut lives = self.lives();
        match lives.iter_mut().find(|(of, _)| of == id) {
            Some((_, place)) => *place = life,
            None => lives.push((id.to_owned(), life)),
        }
        Ok(node)
    }

    /// From now on the pages of those that have been launched are served, with that load's.
    pub(super) fn serve(&self, load: Option<&Load>) {
        if let Some(load) = load {
            *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load.clone());
        }
        let load = self.load();
        for (_, life) in self.lives().iter_mut() {
            let Some(bound) = life.bound.take() else { continue };
            let pages = Pages::of_node(life.node.source());
            let pages = match &load {
                Some(load) => pages.with_load(load.clone()),
                None => pages,
            };
            tokio::spawn(bound.serve(pages, life.over.clone()));
        }
    }

    /// What keeps the nodes busy, if anything does.
    pub(super) fn load(&self) -> Option<Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The nodes that are not over.
    pub(super) fn nodes(&self) -> Vec<Node> {
        self.lives().iter().filter(|(_, life)| life.lives()).map(|(_, life)| life.node.clone()).collect()
    }

    /// Where their pages are.
    pub(super) fn urls(&self) -> Vec<String> {
        self.lives().iter().filter(|(_, life)| life.lives()).map(|(_, life)| life.url.clone()).collect()
    }

    /// That node, if it is not over, and what ends its pages.
    fn life(&self, id: &str) -> Option<(Node, CancellationToken)> {
        let lives = self.lives();
        let (_, life) = lives.iter().find(|(of, life)| of == id && life.lives())?;
        Some((life.node.clone(), life.over.clone()))
    }

    /// Ends that node without a word; or asks it to hand over first.
    pub(super) async fn end(&self, id: &str, politely: bool) -> anyhow::Result<()> {
        let over_already = || format!("{id} is over already; start it again first");
        if !politely {
            let _turn = self.turn.lock().await;
            return if self.kill(id).await { Ok(()) } else { bail!(over_already()) };
        }
        // Without a turn: what a node hands over takes its time, and others may be ended meanwhile.
        let (node, over) = self.life(id).with_context(over_already)?;
        let ended = node.drain().await;
        over.cancel();
        if matches!(ended, Ended::Left { .. }) { Ok(()) } else { Err(ended.into()) }
    }

    /// Starts that node again, whether it is over or not, and waits until it serves.
    pub(super) async fn begin(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.start(Some(id)).await?.ready().await?)
    }

    /// Starts another node, and waits until it serves; answers its id.
    pub(super) async fn add(&self) -> anyhow::Result<String> {
        let node = self.start(None).await?;
        node.ready().await?;
        Ok(node.id().to_string())
    }

    /// Whether that node was not over; now it is.
    async fn kill(&self, id: &str) -> bool {
        let Some((node, over)) = self.life(id) else { return false };
        over.cancel();
        node.kill().await;
        true
    }

    /// Launches a node of that id in place of what is left of the one before, or of an id that is free; serves its pages.
    async fn start(&self, id: Option<&str>) -> anyhow::Result<Node> {
        let _turn = self.turn.lock().await;
        let id = id.map_or_else(|| self.free_id(), str::to_owned);
        self.kill(&id).await;
        let node = self.launch(&id, SocketAddr::new(self.settings.admin.listen.ip(), 0)).await?;
        self.serve(None);
        Ok(node)
    }

    /// The first of `n1`, `n2` and so on that no node ever had.
    fn free_id(&self) -> String {
        let lives = self.lives();
        let ids = (1..=lives.len() + 1).map(|number| format!("n{number}"));
        ids.into_iter().find(|id| lives.iter().all(|(of, _)| of != id)).unwrap_or_default()
    }

    /// Ends everything.
    pub(super) async fn close(&self) {
        if let Some(load) = self.load() {
            load.stop();
        }
        for node in self.nodes() {
            node.kill().await;
        }
        self.lives().iter().for_each(|(_, life)| life.over.cancel());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn cast() -> Cast {
        let layers = Layers::text("a test", "node.id = \"demo\"\nprofile = \"fast\"\nadmin.listen = \"127.0.0.1:0\"");
        Cast::new(layers.load().expect("settings"))
    }

    #[tokio::test]
    async fn of_keys_that_are_pressed_at_once_each_has_its_turn_and_no_life_is_lost() {
        let cast = cast();
        let (first, second) = tokio::join!(cast.start(None), cast.start(None));
        let ids = [&first, &second].map(|node| node.as_ref().expect("it starts").id().to_string());
        assert_eq!(ids, ["n1", "n2"]);
        let (first, second) = tokio::join!(cast.start(Some("n1")), cast.start(Some("n1")));
        let both = [first, second].map(|node| node.expect("it starts"));
        assert_eq!(cast.nodes().len(), 2, "n1 and n2");
        cast.close().await;
        for (nth, node) in both.into_iter().enumerate() {
            let over = tokio::time::timeout(std::time::Duration::from_secs(10), node.ended()).await;
            assert!(over.is_ok(), "start {nth} of n1 lives on");
        }
    }
}
