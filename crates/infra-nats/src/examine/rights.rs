//! What a role may not do, found out by trying it in ways that leave nothing behind.
//!
//! The server says nothing to whoever may publish, and complains to whoever may not. So each subject that a role publishes to is
//! published to with the header `Nats-Expected-Stream` of a stream that there is not, which every stream refuses to store, and
//! each request of JetStream with a body that is none, which it refuses to obey. Where somebody reads along (the gateway and the
//! nodes' claims) nothing is sent; and nobody joins the gateway's queue, which would take requests away from nodes.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::RightsSeen;
use crate::connection::Observer;
use crate::names::Names;
use crate::permissions::{API, Permissions, Role};

/// A stream that there is not: a name that no stream can have.
const NO_STREAM: &str = ".";

/// No JSON, so no request, and no record.
const NOTHING: &[u8] = b"?";

/// A request of JetStream that it refuses to obey without a line in its log, where there is one.
fn refused(subject: &str) -> &'static [u8] {
    match subject.strip_prefix(API) {
        // These name the stream a second time, and it must be the same.
        Some(request) if request.starts_with(".CONSUMER.CREATE.") => b"{\"stream_name\":\".\"}",
        Some(request) if request.starts_with(".STREAM.CREATE.") => b"{\"name\":\".\"}",
        Some(request) if request.contains(".GET.") => b"{}",
        Some(request) if request.contains("INFO") => b"",
        _ => NOTHING,
    }
}

/// How long the server's complaints may take where we may not hear ourselves.
const COMPLAINTS_WITHIN: Duration = Duration::from_millis(500);

/// How long no further complaint comes if all are there: the client library hands them on when it gets to it.
const QUIET: Duration = Duration::from_millis(200);

/// How long to wait for that at most.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// What was denied.
pub(super) struct Tried {
    /// Of what the role needs.
    pub(super) seen: RightsSeen,
    /// Of everything, also of what is only looked at here.
    pub(super) all_denied: Vec<String>,
    /// The subjects of answers, if we may not hear any.
    pub(super) deaf: Option<String>,
}

/// Tries what `role` needs, and what looking takes.
pub(super) async fn tried(client: &Client, observer: &Observer, names: &Names, role: Role, inbox: &str) -> Tried {
    let namespace = names.namespace();
    let needed = Permissions::of(namespace, role, Some(inbox));
    let looked = Permissions::of(namespace, Role::Operator, Some(inbox)).publish.into_iter();
    let looked: Vec<_> = looked.filter(|subject| is_look(subject)).collect();
    let unheard = |subject: &String| ![names.claims_subject(), names.gateway_subject()].contains(subject);
    let publish: Vec<_> = needed.publish.iter().filter(|subject| unheard(subject)).cloned().collect();
    let subscribe = needed.subscribe.iter().filter(|subject| !subject.contains(' ')).cloned().collect::<Vec<_>>();

    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_EXPECTED_STREAM, NO_STREAM);
    for subject in publish.iter().chain(&looked) {
        // A connection that was lost says so to whoever asks next.
        drop(client.publish_with_headers(concrete(subject), headers.clone(), refused(subject).into()).await);
    }
    let mut heard = Vec::new();
    for subject in &subscribe {
        heard.extend(client.subscribe(concrete(subject)).await.ok());
    }
    settle(client).await;
    quiet(|| observer.complaints()).await;
    drop(heard);

    let complaints = observer.complaints();
    let denied = |what: &str, subject: &String| {
        let quoted = format!("{what} to \"{}\"", concrete(subject)).to_ascii_lowercase();
        complaints.iter().any(|said| said.to_ascii_lowercase().contains(&quoted))
    };
    let of = |what: &str, subjects: &[String]| -> Vec<_> {
        subjects.iter().filter(|subject| denied(what, subject)).cloned().collect()
    };
    let seen = RightsSeen {
        tried: publish.len() + subscribe.len(),
        publish: of("publish", &publish),
        subscribe: of("subscription", &subscribe),
    };
    let all_denied = of("publish", &looked).into_iter().chain(seen.publish.clone()).collect();
    let deaf = seen.subscribe.iter().find(|subject| subject.starts_with(inbox)).cloned();
    Tried { seen, all_denied, deaf }
}

/// Whether that is a request that only looks.
fn is_look(subject: &str) -> bool {
    subject == format!("{API}.INFO") || subject.contains(".STREAM.INFO.") || subject.contains(".STREAM.MSG.GET.")
}

/// A subject that those with wildcards stand for and that means nothing to anybody.
fn concrete(subject: &str) -> String {
    let word = |token| if matches!(token, "*" | ">") { "doctor" } else { token };
    subject.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// Waits until the server has worked off what was sent, or has had time to.
async fn settle(client: &Client) {
    let round_trip = async {
        let inbox = client.new_inbox();
        let mut echo = client.subscribe(inbox.clone()).await.ok()?;
        client.publish(inbox, bytes::Bytes::new()).await.ok()?;
        client.flush().await.ok()?;
        echo.next().await
    };
    drop(timeout(COMPLAINTS_WITHIN, round_trip).await);
}

/// Waits until there are no more complaints for a while, or for long enough.
async fn quiet(complaints: impl Fn() -> Vec<String>) {
    let settled = async {
        let mut known = complaints();
        loop {
            sleep(QUIET).await;
            let now = complaints();
            if now == known {
                return;
            }
            known = now;
        }
    };
    drop(timeout(TOLD_WITHIN, settled).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_what_is_tried_is_anybodys() {
        let names = Names::new(aether_domain::Namespace::new("t").expect("a namespace"));
        for (subject, tried) in [
            ("aether.t.ev.>", "aether.t.ev.doctor"),
            ("$KV.aether_t_ctl.node.*", "$KV.aether_t_ctl.node.doctor"),
            ("aether.t.top", "aether.t.top"),
        ] {
            assert_eq!(concrete(subject), tried);
        }
        // What would be stored if it were not refused is no actor's, and no life of a node listens there.
        assert_eq!(names.actor_of(&concrete(&names.event_subjects())), None);
        assert!(concrete(&names.node_subjects()).split('.').count() < 5, "a node and its life are two tokens");
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_are_waited_for_until_no_more_come_and_not_for_ever() {
        for (grown, asked) in [(1, 2..=2), (3, 4..=4), (usize::MAX, 10..=11)] {
            let asks = std::cell::Cell::new(0);
            quiet(|| {
                asks.set(asks.get() + 1);
                vec!["a complaint".to_owned(); asks.get().min(grown)]
            })
            .await;
            assert!(asked.contains(&asks.get()), "up to {grown} complaints: {} looks", asks.get());
        }
    }

    #[test]
    fn looking_takes_no_request_that_makes_something() {
        let names = aether_domain::Namespace::new("t").expect("a namespace");
        let publish = Permissions::of(&names, Role::Operator, None).publish;
        let looked: Vec<_> = publish.iter().filter(|subject| is_look(subject)).collect();
        assert_eq!(looked.len(), 1 + 2 * 7, "{looked:?}");
        assert!(looked.iter().all(|subject| !subject.contains("CREATE") && !subject.contains("DELETE")));
    }
}
