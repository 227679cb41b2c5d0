//! A bounded queue with one reader: where messages wait for a listener.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Messages for one listener, bounded in count and bytes.
pub(super) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    /// Its single permit is enough: there is one reader, which looks again after every wake-up.
    arrived: Notify,
    messages_max: usize,
    bytes_max: usize,
}

struct Queue<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    overrun: bool,
    closed: bool,
}

/// What a reader takes.
pub(super) enum Taken<T> {
    Message(T),
    /// Messages were refused since the last one taken.
    Overrun,
    /// Nothing more will come.
    Closed,
}

impl<T> Inbox<T> {
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), bytes: 0, overrun: false, closed: false };
        Self { queue: Mutex::new(queue), arrived: Notify::new(), messages_max, bytes_max }
    }

    /// Queues a message; answers whether there was room. A full queue remembers that it was overrun.
    pub(super) fn put(&self, message: T, bytes: usize) -> bool {
        let mut queue = self.lock();
        let fits = queue.waiting.len() < self.messages_max && queue.bytes + bytes <= self.bytes_max;
        if fits {
            queue.bytes += bytes;
            queue.waiting.push_back((message, bytes));
        } else {
            queue.overrun = true;
        }
        drop(queue);
        self.arrived.notify_one();
        fits
    }

    /// Ends it: what waits is dropped, as when its process dies.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.arrived.notify_one();
    }

    /// The next message, once there is one. What was queued before an overrun comes before it is told.
    pub(super) async fn take(&self) -> Taken<T> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// The next message if there is one.
    pub(super) fn try_take(&self) -> Option<Taken<T>> {
        let mut queue = self.lock();
        if queue.closed {
            return Some(Taken::Closed);
        }
        if let Some((message, bytes)) = queue.waiting.pop_front() {
            queue.bytes -= bytes;
            return Some(Taken::Message(message));
        }
        std::mem::take(&mut queue.overrun).then_some(Taken::Overrun)
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
