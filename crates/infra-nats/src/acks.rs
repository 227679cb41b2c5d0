//! The answers to what is published: all of a connection's on one subscription, told apart by a number.
//!
//! A publish costs an entry in a short queue and, if a task waits for the answer, a channel of one place; no timer and no
//! subscription of its own. Whoever wants the answer is told when it comes, or that it will not be waited for: after the
//! connection was lost, or too long.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{oneshot, watch};

use crate::event_store::BegunAppend;

/// How often it is seen who has waited too long: a time-out is late by this much at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many answers are handed out at a time.
const ANSWERS_AT_ONCE: usize = 256;

/// Why no answer is waited for any more. What was published may be stored now, later or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The connection was lost while it was awaited.
    #[error("connection to NATS lost before the acknowledgement came")]
    Lost,
    /// It did not come in time.
    #[error("no acknowledgement from NATS in time")]
    TooLate,
}

/// What the server says, or that nobody listens for it any more.
pub(crate) type Answered = Result<Message, Unanswered>;

/// Who wants an answer.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A task, which waits for it.
    Task(oneshot::Sender<Answered>),
    /// An append that nobody waits for.
    Append(Box<BegunAppend>),
}

impl Asker {
    fn hear(self, answer: Answered) {
        match self {
            // Whoever has gone away does not want to know.
            Self::Task(task) => drop(task.send(answer)),
            Self::Append(append) => append.hear(answer),
        }
    }
}

/// A connection's open publishes.
#[derive(Debug)]
pub(crate) struct Acks {
    open: Mutex<Open>,
    /// The number of a publish stands behind it.
    prefix: String,
    /// After so many looks an answer is not waited for any more.
    looks_max: u64,
}

#[derive(Debug, Default)]
struct Open {
    /// The number of the first of these.
    first: u64,
    /// By number, oldest first; `None` once answered. The first one is always open.
    waiting: VecDeque<Option<Waiting>>,
    looks: u64,
}

#[derive(Debug)]
struct Waiting {
    since: u64,
    asker: Asker,
}

/// One answer's place: what is published must name it as its reply subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    acks: &'a Acks,
    number: u64,
}

impl Acks {
    /// Listens for answers on that connection, for as long as this is held. `losses` changes whenever it is lost.
    pub(crate) async fn listen(
        client: &Client,
        losses: watch::Receiver<u64>,
        timeout: Duration,
    ) -> Result<Arc<Self>, async_nats::SubscribeError> {
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.*")).await?;
        let looks_max = u64::try_from(timeout.as_millis().div_ceil(LOOK_EVERY.as_millis())).unwrap_or(u64::MAX);
        let acks = Arc::new(Self { open: Mutex::default(), prefix: format!("{inbox}."), looks_max });
        tokio::spawn(hand_out(Arc::downgrade(&acks), answers, losses));
        Ok(acks)
    }

    /// A place for one answer, to be taken before it is seen whether the connection is up: whatever is lost from then on
    /// is told.
    pub(crate) fn place(&self, asker: Asker) -> Place<'_> {
        let mut open = self.lock();
        let number = open.first + open.waiting.len() as u64;
        let since = open.looks;
        open.waiting.push_back(Some(Waiting { since, asker }));
        Place { acks: self, number }
    }

    /// The place of that number.
    pub(crate) fn at(&self, number: u64) -> Place<'_> {
        Place { acks: self, number }
    }

    /// Whose answers these are is moved to `asked`: they hear them once nothing is locked any more.
    fn take(&self, answers: impl IntoIterator<Item = Message>, asked: &mut Vec<(Asker, Message)>) {
        let mut open = self.lock();
        for answer in answers {
            let number = answer.subject.strip_prefix(self.prefix.as_str()).and_then(|number| number.parse().ok());
            if let Some(asker) = number.and_then(|number| open.remove(number)) {
                asked.push((asker, answer));
            }
        }
    }

    fn lose_all(&self) {
        let lost = {
            let mut open = self.lock();
            open.first += open.waiting.len() as u64;
            std::mem::take(&mut open.waiting)
        };
        for waiting in lost.into_iter().flatten() {
            waiting.asker.hear(Err(Unanswered::Lost));
        }
    }

    fn look(&self) {
        let mut late = Vec::new();
        {
            let mut open = self.lock();
            open.looks += 1;
            let Some(since) = open.looks.checked_sub(self.looks_max) else { return };
            while let Some(Some(waiting)) = open.waiting.front()
                && waiting.since < since
            {
                let first = open.first;
                late.extend(open.remove(first));
            }
        }
        for asker in late {
            asker.hear(Err(Unanswered::TooLate));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes out who wants the answer of that number, and keeps the first one open.
    fn remove(&mut self, number: u64) -> Option<Asker> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let waiting = self.waiting.get_mut(place)?.take();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        waiting.map(|waiting| waiting.asker)
    }
}

impl Place<'_> {
    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The reply subject, in as much memory as it takes.
    pub(crate) fn subject(&self) -> String {
        let digits = self.number.checked_ilog10().unwrap_or_default() as usize + 1;
        let mut subject = String::with_capacity(self.acks.prefix.len() + digits);
        // Writing to a text does not fail.
        let _ = write!(subject, "{}{}", self.acks.prefix, self.number);
        subject
    }

    /// Gives the place back, because nothing was published: to whom it was given, unless they have heard already that the
    /// connection was lost.
    pub(crate) fn give_back(self) -> Option<Asker> {
        self.acks.lock().remove(self.number)
    }
}

/// Hands answers out until nobody publishes here any more or the connection has ended for good.
async fn hand_out(acks: Weak<Acks>, mut answers: Subscriber, mut losses: watch::Receiver<u64>) {
    // Kept, because it is large: made anew for each few answers it would cost more than these.
    let mut ready = Vec::with_capacity(ANSWERS_AT_ONCE);
    let mut asked = Vec::with_capacity(ANSWERS_AT_ONCE);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            answer = answers.next() => match (answer, acks.upgrade()) {
                (Some(answer), Some(acks)) => {
                    ready.push(answer);
                    // More are being read: those who are told together ask again together, and that goes out together.
                    tokio::task::yield_now().await;
                    while ready.len() < ANSWERS_AT_ONCE
                        && let Some(Some(answer)) = answers.next().now_or_never()
                    {
                        ready.push(answer);
                    }
                    acks.take(ready.drain(..), &mut asked);
                    for (asker, answer) in asked.drain(..) {
                        asker.hear(Ok(answer));
                    }
                }
                _ => break,
            },
            Ok(()) = losses.changed() => match acks.upgrade() {
                Some(acks) => acks.lose_all(),
                None => break,
            },
            _ = look.tick() => match acks.upgrade() {
                Some(acks) => acks.look(),
                None => break,
            },
        }
    }
    if let Some(acks) = acks.upgrade() {
        acks.lose_all();
    }
}
