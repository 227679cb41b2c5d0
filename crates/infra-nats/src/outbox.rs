//! Publishes that nobody waits for, on their way to the connection: they go out together.
//!
//! Each one handed over by itself would wake the client's task, which would then write it out by itself: a system call
//! here and another one in the server for each. So they gather until everybody who is ready to publish has done so.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use crate::acks::{Asker, Place};
use crate::connection::Connection;
use crate::outcome;
use crate::wire::v1::Encoded;

/// How many may gather. Beyond that whoever publishes has to wait, as for any other publish.
const GATHERED_MAX: usize = 4_096;

/// A publish under compare-and-set whose answer has its place.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) subject: String,
    pub(crate) record: Encoded,
    pub(crate) expected: u64,
    /// Of the place of its answer.
    pub(crate) number: u64,
}

/// A connection's publishes that have not been handed to the client yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    publishes: Vec<Publish>,
    /// Whether a task is about to hand them over.
    called: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes it, to be sent soon; or has it sent by a task of its own, if too many have gathered or the connection is down.
pub(crate) fn leave(connection: &Arc<Connection>, publish: Publish) {
    let place = connection.acks.at(publish.number);
    if connection.check().is_err() {
        return take_back(place);
    }
    let mut gathered = connection.outbox.lock();
    if gathered.publishes.len() >= GATHERED_MAX {
        drop(gathered);
        return take_back(place);
    }
    gathered.publishes.push(publish);
    if !std::mem::replace(&mut gathered.called, true) {
        tokio::spawn(hand_over(Arc::clone(connection)));
    }
}

async fn hand_over(connection: Arc<Connection>) {
    // A yielded task goes on when the executor has nothing else that is ready, or after some sixty other tasks.
    tokio::task::yield_now().await;
    let mut publishes = Vec::new();
    loop {
        {
            let mut gathered = connection.outbox.lock();
            if gathered.publishes.is_empty() {
                gathered.called = false;
                return;
            }
            std::mem::swap(&mut publishes, &mut gathered.publishes);
        }
        for publish in publishes.drain(..) {
            send(&connection, publish).await;
        }
    }
}

async fn send(connection: &Connection, publish: Publish) {
    let Publish { subject, record, expected, number } = publish;
    let place = connection.acks.at(number);
    if connection.check().is_ok() {
        let headers = outcome::headers(&record, expected);
        let reply = place.subject();
        let mut sent = pin!(connection.client.publish_with_reply_and_headers(subject, reply, headers, record.payload));
        let sent = match sent.as_mut().now_or_never() {
            Some(sent) => sent.is_ok(),
            None => matches!(connection.bounded(sent).await, Ok(Ok(()))),
        };
        if sent {
            return;
        }
    }
    take_back(place);
}

/// It was not handed to the client, so it will never be sent, unless as a new one.
fn take_back(place: Place<'_>) {
    if let Some(Asker::Append(append)) = place.give_back() {
        append.begin_anew();
    }
}
