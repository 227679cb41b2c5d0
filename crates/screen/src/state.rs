//! What the screen knows and where its cursor is. Pure: what is told and which keys are pressed go in, wishes come out.

mod kept;
mod press;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::draw::Look;
use crate::host::{Deed, Verb};
use crate::letters::Letters;
use crate::model::{Alert, Entry, Event, Node, Story, View};
use crate::runs;
use crate::text::Text;
use kept::Kept;

/// Since when a picture is old: it should have been renewed twice by then.
const OLD_AFTER: Duration = Duration::from_millis(3_500);

/// For how long a shard that has changed its owner stands out.
const FRESH_FOR: Duration = Duration::from_secs(3);

/// For how long a word about what was asked is shown.
const MESSAGE_FOR: Duration = Duration::from_secs(20);

/// A part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The nodes.
    #[default]
    Nodes,
    /// The map of shards.
    Shards,
    /// What is on its way.
    Moves,
    /// What happened.
    Events,
}

impl Pane {
    pub(crate) const ALL: [Self; 4] = [Self::Nodes, Self::Shards, Self::Moves, Self::Events];
}

/// What is over everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// The keys.
    Help,
    /// One node.
    Node(Text),
    /// One shard; what is told of it comes later.
    Shard {
        /// Its number.
        shard: usize,
        /// What led to where it is, or why that is not known.
        story: Option<Result<Box<Story>, Text>>,
    },
    /// Whether this is meant.
    Confirm(Deed),
    /// What is being typed: what events are filtered by.
    Filter(String),
    /// What is being typed: the number of a shard.
    Goto(String),
}

/// What comes to the screen.
#[derive(Clone, Debug)]
pub enum Told {
    /// The cluster, as a node sees it now.
    View(Box<View>),
    /// No node answers, and why the first does not.
    Silent(Text),
    /// Entries of the log, in order.
    Entries(Vec<Entry>),
    /// What led to where that shard is.
    Story(usize, Result<Box<Story>, Text>),
    /// What came of a deed.
    Done(Deed, Result<Text, Text>),
}

/// What the screen wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The screen ends.
    Quit,
    /// This is done.
    Do(Deed),
    /// It is told what led to where that shard is.
    Tell(usize),
}

/// What the screen knows and shows.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What may be drawn with.
    pub look: Look,
    /// What can be asked by keys.
    pub verbs: Vec<Verb>,
    /// Whether it is asked whether a deed is meant.
    pub confirm: bool,
    /// The part of the screen that keys go to.
    pub pane: Pane,
    /// What is over everything.
    pub dialog: Option<Dialog>,
    /// What events are filtered by; empty for all.
    pub filter: String,
    /// Whether a question is not to be answered yet.
    pub(crate) hushed: bool,
    view: Option<Box<View>>,
    seen_at: Duration,
    fault: Option<Text>,
    /// Since when the node that is asked has had no connection to NATS.
    cut_off_at: Option<Duration>,
    entries: Kept,
    pub(crate) letters: Letters,
    /// The id of the node that keys are about.
    selected: Option<Text>,
    /// The shard that keys are about.
    pub(crate) cursor: usize,
    /// How many events are passed over, from the latest on.
    pub(crate) scrolled: usize,
    /// When shards have changed their owner, by number.
    fresh: BTreeMap<usize, Duration>,
    message: Option<(Duration, Result<Text, Text>)>,
    /// How many deeds are under way.
    pub(crate) busy: usize,
}

impl State {
    /// A screen that knows nothing yet. With `confirm` a deed is done only if it is confirmed.
    pub fn new(look: Look, verbs: Vec<Verb>, confirm: bool) -> Self {
        Self { look, verbs, confirm, ..Self::default() }
    }

    /// What was told at that time.
    pub fn hear(&mut self, now: Duration, told: Told) {
        match told {
            Told::View(view) => self.see(now, view),
            Told::Silent(why) => self.fault = Some(why),
            Told::Entries(entries) => {
                for entry in entries {
                    self.add(entry);
                }
            }
            Told::Story(of, told) => {
                if let Some(Dialog::Shard { shard, story }) = &mut self.dialog
                    && *shard == of
                {
                    *story = Some(told);
                }
            }
            Told::Done(deed, outcome) => {
                self.busy = self.busy.saturating_sub(1);
                let said = |text: Text| Text::new(&format!("{deed}: {text}"));
                self.message = Some((now, outcome.map(said).map_err(said)));
            }
        }
    }

    fn see(&mut self, now: Duration, mut view: Box<View>) {
        view.cluster.nodes.sort_by(|one, other| crate::model::natural(&one.id, &other.id));
        let other = |before: &View| {
            (&before.cluster.namespace, &before.cluster.cluster_uid)
                != (&view.cluster.namespace, &view.cluster.cluster_uid)
        };
        if self.view.as_deref().is_some_and(other) {
            // Another cluster has this address now: nothing of the one before holds for it.
            (self.letters, self.selected, self.view) = (Letters::default(), None, None);
            (self.cursor, self.scrolled) = (0, 0);
            self.entries = Kept::default();
            self.fresh.clear();
        }
        self.letters.see(view.cluster.nodes.iter().map(|node| &node.id));
        if let Some(before) = &self.view
            && before.map.len() == view.map.len()
            && before.map != view.map
        {
            let changed = |shard: &usize| before.map.owner_name(*shard) != view.map.owner_name(*shard);
            self.fresh.extend((0..view.map.len()).filter(changed).map(|shard| (shard, now)));
        }
        self.fresh.retain(|_, at| now.saturating_sub(*at) < FRESH_FOR);
        let known = |id: &Text| view.node(id).is_some();
        self.selected = self.selected.take().filter(known).or_else(|| Some(view.cluster.nodes.first()?.id.clone()));
        self.cursor = self.cursor.min(view.map.len().saturating_sub(1));
        self.cut_off_at = if view.connected { None } else { self.cut_off_at.or(Some(now)) };
        (self.seen_at, self.fault, self.view) = (now, None, Some(view));
    }

    fn add(&mut self, entry: Entry) {
        // What is read stays where it is.
        let rows = match self.scrolled {
            0 => 0,
            _ => entry.events.iter().filter(|event| self.wants(&entry, event)).count(),
        };
        if self.entries.add(entry) {
            self.scrolled += rows;
        }
    }

    /// What is known of the cluster.
    pub fn view(&self) -> Option<&View> {
        self.view.as_deref()
    }

    /// Its nodes, in the order they are shown in.
    pub fn nodes(&self) -> &[Node] {
        self.view().map_or(&[], |view| &view.cluster.nodes)
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.view().map_or(0, |view| view.map.len())
    }

    /// What is wrong, as of the picture that is shown.
    pub(crate) fn alerts(&self) -> &[Alert] {
        self.view().map_or(&[], |view| &view.alerts)
    }

    /// The node that keys are about.
    pub fn selected(&self) -> Option<&Node> {
        self.nodes().iter().find(|node| self.selected.as_ref() == Some(&node.id))
    }

    /// How old the picture is and why, if it is not what is now.
    pub(crate) fn old(&self, now: Duration) -> Option<(Duration, String)> {
        let age = now.saturating_sub(self.seen_at);
        self.view()?;
        match (&self.fault, self.cut_off_at) {
            (Some(why), _) => Some((age, format!("no node answers: {why}"))),
            (None, _) if age > OLD_AFTER => Some((age, "no node has answered for a while".to_owned())),
            (None, Some(at)) => {
                let me = self.view().map_or("the node", |view| &view.cluster.me);
                Some((now.saturating_sub(at), format!("{me} has no connection to NATS")))
            }
            (None, None) => None,
        }
    }

    /// Why there is no picture yet.
    pub(crate) fn fault(&self) -> Option<&Text> {
        self.fault.as_ref()
    }

    /// Whether that shard has just changed its owner.
    pub(crate) fn is_fresh(&self, shard: usize, now: Duration) -> bool {
        self.fresh.get(&shard).is_some_and(|at| now.saturating_sub(*at) < FRESH_FOR)
    }

    /// The word about what was asked last.
    pub(crate) fn message(&self, now: Duration) -> Option<&Result<Text, Text>> {
        self.message.as_ref().filter(|(at, _)| now.saturating_sub(*at) < MESSAGE_FOR).map(|(_, said)| said)
    }

    /// The events that are wanted, the latest entry first, each entry's in their order.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&Entry, &Event)> {
        let of = |entry| -> Vec<(&Entry, &Event)> {
            let entry: &Entry = entry;
            entry.events.iter().filter(|event| self.wants(entry, event)).map(|event| (entry, event)).collect()
        };
        self.entries.latest().flat_map(of)
    }

    /// Whether the filter lets that event through: it is in a name, a node, a cause or a reason, or it is the number of one
    /// of its shards.
    fn wants(&self, entry: &Entry, event: &Event) -> bool {
        let filter = self.filter.trim().to_lowercase();
        let has = |text: &Text| text.to_lowercase().contains(&filter);
        filter.is_empty()
            || has(&event.name)
            || has(&entry.cause)
            || event.nodes.iter().any(has)
            || event.reason.as_ref().is_some_and(has)
            || filter.parse().is_ok_and(|shard| {
                event.shards.as_ref().is_some_and(|shards| runs::names(shards, shard)) || entry.epoch == shard as u64
            })
    }

    /// What the keys can ask for now: paused redistribution is gone on with, and the other way round.
    pub(crate) fn verb(&self, key: char) -> Option<Verb> {
        let verb = *self.verbs.iter().find(|verb| verb.key() == key)?;
        let paused = self.view().is_some_and(View::paused);
        Some(if verb == Verb::Pause && paused { Verb::Resume } else { verb })
    }
}
