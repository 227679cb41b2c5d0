//! What the screen is told: the pages of whichever node answers, once a second and whenever the log grows, and the log as
//! it grows.
//!
//! Whatever is asked has a limit, and whoever does not answer is not waited for: the others are asked. Nodes that were
//! learnt of by others are asked too, so the screen outlives those it began with.
//!
//! Read next: [`watch`], then [`follow`].

mod ask;
mod follow;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::draw::{Look, plain_frame};
use crate::host::{Deed, Host};
use crate::state::{State, Told, Wish};
use crate::text::Text;
use ask::Asker;
use watch::Watcher;

/// How often everything is asked for, unless something has happened before.
const EVERY: Duration = Duration::from_secs(1);
/// How long nothing is asked, however fast the log grows.
const PAUSE: Duration = Duration::from_millis(100);
/// How much may wait to be drawn.
const WAITING_MAX: usize = 256;
/// How many deeds and questions may be under way at once.
const UNDER_WAY_MAX: usize = 8;
/// How many nodes are asked, at most.
const URLS_MAX: usize = 128;
/// How many entries of the log there are to begin with.
const ENTRIES_FIRST: u64 = 200;

/// Asks for everything to be looked at again at once.
#[derive(Clone, Debug)]
pub(crate) struct Again(SyncSender<()>);

impl Again {
    pub(crate) fn now(&self) {
        // If one is waiting already, that is enough.
        let _ = self.0.try_send(());
    }
}

/// Where the nodes are, the one that has answered last first; and of which cluster.
#[derive(Debug, Default)]
pub(crate) struct Known {
    urls: Vec<String>,
    cluster: Text,
}

/// The threads that ask, and what they have been told.
pub(crate) struct Feed {
    host: Arc<dyn Host>,
    told: Receiver<Told>,
    tell: SyncSender<Told>,
    again: Again,
    known: Arc<Mutex<Known>>,
    under_way: Arc<AtomicUsize>,
}

impl Feed {
    pub(crate) fn start(host: Arc<dyn Host>) -> Self {
        let (tell, told) = sync_channel(WAITING_MAX);
        let (nudge, nudged) = sync_channel(1);
        let (again, known) = (Again(nudge), Arc::new(Mutex::new(Known::default())));
        let mut watcher = Watcher::new(Arc::clone(&host), Arc::clone(&known));
        let watched = tell.clone();
        std::thread::spawn(move || {
            // Nobody looks any more once nothing can be told.
            while watched.send(watcher.look()).is_ok() {
                std::thread::sleep(PAUSE);
                // Both ends of the wait are the same: it is time to look again.
                let _ = nudged.recv_timeout(EVERY.saturating_sub(PAUSE));
            }
        });
        let (followed, nudge, where_to) = (tell.clone(), again.clone(), Arc::clone(&known));
        std::thread::spawn(move || follow::follow(&where_to, &followed, &nudge));
        Self { host, told, tell, again, known, under_way: Arc::default() }
    }

    /// What has been told meanwhile.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> {
        self.told.try_iter().take(WAITING_MAX)
    }

    /// Does what the screen wants, beside it.
    pub(crate) fn begin(&self, wish: Wish) -> Option<Told> {
        let work: Box<dyn FnOnce() -> Told + Send> = match wish {
            Wish::Quit => return None,
            Wish::Do(deed) => {
                let host = Arc::clone(&self.host);
                if self.under_way.load(Ordering::SeqCst) >= UNDER_WAY_MAX {
                    return Some(Told::Done(deed, Err("too much is under way; let it be done first".into())));
                }
                Box::new(move || done(&*host, deed))
            }
            Wish::Tell(shard) => {
                let known = Arc::clone(&self.known);
                if self.under_way.load(Ordering::SeqCst) >= UNDER_WAY_MAX {
                    return Some(Told::Story(shard, Err("too much is under way; close this and ask again".into())));
                }
                Box::new(move || Told::Story(shard, story(&known, shard)))
            }
        };
        let (tell, again, under_way) = (self.tell.clone(), self.again.clone(), Arc::clone(&self.under_way));
        under_way.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            let told = work();
            under_way.fetch_sub(1, Ordering::SeqCst);
            // If the screen has ended there is nobody to tell.
            drop(tell.send(told));
            again.now();
        });
        None
    }
}

fn done(host: &dyn Host, deed: Deed) -> Told {
    let outcome = host.act(&deed);
    Told::Done(deed, outcome.map(Text::from).map_err(Text::from))
}

fn story(known: &Mutex<Known>, shard: usize) -> Result<Box<crate::model::Story>, Text> {
    let urls = known.lock().unwrap_or_else(PoisonError::into_inner).urls.clone();
    let asker = Asker::new();
    let mut fault = Text::new("no node answers");
    for url in urls {
        match watch::story(&asker, &url, shard) {
            Ok(story) => return Ok(Box::new(story)),
            Err(why) => fault = Text::from(why),
        }
    }
    Err(fault)
}

/// One frame, as plain text of that size.
///
/// # Errors
/// No node answers; in words, why the first does not.
pub fn once(host: Arc<dyn Host>, width: u16, height: u16) -> Result<String, String> {
    let known = Arc::new(Mutex::new(Known::default()));
    let mut watcher = Watcher::new(Arc::clone(&host), known);
    let mut state = State::new(Look::default(), host.verbs(), false);
    let told = watcher.look();
    if let Told::Silent(why) = &told {
        return Err(why.to_string());
    }
    state.hear(Duration::ZERO, told);
    let epoch = state.view().map_or(0, |view| view.cluster.epoch);
    state.hear(Duration::ZERO, Told::Entries(watcher.entries(epoch.saturating_sub(ENTRIES_FIRST))?));
    Ok(plain_frame(&state, Duration::ZERO, width, height))
}
