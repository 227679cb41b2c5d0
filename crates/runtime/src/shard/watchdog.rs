//! Handlers that run too long: named after a while, and after another the end of their process.
//!
//! A handler cannot be stopped, only the process it runs in. The others then give its shards to somebody else, who runs the
//! command once more; a command that may have cost two lives is not run by a third (see `letters.rs`).
//!
//! It looks from a thread of its own, so that it sees even what holds up every thread of the executor, and counts only
//! time in which it ran itself: a frozen process has no slow handlers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use aether_domain::{ActorAddress, Monotonic, ShardId};

use super::inner::Inner;
use super::input::{Input, Now};
use super::machine::ShardMachine;

/// What the exit code of a process is that its watchdog has ended.
pub const EXIT_STUCK: u8 = 79;

/// How long handlers may run.
#[derive(Clone)]
pub struct Watchdog {
    /// A handler that has run for longer is named in the log and counted. 10 s unless told.
    pub slow_after: Duration,
    /// One that has run for longer ends the process. 60 s unless told.
    pub end_after: Duration,
    /// How the process is ended; by [`EXIT_STUCK`] unless told.
    pub end: Arc<dyn Fn(&StuckHandler) + Send + Sync>,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self {
            slow_after: Duration::from_secs(10),
            end_after: Duration::from_secs(60),
            end: Arc::new(|_| std::process::exit(EXIT_STUCK.into())),
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slow_after, end_after, .. } = self;
        f.debug_struct("Watchdog").field("slow_after", slow_after).field("end_after", end_after).finish_non_exhaustive()
    }
}

/// A handler that runs and runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckHandler {
    /// The shard that waits for it.
    pub shard: ShardId,
    /// The actor's kind, the command and the id, as far as they fit into 96 bytes.
    pub what: String,
    /// For how long.
    pub running: Duration,
}

/// How often it is looked whether a handler runs for that long: then the executor is woken. Less than a heartbeat of any profile.
const WAKE_EVERY: Duration = Duration::from_millis(50);

/// How many words of eight bytes name what runs.
const WORDS: usize = 12;

/// What a shard runs at this moment. Written by whoever holds the shard, for every command: so it is a few plain stores: some ten nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// When it began, by the host's clock in nanoseconds; 0 while nothing runs.
    since: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Running {
    /// Something begins. Its name is written word by word as it stands, each part ending in a word that is not full.
    pub(super) fn begin(&self, now: Now, actor: &ActorAddress, command: &str) {
        let mut words = self.words.iter();
        for part in [actor.key.kind.as_bytes(), command.as_bytes(), actor.key.id.as_bytes()] {
            let mut full = part.chunks_exact(8);
            let rest = full.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            let full = full.by_ref().map(|eight| eight.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
            for (word, place) in full.chain([rest]).zip(&mut words) {
                place.store(word, Ordering::Relaxed);
            }
        }
        if let Some(place) = words.next() {
            place.store(0, Ordering::Relaxed);
        }
        self.since.store((now.at.since_start().as_nanos() as u64).max(1), Ordering::Relaxed);
    }

    /// Something begins, if it is something that may run what users wrote. A replay that does not end is named by the command
    /// that waits for it.
    pub(super) fn begin_input<T>(&self, now: Now, input: &Input<T>, machine: &mut ShardMachine<T>) {
        match input {
            Input::Command(work, _) => self.begin(now, &work.actor, &work.command),
            Input::Loaded { actor, .. }
            | Input::Appended { actor, .. }
            | Input::Looked { actor, .. }
            | Input::TurnOver { actor, .. } => {
                self.begin(now, actor, machine.waiting_command(actor).unwrap_or("(nothing that waited)"));
            }
            _ => {}
        }
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// Since when something runs; 0 if nothing does.
    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// What runs. Only of something that has run for long is it sure to be whole.
    fn what(&self) -> String {
        let (mut bytes, mut parts) = (Vec::new(), 0);
        for word in &self.words {
            let eight = word.load(Ordering::Relaxed).to_le_bytes();
            let filled = eight.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.extend_from_slice(&eight[..filled]);
            if filled < 8 {
                parts += 1;
                if parts == 3 {
                    break;
                }
                bytes.push(b' ');
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl<T> ShardMachine<T> {
    /// The command of that actor that is to be run next.
    fn waiting_command(&mut self, actor: &ActorAddress) -> Option<&str> {
        let busy = self.residents.get_mut(actor)?.busy.as_ref()?;
        busy.waiting.front().map(|asked| &*asked.work.command)
    }
}

/// What the watchdog has seen of one shard.
#[derive(Clone, Copy, Default)]
struct Seen {
    since: u64,
    ran: Duration,
    named: bool,
}

impl Inner {
    /// Whether some shard runs what users wrote at this moment.
    pub(super) fn runs_a_handler(&self) -> bool {
        self.cells.iter().any(|cell| cell.running.since() != 0)
    }
}

/// Watches until the host has ended and nothing runs any more.
pub(super) fn watch(host: &Arc<Inner>, watchdog: Watchdog) -> std::io::Result<()> {
    let host = Arc::downgrade(host);
    let thread = std::thread::Builder::new().name("aether-watchdog".to_owned());
    thread.spawn(move || run(&host, &watchdog)).map(drop)
}

fn run(host: &Weak<Inner>, watchdog: &Watchdog) {
    let every = (watchdog.slow_after / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let mut seen = Vec::new();
    let mut last: Option<Monotonic> = None;
    loop {
        std::thread::sleep(every.min(WAKE_EVERY));
        let Some(host) = host.upgrade() else { return };
        if host.closed.load(Ordering::Relaxed) && !host.runs_a_handler() {
            return;
        }
        let now = host.clocks.now().at;
        wake_the_executor(&host, now);
        if last.is_some_and(|last| now.since(last) < every) {
            continue;
        }
        // A process that was frozen has not run what it was running either.
        let ran = last.map_or(Duration::ZERO, |last| now.since(last)).min(every * 2);
        last = Some(now);
        for stuck in look(&host, &mut seen, ran, watchdog.slow_after) {
            if stuck.running >= watchdog.end_after {
                let StuckHandler { shard, what, running } = &stuck;
                tracing::error!(shard = shard.0, what, ?running, "a handler does not end: this process ends instead");
                (watchdog.end)(&stuck);
            }
        }
    }
}

/// Sees to it that somebody waits for timers and sockets while a handler runs. Whoever did so before may be the very thread that
/// took the handler up; the executor wakes no other for a single task, so that all of them would sleep until the handler ends.
fn wake_the_executor(host: &Inner, now: Monotonic) {
    let before = now.since_start().saturating_sub(WAKE_EVERY).as_nanos() as u64;
    if host.cells.iter().map(|cell| cell.running.since()).any(|since| since != 0 && since < before) {
        drop(host.runtime.spawn(async {}));
    }
}

/// What has run for too long; one that has just become slow is named and counted.
fn look(host: &Inner, seen: &mut Vec<Seen>, ran: Duration, slow_after: Duration) -> Vec<StuckHandler> {
    seen.resize(host.cells.len(), Seen::default());
    let mut slow = Vec::new();
    for ((cell, seen), shard) in host.cells.iter().zip(seen).zip(host.shards.all()) {
        let since = cell.running.since();
        if since == 0 || since != seen.since {
            *seen = Seen { since, ..Seen::default() };
            continue;
        }
        seen.ran += ran;
        if seen.ran < slow_after {
            continue;
        }
        let stuck = StuckHandler { shard, what: cell.running.what(), running: seen.ran };
        if !seen.named {
            seen.named = true;
            host.slow_handlers.fetch_add(1, Ordering::Relaxed);
            tracing::error!(shard = shard.0, what = stuck.what, running = ?stuck.running, "a handler does not end");
        }
        slow.push(stuck);
    }
    slow
}

#[cfg(test)]
mod tests {
    use aether_domain::{ActorId, ActorKey, ActorKind, Slot, WallTime};

    use super::*;

    #[test]
    fn whatever_runs_is_named_as_far_as_there_is_room() {
        let running = Running::default();
        let now = Now { at: Monotonic::from_start(Duration::from_secs(1)), wall: WallTime::default(), serving: true };
        let long = "x".repeat(128);
        for (kind, command, id, expected) in [
            ("account", "withdraw", "42", "account withdraw 42".to_owned()),
            ("a", "b", "c", "a b c".to_owned()),
            ("accounts", "withdraw", "12345678", "accounts withdraw 12345678".to_owned()),
            ("account", "\u{fc}ben", "\u{1F980}", "account \u{fc}ben \u{1F980}".to_owned()),
            ("account", "open", &long, format!("account open {}", "x".repeat(80))),
            ("account", &long, "42", format!("account {}", "x".repeat(88))),
            ("k", "get", "7", "k get 7".to_owned()),
        ] {
            let (kind, id) = (ActorKind::new(kind).expect("a kind"), ActorId::new(id).expect("an id"));
            running.begin(now, &ActorAddress { key: ActorKey { kind, id }, slot: Slot(0) }, command);
            assert_eq!((running.what(), running.since()), (expected, 1_000_000_000));
            running.end();
            assert_eq!(running.since(), 0);
        }
    }
}
