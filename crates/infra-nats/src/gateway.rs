//! Commands from clients that are no node, as JSON over a queue subscription: any NATS client in any language can ask.
//!
//! Request: `{"kind","id","command","payload"?,"message_id"?,"mode"?,"timeout_ms"?}`. Answer: `{"reply":…}`,
//! `{"rejected":…}` or `{"error":{"code","reason","maybe_applied"}}`. A request that cannot be understood is answered
//! with the code `invalid` and never passed on.

use std::borrow::Cow;
use std::time::Duration;

use aether_domain::MessageId;
use aether_domain::ports::{BoxError, Gateway, GatewayAnswer, GatewayRequest, ReadMode, SendError, Updates};
use async_nats::{Message, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt, StreamExt, future, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::connection::Connection;
use crate::names::GATEWAY_GROUP;
use crate::traces;

/// How long a client waits that does not say.
pub const GATEWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest a client may say.
pub const GATEWAY_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The most bytes of a request: a command with its largest payload and its names.
const REQUEST_BYTES_MAX: usize = aether_domain::ports::AskFrame::PAYLOAD_BYTES_MAX + 16 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestV1<'a> {
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) command: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<ModeV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeV1 {
    Strict,
    Leased,
    Log,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnswerV1<'a> {
    #[serde(borrow)]
    Reply(&'a RawValue),
    #[serde(borrow)]
    Rejected(&'a RawValue),
    Error(ErrorV1),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorV1 {
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) maybe_applied: bool,
}

/// [`Gateway`] on a queue subscription.
#[derive(Clone, Debug)]
pub(crate) struct NatsGateway {
    connection: Connection,
}

impl NatsGateway {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

/// A request as the client meant it, without the means to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Understood {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) command: String,
    pub(crate) payload: Bytes,
    pub(crate) message: Option<MessageId>,
    pub(crate) mode: ReadMode,
    pub(crate) timeout: Duration,
}

/// What a client asks, or why that is not to be understood.
pub(crate) fn understand(request: &[u8]) -> Result<Understood, String> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(format!("a request of {} bytes exceeds the bound of {REQUEST_BYTES_MAX}", request.len()));
    }
    let request: RequestV1<'_> = serde_json::from_slice(request).map_err(|error| format!("not a request: {error}"))?;
    let message = request.message_id.map(|text| {
        let hex = text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
        let id = if hex { u128::from_str_radix(&text, 16).ok() } else { None };
        id.map(MessageId).ok_or("message_id is not 32 hex digits")
    });
    let timeout = request.timeout_ms.map_or(GATEWAY_TIMEOUT, Duration::from_millis);
    if timeout.is_zero() || timeout > GATEWAY_TIMEOUT_MAX {
        return Err(format!("timeout_ms is not within 1 and {}", GATEWAY_TIMEOUT_MAX.as_millis()));
    }
    Ok(Understood {
        kind: request.kind.into_owned(),
        id: request.id.into_owned(),
        command: request.command.into_owned(),
        payload: Bytes::copy_from_slice(request.payload.map_or("null", RawValue::get).as_bytes()),
        message: message.transpose()?,
        mode: match request.mode {
            None | Some(ModeV1::Strict) => ReadMode::Strict,
            Some(ModeV1::Leased) => ReadMode::Leased,
            Some(ModeV1::Log) => ReadMode::Log,
        },
        timeout,
    })
}

fn failed(code: &str, reason: String, maybe_applied: bool) -> Bytes {
    let answer = AnswerV1::Error(ErrorV1 { code: code.to_owned(), reason, maybe_applied });
    serde_json::to_vec(&answer).unwrap_or_default().into()
}

/// The answer as bytes. A reply that is no JSON or too large for a message is said to be so.
pub(crate) fn written(answer: GatewayAnswer, bytes_max: usize) -> Bytes {
    let embedded = |payload: &[u8], wrap: fn(&RawValue) -> AnswerV1<'_>| {
        let bytes = serde_json::from_slice::<&RawValue>(payload).and_then(|raw| serde_json::to_vec(&wrap(raw)));
        match bytes {
            Ok(bytes) if bytes.len() <= bytes_max => bytes.into(),
            Ok(bytes) => {
                let reason = format!("the answer of {} bytes exceeds a message's {bytes_max}", bytes.len());
                failed("invalid", reason, true)
            }
            Err(_) => failed("invalid", "the actor's answer is not JSON; it speaks another codec".to_owned(), true),
        }
    };
    match answer {
        GatewayAnswer::Replied(reply) => embedded(&reply, |raw| AnswerV1::Reply(raw)),
        GatewayAnswer::Rejected(refusal) => embedded(&refusal, |raw| AnswerV1::Rejected(raw)),
        GatewayAnswer::Failed { code, reason, maybe_applied } => failed(code, reason, maybe_applied),
    }
}

/// Whether answers may go there. The subject is the client's choice and the server does not ask whether the client might publish
/// to it: an answer to `aether.<ns>.top` would be a node's own writing in the log. Inboxes are stored nowhere; `_R_` is what the
/// server makes of an inbox of another account.
fn is_inbox(reply_to: &str) -> bool {
    ["_INBOX.", "_INBOX_", "_R_."].iter().any(|prefix| reply_to.starts_with(prefix))
}

/// Sends an answer when there is one. A client that is gone, or a lost connection, leaves it to its time-out.
async fn answer(connection: Connection, to: async_nats::Subject, bytes: Bytes) {
    let sent = match connection.check() {
        Ok(()) => connection.bounded(connection.client.publish(to, bytes)).await.is_ok_and(|sent| sent.is_ok()),
        Err(_) => false,
    };
    if !sent {
        tracing::debug!("a client's answer could not be sent");
    }
}

async fn accept(connection: &Connection, message: Message) -> Option<GatewayRequest> {
    let trace = traces::of(message.headers.as_ref());
    let Some(reply_to) = message.reply else {
        tracing::debug!("a gateway request without a reply subject was dropped");
        return None;
    };
    if !is_inbox(&reply_to) {
        tracing::warn!(subject = %reply_to, "a gateway request that wants its answer elsewhere than in an inbox was dropped");
        return None;
    }
    let understood = match understand(&message.payload) {
        Ok(understood) => understood,
        Err(reason) => {
            answer(connection.clone(), reply_to, failed("invalid", reason, false)).await;
            return None;
        }
    };
    let Understood { kind, id, command, payload, message, mode, timeout } = understood;
    let connection = connection.clone();
    let respond = Box::new(move |given: GatewayAnswer| {
        let bytes = written(given, connection.client.max_payload());
        answer(connection, reply_to, bytes).boxed()
    });
    Some(GatewayRequest { kind, id, command, payload, message, mode, timeout, trace, respond })
}

#[async_trait]
impl Gateway for NatsGateway {
    async fn listen(&self, until: BoxFuture<'static, ()>) -> Result<Updates<GatewayRequest>, SendError> {
        let unavailable = |cause: BoxError| SendError::Unavailable { cause };
        let connection = self.connection.clone();
        connection.check().map_err(|error| unavailable(error.into()))?;
        let subject = connection.names.gateway_subject();
        let subscribed = connection.bounded(connection.client.queue_subscribe(subject, GATEWAY_GROUP.to_owned())).await;
        let requests = subscribed.map_err(|error| unavailable(error.into()))?;
        let requests = requests.map_err(|error| unavailable(error.into()))?;
        connection.round_trip().await.map_err(unavailable)?;
        let listening = Listening { requests, connection, until: Some(until) };
        Ok(Box::pin(stream::unfold(listening, |mut listening| async {
            loop {
                let message = listening.next().await?;
                if let Some(request) = accept(&listening.connection, message).await {
                    return Some((request, listening));
                }
            }
        })))
    }
}

/// A subscription that ends without losing what is on its way.
struct Listening {
    requests: Subscriber,
    connection: Connection,
    /// Until when requests are taken; nothing once none is any more.
    until: Option<BoxFuture<'static, ()>>,
}

impl Listening {
    async fn next(&mut self) -> Option<Message> {
        if let Some(until) = &mut self.until {
            if let Either::Right((message, _)) = future::select(until, self.requests.next()).await {
                return message;
            }
            self.until = None;
            self.leave().await;
        }
        self.requests.next().now_or_never()?
    }

    /// Leaves the queue. When this returns, all that the server has given us is in our hands.
    ///
    /// The client's own ways to end a subscription forget it before the server has: what the server sends until then is
    /// dropped. With a last message that never comes it is kept here, and the server takes a number of so many digits for
    /// none and ends it at once. (A server that waited for that message would go on until the subscription is dropped.)
    async fn leave(&mut self) {
        let left = self.requests.unsubscribe_after(u64::MAX).await.is_ok();
        if !left || self.connection.round_trip().await.is_err() {
            tracing::warn!("clients' requests that were on their way to this node may stay unanswered: no connection");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).expect("JSON is text")
    }

    #[test]
    fn a_request_says_what_is_wanted_and_the_rest_has_defaults() {
        let full = br#"{"kind":"account","id":"al ice","command":"Deposit","payload":{"amount": 1.50},
            "message_id":"0123456789abcdef0123456789ABCDEF","mode":"log","timeout_ms":1500}"#;
        let understood = understand(full).expect("a request");
        assert_eq!(text(&understood.payload), r#"{"amount": 1.50}"#, "numbers stay as the client wrote them");
        assert_eq!(understood.message, Some(MessageId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)));
        assert_eq!((understood.mode, understood.timeout), (ReadMode::Log, Duration::from_millis(1500)));
        let least = understand(br#"{"kind":"account","id":"\u0061","command":"Open"}"#).expect("a request");
        assert_eq!((least.id.as_str(), text(&least.payload)), ("a", "null"));
        assert_eq!((least.message, least.mode, least.timeout), (None, ReadMode::Strict, GATEWAY_TIMEOUT));
    }

    #[test]
    fn answers_go_into_inboxes_alone() {
        for good in ["_INBOX.abc.1", "_INBOX_bank.abc", "_INBOX_CLIENT_bank.alice.abc.1", "_R_.abc"] {
            assert!(is_inbox(good), "{good}");
        }
        for bad in
            ["", "aether.bank.top", "$KV.aether_bank_ctl.lease", "$JS.API.STREAM.PURGE.x", "_INBOX", "x._INBOX.a"]
        {
            assert!(!is_inbox(bad), "{bad}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_understood_is_refused_with_the_reason() {
        for (request, reason) in [
            ("", "not a request"),
            ("[]", "not a request"),
            (r#"{"kind":"a","id":"b"}"#, "command"),
            (r#"{"kind":"a","id":"b","command":"c","extra":1}"#, "extra"),
            (r#"{"kind":"a","id":"b","command":"c","mode":"fast"}"#, "fast"),
            (r#"{"kind":"a","id":"b","command":"c","message_id":"12"}"#, "message_id"),
            (r#"{"kind":"a","id":"b","command":"c","message_id":"+123456789abcdef0123456789abcdef"}"#, "message_id"),
            (r#"{"kind":"a","id":"b","command":"c","timeout_ms":0}"#, "timeout_ms"),
            (r#"{"kind":"a","id":"b","command":"c","timeout_ms":60001}"#, "timeout_ms"),
        ] {
            let refused = understand(request.as_bytes()).expect_err("refused");
            assert!(refused.contains(reason), "{request}: {refused}");
        }
        assert!(understand(&vec![b' '; REQUEST_BYTES_MAX + 1]).expect_err("refused").contains("exceeds"));
    }

    #[test]
    fn an_answer_is_one_of_three() {
        let said = |answer| text(&written(answer, 110)).to_owned();
        assert_eq!(said(GatewayAnswer::Replied(Bytes::from_static(b"{\"b\": 1}"))), r#"{"reply":{"b": 1}}"#);
        assert_eq!(said(GatewayAnswer::Rejected(Bytes::from_static(b"\"no\""))), r#"{"rejected":"no"}"#);
        let busy = GatewayAnswer::Failed { code: "busy", reason: "later".to_owned(), maybe_applied: false };
        assert_eq!(said(busy), r#"{"error":{"code":"busy","reason":"later","maybe_applied":false}}"#);
        for unfit in ["\u{1}", &format!("\"{}\"", "x".repeat(110))] {
            let said = said(GatewayAnswer::Replied(Bytes::copy_from_slice(unfit.as_bytes())));
            assert!(said.contains("\"code\":\"invalid\"") && said.contains("\"maybe_applied\":true"), "{said}");
        }
    }
}
