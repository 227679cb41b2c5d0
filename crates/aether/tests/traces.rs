//! Commands as others see them who collect spans: on a real nats-server, from a client to the record.

use std::collections::BTreeMap;
use std::time::Duration;

use aether::client::Client;
use aether::demo::bank::{Account, Balance, Deposit, Open};
use aether::prelude::*;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::time::{sleep, timeout};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use xtask::nats::{NatsServer, ServerOptions};

const LIMIT: Duration = Duration::from_secs(30);

/// Some of these are where they are asked, others are on the other node.
const ACCOUNTS: u64 = 24;

/// Who has been asked what, each with what it is part of, by the names of spans.
fn paths(spans: &[SpanData]) -> Vec<Vec<String>> {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.span_context.span_id().to_bytes(), span)).collect();
    let path = |last: &SpanData| {
        let mut next = by_id.get(&last.span_context.span_id().to_bytes());
        let mut path = Vec::new();
        while let Some(span) = next {
            assert_eq!(span.span_context.trace_id(), last.span_context.trace_id());
            path.push(span.name.to_string());
            next = by_id.get(&span.parent_span_id.to_bytes());
        }
        path.reverse();
        path
    };
    spans.iter().map(path).collect()
}

/// The spans, once that many of that name have ended.
async fn ended(exporter: &InMemorySpanExporter, name: &str, count: usize) -> Vec<SpanData> {
    let look = async {
        loop {
            let spans = exporter.get_finished_spans().expect("they are kept");
            if spans.iter().filter(|span| span.name == name).count() >= count {
                return spans;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, look).await.unwrap_or_else(|_| panic!("{:?}", exporter.get_finished_spans()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_command_is_one_trace_from_its_caller_to_the_record_whichever_node_takes_it() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
        .expect("nobody else has set one");

    let server = tokio::task::spawn_blocking(|| NatsServer::start(ServerOptions::default())).await;
    let server = server.expect("no panic").expect("a nats-server");
    let start = |id: &str| Node::builder(id).namespace("traces").profile(Profile::Fast).actor::<Account>();
    let nats = || NatsConfig::new([server.url()]);
    let first = start("n1").nats(nats()).start().await.expect("it starts");
    let second = start("n2").nats(nats()).start().await.expect("it starts");
    timeout(LIMIT, async {
        while first.source().picture().is_none_or(|picture| {
            let owned = picture.topology.assignment().owned_by(picture.me.incarnation);
            owned == 0 || owned == picture.topology.assignment().iter().count()
        }) {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("both have shards");
    let client = Client::connect(&nats(), "traces").await.expect("it connects");

    exporter.reset();
    for id in 0..ACCOUNTS {
        client.actor::<Account>(id).ask(Open { operation: 1 }).await.expect("it is new");
    }
    let found = paths(&ended(&exporter, "ask", ACCOUNTS as usize).await);
    let count = |path: &[&str]| found.iter().filter(|found| *found == path).count() as u64;
    assert_eq!(count(&["ask"]), ACCOUNTS, "{found:?}");
    assert!(count(&["ask", "route"]) >= ACCOUNTS, "{found:?}");
    assert!(count(&["ask", "route", "execute"]) >= ACCOUNTS, "wherever it is run: {found:?}");
    assert!(count(&["ask", "route", "execute", "append"]) >= ACCOUNTS, "{found:?}");

    exporter.reset();
    let caller = tracing::info_span!("transfer");
    let both = async {
        for id in 0..ACCOUNTS {
            second.actor::<Account>(id).ask(Deposit { operation: 2, amount: 30 }).await.expect("it is open");
            assert_eq!(second.actor::<Account>(id).ask(Balance {}).await, Ok(30));
        }
    };
    both.instrument(caller).await;
    let found = paths(&ended(&exporter, "transfer", 1).await);
    let count = |path: &[&str]| found.iter().filter(|found| *found == path).count() as u64;
    assert_eq!(count(&["transfer", "ask"]), 2 * ACCOUNTS, "{found:?}");
    assert!(count(&["transfer", "ask", "execute"]) >= 2 * ACCOUNTS, "{found:?}");
    assert!(count(&["transfer", "ask", "execute", "append"]) >= ACCOUNTS, "{found:?}");

    first.kill().await;
    second.kill().await;
}
