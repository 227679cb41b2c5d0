//! What a person would write for actors that store what they are told: a task with a mailbox each, which puts what has
//! gathered there into one message under compare-and-set, and then answers all of it. It remembers no command, checks no
//! history, follows no shard and survives no panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::{FILL, Measured, Put, Rate, RawStream, Stored};

type Asked = (Put, oneshot::Sender<u64>);

/// How many commands one message may hold.
const BATCH: usize = 64;

/// So many callers, each of an actor of its own.
pub(super) fn side<'a>(raw: &'a RawStream, workers: usize) -> impl Fn(Duration) -> Measured<'a> {
    move |time| rate(&raw.context, workers, workers, time).map(Ok).boxed()
}

/// How often a second so many callers are answered by so many actors.
pub(super) async fn rate(context: &jetstream::Context, actors: usize, callers: usize, time: Duration) -> Rate {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let spawn = |actor| {
        let (mailbox, asked) = mpsc::channel(BATCH);
        tokio::spawn(act(context.clone(), format!("raw.ev.hand.{run}.{actor}"), asked));
        mailbox
    };
    let mailboxes: Arc<[_]> = (0..actors).map(spawn).collect();
    super::rate(callers, time, move |caller| {
        let mailbox = mailboxes[caller % mailboxes.len()].clone();
        async move {
            let (reply, told) = oneshot::channel();
            mailbox.send((Put { fill: "x".repeat(FILL) }, reply)).await.expect("it runs");
            std::hint::black_box(told.await.expect("an answer"));
        }
    })
    .await
}

async fn act(context: jetstream::Context, subject: String, mut asked: mpsc::Receiver<Asked>) {
    let (mut count, mut last, mut gathered) = (0, 0, Vec::with_capacity(1));
    let mut shared = false;
    while asked.recv_many(&mut gathered, BATCH).await > 0 {
        if shared {
            // Those that were just answered together are about to ask again.
            tokio::task::yield_now().await;
            while gathered.len() < BATCH
                && let Ok(more) = asked.try_recv()
            {
                gathered.push(more);
            }
        }
        shared = gathered.len() > 1;
        let (events, replies): (Vec<_>, Vec<_>) =
            gathered.drain(..).map(|(put, reply)| (Stored { fill: put.fill }, reply)).unzip();
        let payload = bincode::serde::encode_to_vec(&events, bincode::config::standard()).expect("it can be written");
        last = super::publish(&context, &subject, payload.into(), last).await;
        for reply in replies {
            count += 1;
            let _ = reply.send(count);
        }
    }
}
