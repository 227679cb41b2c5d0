//! The live screen of `cluster-up`: who leads, who owns what, and keys to break a node and watch the others cope.
//!
//! It shows what the nodes answer and keeps nothing of its own; everything it does is a command of [`cluster`] that
//! could as well be typed elsewhere.
//!
//! Read next: [`draw`].

pub mod draw;

use std::{path::Path, sync::mpsc, time::Duration};

use anyhow::{Context, Result};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};

use crate::{
    cluster::{self, ClusterFile, Status},
    interrupt, out,
};

/// How often everybody is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long a key may wait to be read.
const KEY_PAUSE: Duration = Duration::from_millis(100);

/// How many answers may wait to be drawn; older ones are worth nothing.
const ANSWERS_MAX: usize = 2;

/// How many commands may wait for the one before them.
const COMMANDS_MAX: usize = 16;

/// What there is to show.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The latest answers; `None` until the first have come.
    pub status: Option<Status>,
    /// The owner of each shard by number, empty where nobody owns it.
    pub owners: Vec<String>,
    /// The index of the node that keys apply to.
    pub selected: usize,
    /// What the last command came to.
    pub message: String,
}

type Act = fn(&Path, &str) -> Result<()>;

/// One command on one node.
struct Asked {
    id: String,
    verb: &'static str,
    act: Act,
}

/// Shows the cluster in `dir` until `q`, an interrupt, or the end of the cluster.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn run(dir: &Path) -> Result<()> {
    let (answer, answers) = mpsc::sync_channel(ANSWERS_MAX);
    let asker = dir.to_owned();
    std::thread::spawn(move || ask_all(&asker, &answer));
    let (command, commands) = mpsc::sync_channel::<Asked>(COMMANDS_MAX);
    let (outcome, outcomes) = mpsc::channel();
    let doer = dir.to_owned();
    std::thread::spawn(move || do_all(&doer, &commands, &outcome));

    let mut terminal = ratatui::try_init().context("preparing the terminal")?;
    let notes = out::mute();
    let shown = show(&mut terminal, dir, &answers, &command, &outcomes);
    ratatui::restore();
    drop(notes);
    shown
}

fn show(
    terminal: &mut DefaultTerminal,
    dir: &Path,
    answers: &mpsc::Receiver<(Status, Vec<String>)>,
    command: &mpsc::SyncSender<Asked>,
    outcomes: &mpsc::Receiver<String>,
) -> Result<()> {
    let mut shown = Shown::default();
    while !interrupt::requested() && ClusterFile::find(dir)?.is_some() {
        while let Ok((status, owners)) = answers.try_recv() {
            shown.status = Some(status);
            shown.owners = owners;
        }
        while let Ok(message) = outcomes.try_recv() {
            shown.message = message;
        }
        terminal.draw(|frame| draw::draw(frame, &shown)).context("drawing")?;
        if !event::poll(KEY_PAUSE).context("reading keys")? {
            continue;
        }
        let Event::Key(key) = event::read().context("reading keys")? else { continue };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let count = shown.status.as_ref().map_or(0, |status| status.nodes.len());
        match key.code {
            KeyCode::Char('q') => return Ok(()),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
            KeyCode::Down => shown.selected = (shown.selected + 1).min(count.saturating_sub(1)),
            KeyCode::Up => shown.selected = shown.selected.saturating_sub(1),
            KeyCode::Char(letter) => shown.message = press(letter, &shown, command),
            _ => {}
        }
    }
    Ok(())
}

/// What a key does to the selected node; answers what to tell.
fn press(letter: char, shown: &Shown, command: &mpsc::SyncSender<Asked>) -> String {
    let (verb, act): (&'static str, Act) = match letter {
        'k' => ("kill", cluster::kill),
        'z' => ("freeze", cluster::stop),
        'c' => ("continue", cluster::resume),
        'd' => ("drain", cluster::drain),
        'r' => ("restart", cluster::restart),
        'a' => ("add", cluster::add),
        _ => return shown.message.clone(),
    };
    let Some(status) = &shown.status else { return "nobody has answered yet".to_owned() };
    let id = if letter == 'a' {
        free_id(status)
    } else {
        match status.nodes.get(shown.selected) {
            Some(node) => node.id.clone(),
            None => return "no node is selected".to_owned(),
        }
    };
    let told = format!("{verb} {id} ...");
    match command.try_send(Asked { id, verb, act }) {
        Ok(()) => told,
        Err(_) => "too many commands are waiting; let them be done first".to_owned(),
    }
}

/// The first of `n1`, `n2` and so on that no node has.
fn free_id(status: &Status) -> String {
    let taken = |id: &String| status.nodes.iter().any(|node| node.id == *id);
    let ids = (1..=status.nodes.len() + 1).map(|number| format!("n{number}"));
    ids.into_iter().find(|id| !taken(id)).unwrap_or_default()
}

/// Asks until nobody looks any more.
fn ask_all(dir: &Path, answer: &mpsc::SyncSender<(Status, Vec<String>)>) {
    loop {
        if let Ok(status) = cluster::status(dir, false) {
            let reachable = status.nodes.iter().filter(|node| node.reachable).max_by_key(|node| node.epoch);
            let owners = reachable.and_then(|node| cluster::owners(&node.admin_url).ok()).unwrap_or_default();
            if answer.send((status, owners)).is_err() {
                return;
            }
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// Does one command after another until no more can come.
fn do_all(dir: &Path, commands: &mpsc::Receiver<Asked>, outcome: &mpsc::Sender<String>) {
    while let Ok(Asked { id, verb, act }) = commands.recv() {
        let told = match act(dir, &id) {
            Ok(()) => format!("{verb} {id}: done"),
            Err(error) => format!("{verb} {id}: {error:#}"),
        };
        if outcome.send(told).is_err() {
            return;
        }
    }
}
