//! The admin pages under clients that mean no good: as many slow ones as there are places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aether::admin::{Bound, CONNECTIONS_MAX, HEAD_PATIENCE, Pages};
use aether::config::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::sample::{Still, picture};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Serves a node's pages until the token is cancelled.
async fn served() -> (SocketAddr, CancellationToken) {
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = bound.url().trim_start_matches("http://").parse().expect("an address");
    let stop = CancellationToken::new();
    let pages = Pages::of_operated_node(Arc::new(Still(Some(picture()))), Some(Secret::new(TOKEN)));
    tokio::spawn(bound.serve(pages, stop.clone()));
    (address, stop)
}

/// Says that and hears what comes back until the end; nothing if it cannot.
async fn say(address: SocketAddr, said: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    // Whoever is hung up on while it speaks hears the answer all the same.
    let _ = stream.write_all(said).await;
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    Some(String::from_utf8_lossy(&heard).into_owned())
}

async fn is_alive(address: SocketAddr) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = timeout(PATIENCE, say(address, request)).await;
    answer.is_ok_and(|answer| answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")))
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_end_their_request_are_hung_up_on_and_others_get_their_turn() {
    let (address, stop) = served().await;
    let mut slow = JoinSet::new();
    for _ in 0..CONNECTIONS_MAX {
        slow.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(b"GET /v1/cluster HTTP/1.1\r\nhost: a\r\n").await.expect("taken");
            // A byte now and then, so that something always comes.
            let mut sent = 0;
            while stream.write_all(b"x").await.is_ok() {
                sent += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            sent
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Every place is taken; this one waits until one is free, and not for longer than heads are waited for.
    let alive = timeout(HEAD_PATIENCE + Duration::from_secs(10), is_alive(address)).await;
    assert_eq!(alive, Ok(true));
    while let Some(sent) = timeout(PATIENCE, slow.join_next()).await.expect("all of them are hung up on") {
        assert!(sent.expect("no panic") > 1);
    }
    stop.cancel();
}
