//! The live screen of the demo: nodes that share this process are ended and started by a key.

use std::sync::Arc;

use aether_screen::model::{Alert, View};
use aether_screen::{Deed, Host, Pages, Text, Verb};
use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use super::cast::Cast;
use crate::program::check;

pub(super) struct Demo {
    pub(super) cast: Arc<Cast>,
    pub(super) over: CancellationToken,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Host for Demo {
    fn urls(&self) -> Vec<String> {
        self.cast.urls()
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    fn alerts(&self, pages: &Pages<'_>) -> Vec<Alert> {
        check::alerts(pages)
    }

    fn complete(&self, view: &mut View) {
        view.load = self.cast.load().map(|load| {
            let load = load.view();
            let rate = load.ops_per_second;
            Text::new(&format!("{} acknowledged, {} lost, {rate:.0} a second", load.acknowledged, load.lost))
        });
    }

    fn verbs(&self) -> Vec<Verb> {
        vec![Verb::Kill, Verb::Restart, Verb::Drain, Verb::Add]
    }

    fn act(&self, deed: &Deed) -> Result<String, String> {
        self.runtime.block_on(self.done(deed)).map_err(|error| format!("{error:#}"))
    }
}

impl Demo {
    async fn done(&self, deed: &Deed) -> anyhow::Result<String> {
        let id = deed.node.as_deref().unwrap_or_default();
        match deed.verb {
            Verb::Kill => self.cast.end(id, false).await.map(|()| "done".to_owned()),
            Verb::Drain => self.cast.end(id, true).await.map(|()| "it has left".to_owned()),
            Verb::Restart => self.cast.begin(id).await.map(|()| "it is ready".to_owned()),
            Verb::Add => self.cast.add().await.map(|id| format!("{id} is ready")),
            _ => Err(anyhow!("nodes that share a process cannot")),
        }
    }
}
