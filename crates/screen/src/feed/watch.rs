//! The cluster now, as the first node sees it that answers and hears the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use super::ask::{Asker, LIMIT, LIMIT_BESIDE, understood};
use super::{Known, URLS_MAX};
use crate::clock::{Clock, unix_millis};
use crate::host::{Host, Pages};
use crate::map::Map;
use crate::model::{Cluster, Entry, Health, Lease, Move, Moves, Shard, Shards, Story, View};
use crate::state::Told;
use crate::text::Text;

/// How many nodes are asked how far the moves are that they have a part in.
const MOVERS_MAX: usize = 8;
/// How long ago somebody may have been heard who is asked besides.
const HEARD_MAX_MS: u64 = 2_500;
/// How long nodes that do not answer are asked one after another before that is said.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How many others are tried while the one that answers is cut off from NATS.
const OTHERS_MAX: usize = 8;

/// What looks, and what it has seen.
pub(super) struct Watcher {
    host: Arc<dyn Host>,
    known: Arc<Mutex<Known>>,
    asker: Asker,
    /// Who answered last.
    last: Option<String>,
    /// How many of them are passed over, because they have been asked in vain.
    turn: usize,
    /// Where nodes are by what others say.
    learnt: Vec<String>,
    /// Whose the shards are, of which cluster and as of which entry.
    map: Option<(Text, u64, Map)>,
    /// When the plan of that number was announced.
    plan: Option<(u64, u64)>,
}

impl Watcher {
    pub(super) fn new(host: Arc<dyn Host>, known: Arc<Mutex<Known>>) -> Self {
        Self { host, known, asker: Asker::new(), last: None, turn: 0, learnt: Vec::new(), map: None, plan: None }
    }

    /// Asks one node after another until one says how things are.
    pub(super) fn look(&mut self) -> Told {
        let (mut fault, mut cut_off, mut others) = (None, None, 0);
        let clock = Clock::start();
        for (nth, url) in self.urls().into_iter().enumerate() {
            if clock.now() > LOOK_MAX && cut_off.is_none() {
                // Whoever looks is told that, and the next look begins with those that have not been asked.
                self.turn += nth;
                break;
            }
            match self.ask(&url) {
                Ok(view) if view.connected => return self.found(url, view),
                // Another may hear more.
                Ok(view) => cut_off = cut_off.or(Some((url, view))),
                Err(why) => fault = fault.or(Some(why)),
            }
            others += u32::from(cut_off.is_some());
            if others as usize > OTHERS_MAX {
                break;
            }
        }
        match cut_off {
            Some((url, view)) => self.found(url, view),
            None => Told::Silent(Text::from(fault.unwrap_or_else(|| "nobody has said where a node is".to_owned()))),
        }
    }

    /// Who may be asked, the one that answered last first.
    fn urls(&self) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        for url in self.last.iter().cloned().chain(self.host.urls()).chain(self.learnt.iter().cloned()) {
            let url = url.trim_end_matches('/').to_owned();
            let is_page = url.starts_with("http://") || url.starts_with("https://");
            if is_page && !urls.contains(&url) && urls.len() < URLS_MAX {
                urls.push(url);
            }
        }
        let all = urls.len().max(1);
        urls.rotate_left(self.turn % all);
        urls
    }

    fn found(&mut self, url: String, view: View) -> Told {
        let learnt: Vec<_> = view.cluster.nodes.iter().filter_map(|node| node.admin_url.clone()).collect();
        if !learnt.is_empty() {
            self.learnt = learnt;
        }
        (self.last, self.turn) = (Some(url), 0);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (known.urls, known.cluster) = (self.urls(), view.cluster.cluster_uid.clone());
        Told::View(Box::new(view))
    }

    fn ask(&mut self, url: &str) -> Result<View, String> {
        let page = self.asker.page(url, "/v1/cluster", LIMIT)?;
        let mut cluster: Cluster = understood(url, &page)?;
        let health_page = self.asker.page(url, "/v1/health", LIMIT)?;
        let moves_page = self.asker.page(url, "/v1/moves", LIMIT)?;
        let health: Health = understood(url, &health_page)?;
        let mut moves: Moves = understood(url, &moves_page)?;
        let connected = self.is_connected(url)?;
        let map = self.map(url, &cluster)?;
        let plan_ms = self.plan_ms(url, &moves);
        let pages = Pages {
            asked: url,
            cluster: &page,
            health: &health_page,
            moves: &moves_page,
            plan_seconds: plan_ms.map(|millis| millis / 1000),
        };
        let mut alerts = self.host.alerts(&pages);
        alerts.sort_by_key(|alert| !alert.critical);
        cluster.lease = cluster.lease.or_else(|| self.lease(&cluster));
        self.ask_movers(url, &cluster, &mut moves);
        let mut view = View { cluster, health, moves, map, alerts, connected, plan_ms, load: None };
        self.host.complete(&mut view);
        Ok(view)
    }

    /// Whether that node hears NATS. What is not said is not so.
    fn is_connected(&self, url: &str) -> Result<bool, String> {
        #[derive(Deserialize)]
        struct Ready {
            #[serde(default)]
            checks: std::collections::BTreeMap<String, bool>,
        }
        // A node that is not ready says so with another status, and why all the same.
        let (_, page) = self.asker.any(url, "/readyz?verbose", LIMIT)?;
        let ready: Ready = understood(url, &page)?;
        Ok(ready.checks.get("nats-connected").copied().unwrap_or(true))
    }

    /// The map changes only with the log.
    fn map(&mut self, url: &str, cluster: &Cluster) -> Result<Map, String> {
        if let Some((of, epoch, map)) = &self.map
            && *of == cluster.cluster_uid
            && *epoch == cluster.epoch
        {
            return Ok(map.clone());
        }
        let page: Shards = self.asker.read(url, "/v1/shards", LIMIT)?;
        let map = Map::of(&page).map_err(|fault| format!("{url} does not answer as a node does: {fault}"))?;
        self.map = Some((cluster.cluster_uid.clone(), page.epoch, map.clone()));
        Ok(map)
    }

    fn plan_ms(&mut self, url: &str, moves: &Moves) -> Option<u64> {
        let plan = moves.plan.as_ref()?;
        if self.plan.is_none_or(|(id, _)| id != plan.id) {
            // A plan's number is the epoch of the entry that announced it.
            let path = format!("/v1/events?since={}&limit=1", plan.id.saturating_sub(1));
            let page: Events = self.asker.read(url, &path, LIMIT).ok()?;
            self.plan = Some((plan.id, page.entries.first()?.unix_millis));
        }
        self.plan.map(|(_, at)| unix_millis().saturating_sub(at))
    }

    /// What is left of the lease only its holder knows.
    fn lease(&self, cluster: &Cluster) -> Option<Lease> {
        let leader = cluster.nodes.iter().find(|node| cluster.leader.as_ref() == Some(&node.id))?;
        let url = leader.admin_url.as_ref().filter(|_| leader.heard_ms.is_some_and(|heard| heard < HEARD_MAX_MS))?;
        self.asker.read::<Cluster>(url, "/v1/cluster", LIMIT_BESIDE).ok()?.lease
    }

    /// How far moves are only those know that have a part in them.
    fn ask_movers(&self, url: &str, cluster: &Cluster, moves: &mut Moves) {
        let mut movers: Vec<&Text> = moves.draining.iter().flat_map(|way| [&way.from, &way.to]).collect();
        movers.sort();
        movers.dedup();
        let others = movers.into_iter().filter(|id| **id != cluster.me).take(MOVERS_MAX);
        let urls: Vec<_> = others
            .filter_map(|id| cluster.nodes.iter().find(|node| node.id == *id))
            .filter(|node| node.heard_ms.is_some_and(|heard| heard < HEARD_MAX_MS))
            .filter_map(|node| node.admin_url.as_deref().filter(|other| *other != url))
            .collect();
        for other in urls {
            if let Ok(page) = self.asker.read::<Moves>(other, "/v1/moves", LIMIT_BESIDE) {
                moves.here.extend(page.here);
            }
        }
        moves.here = furthest(std::mem::take(&mut moves.here));
    }

    /// The entries behind that one.
    pub(super) fn entries(&self, since: u64) -> Result<Vec<Entry>, String> {
        let url = self.last.as_deref().ok_or("no node answers")?;
        Ok(self.asker.read::<Events>(url, &format!("/v1/events?since={since}"), LIMIT)?.entries)
    }
}

#[derive(Deserialize)]
struct Events {
    entries: Vec<Entry>,
}

/// Of a move that two nodes know, what the one says that is further.
fn furthest(mut moves: Vec<Move>) -> Vec<Move> {
    moves.sort_by_key(|one| (one.shard, one.drain_epoch, std::cmp::Reverse((one.is_over(), one.reached.len()))));
    moves.dedup_by_key(|one| (one.shard, one.drain_epoch));
    moves
}

/// What led to where a shard is.
pub(super) fn story(asker: &Asker, url: &str, shard: usize) -> Result<Story, String> {
    #[derive(Deserialize)]
    struct Why {
        entries: Vec<Entry>,
        whole: bool,
    }
    let now: Shard = asker.read(url, &format!("/v1/shards/{shard}"), LIMIT)?;
    let Why { entries, whole } = asker.read(url, &format!("/v1/shards/{shard}/why"), LIMIT)?;
    Ok(Story { now, entries, whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_move_that_both_its_nodes_tell_of_the_further_one_counts() {
        let one = |shard, phase: &str, reached: usize| Move {
            shard,
            drain_epoch: 3,
            phase: phase.into(),
            reached: vec![crate::model::Reached { at_ms: 1 }; reached],
        };
        let all = furthest(vec![one(7, "paused", 1), one(2, "sent", 3), one(7, "completed", 2), one(2, "captured", 2)]);
        let phases: Vec<_> = all.iter().map(|one| (one.shard, &*one.phase)).collect();
        assert_eq!(phases, [(2, "sent"), (7, "completed")]);
    }
}
