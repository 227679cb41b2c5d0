//! A client of the gateway: for load generators, tools and programs in Rust that are no node.

use std::time::Duration;

use aether_domain::ports::{BoxError, GATEWAY_CODES, GatewayAnswer, ReadMode};
use aether_domain::{MessageId, Namespace, TraceParent};
use async_nats::Request;
use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::NatsConfig;
use crate::connect::open;
use crate::connection::Connection;
use crate::gateway::{AnswerV1, ErrorV1, ModeV1, RequestV1};
use crate::start_error::StartError;
use crate::traces;

/// How much longer than the command itself its answer may be under way.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// A connection to one cluster's gateway. Cheap to clone; asks may run side by side.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    connection: Connection,
}

/// One command as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayCommand<'a> {
    /// The actor's kind.
    pub kind: &'a str,
    /// The actor's id.
    pub id: &'a str,
    /// The command's stable name.
    pub command: &'a str,
    /// The command, as JSON.
    pub payload: &'a [u8],
    /// The client's own name for it: asked again under it, it counts once.
    pub message_id: Option<MessageId>,
    /// How fresh an answer that changes nothing must be.
    pub mode: ReadMode,
    /// How long to wait: 1 ms to 60 s.
    pub timeout: Duration,
    /// What traces it, if anything does: it is told to the cluster in the header `traceparent`.
    pub trace: Option<TraceParent>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The actor said no, in its own words; nothing was stored.
    #[error("refused: {0}")]
    Rejected(Value),
    /// The cluster could not run it.
    #[error("{code}: {reason}")]
    Failed {
        /// A stable word: `timeout`, `unavailable`, `busy`, `poisoned`, `invalid`, `quarantined`.
        code: String,
        /// What happened and what to do.
        reason: String,
        /// Whether the command may be in the history all the same: ask again with the same message id.
        maybe_applied: bool,
    },
    /// No node takes requests, or we are not connected; nothing was run.
    #[error("no node of the cluster takes requests now")]
    NoNode {
        /// What the client says.
        #[source]
        cause: BoxError,
    },
    /// No answer came in time; the command may be in the history: ask again with the same message id.
    #[error("no answer within {within:?}")]
    NoAnswer {
        /// How long we waited.
        within: Duration,
    },
    /// An answer that cannot be understood; the command may be in the history.
    #[error("the answer cannot be understood: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The request cannot be sent as it is; nothing was run.
    #[error("the request cannot be sent: {reason}")]
    Unsendable {
        /// What is wrong with it.
        reason: String,
    },
}

impl GatewayError {
    /// Whether the command may be in the history although no reply came.
    pub fn maybe_applied(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::NoNode { .. } | Self::Unsendable { .. } => false,
            Self::Failed { maybe_applied, .. } => *maybe_applied,
            Self::NoAnswer { .. } | Self::Malformed { .. } => true,
        }
    }
}

impl GatewayClient {
    /// Connects within `config.connect_within`; makes and checks nothing.
    ///
    /// # Errors
    /// [`StartError`] if no server takes us.
    pub async fn connect(config: &NatsConfig, namespace: &Namespace) -> Result<Self, StartError> {
        Ok(Self { connection: open(config, namespace).await? })
    }

    /// Sends one command and waits for its answer, for `timeout` and a little.
    ///
    /// With a `message_id`, asking again after any error counts once.
    ///
    /// # Errors
    /// [`GatewayError`], which says whether the command may have been applied.
    pub async fn ask_json(
        &self,
        kind: &str,
        id: &str,
        command: &str,
        payload: &Value,
        message_id: Option<MessageId>,
        timeout: Duration,
    ) -> Result<Value, GatewayError> {
        let payload = serde_json::to_vec(payload).map_err(unsendable)?;
        let mode = ReadMode::default();
        let command = GatewayCommand { kind, id, command, payload: &payload, message_id, mode, timeout, trace: None };
        let value = |raw: &[u8]| serde_json::from_slice::<Value>(raw).map_err(malformed);
        match self.ask(&command).await? {
            GatewayAnswer::Replied(reply) => value(&reply),
            GatewayAnswer::Rejected(refusal) => Err(GatewayError::Rejected(value(&refusal)?)),
            GatewayAnswer::Failed { code, reason, maybe_applied } => {
                Err(GatewayError::Failed { code: code.to_owned(), reason, maybe_applied })
            }
        }
    }

    /// As [`Self::ask_json`], in bytes, and with everything that the cluster may answer.
    ///
    /// # Errors
    /// [`GatewayError`] if there is no answer of the cluster's; never `Rejected` or `Failed`.
    pub async fn ask(&self, command: &GatewayCommand<'_>) -> Result<GatewayAnswer, GatewayError> {
        let (request, within) = (written(command)?, command.timeout + ANSWER_GRACE);
        self.connection.check().map_err(|error| GatewayError::NoNode { cause: error.into() })?;
        let mut request = Request::new().payload(request).timeout(Some(within));
        if let Some(trace) = command.trace {
            request = request.headers(traces::one(trace));
        }
        let asked = self.connection.client.send_request(self.connection.names.gateway_subject(), request);
        let answer = asked.await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => GatewayError::NoNode { cause: error.into() },
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                GatewayError::Unsendable { reason: error.to_string() }
            }
            RequestErrorKind::TimedOut | RequestErrorKind::Other => GatewayError::NoAnswer { within },
        })?;
        understand(&answer.payload)
    }

    /// Sends one command at most once and waits for nothing: what becomes of it nobody says.
    ///
    /// # Errors
    /// [`GatewayError::NoNode`] while not connected, and [`GatewayError::Unsendable`]: it was not sent.
    pub async fn tell(&self, command: &GatewayCommand<'_>) -> Result<(), GatewayError> {
        let request = written(command)?;
        self.connection.check().map_err(|error| GatewayError::NoNode { cause: error.into() })?;
        let (client, subject) = (&self.connection.client, self.connection.names.gateway_subject());
        if request.len() > client.max_payload() {
            let (bytes, bytes_max) = (request.len(), client.max_payload());
            let reason = format!("{bytes} bytes exceed the bound of {bytes_max}");
            return Err(GatewayError::Unsendable { reason });
        }
        // The gateway answers everybody; nobody listens there.
        let sent = client.publish_with_reply(subject, client.new_inbox(), request).await;
        sent.map_err(|error| GatewayError::NoNode { cause: error.into() })
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

/// A command as the gateway reads it.
pub(crate) fn written(command: &GatewayCommand<'_>) -> Result<Bytes, GatewayError> {
    let GatewayCommand { kind, id, command, payload, message_id, mode, timeout, trace: _ } = *command;
    let request = RequestV1 {
        kind: kind.into(),
        id: id.into(),
        command: command.into(),
        payload: Some(serde_json::from_slice(payload).map_err(unsendable)?),
        message_id: message_id.map(|MessageId(id)| format!("{id:032x}")),
        mode: Some(match mode {
            ReadMode::Strict => ModeV1::Strict,
            ReadMode::Leased => ModeV1::Leased,
            ReadMode::Log => ModeV1::Log,
        }),
        timeout_ms: Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    Ok(serde_json::to_vec(&request).map_err(unsendable)?.into())
}

fn unsendable(error: serde_json::Error) -> GatewayError {
    GatewayError::Unsendable { reason: error.to_string() }
}

fn malformed(error: serde_json::Error) -> GatewayError {
    GatewayError::Malformed { reason: error.to_string() }
}

/// What an answer says.
pub(crate) fn understand(answer: &[u8]) -> Result<GatewayAnswer, GatewayError> {
    let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    match serde_json::from_slice(answer).map_err(malformed)? {
        AnswerV1::Reply(reply) => Ok(GatewayAnswer::Replied(bytes(reply))),
        AnswerV1::Rejected(refusal) => Ok(GatewayAnswer::Rejected(bytes(refusal))),
        AnswerV1::Error(ErrorV1 { code, reason, maybe_applied }) => {
            let known = GATEWAY_CODES.into_iter().find(|known| *known == code);
            let code =
                known.ok_or_else(|| GatewayError::Malformed { reason: format!("unknown code {code:?}: {reason}") })?;
            Ok(GatewayAnswer::Failed { code, reason, maybe_applied })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_or_said_not_to_be() {
        let understood = |answer: &str| understand(answer.as_bytes());
        let reply = GatewayAnswer::Replied(Bytes::from_static(b"{\"balance\":90}"));
        assert_eq!(understood(r#"{"reply":{"balance":90}}"#).expect("a reply"), reply);
        let refused = GatewayAnswer::Rejected(Bytes::from_static(b"\"no funds\""));
        assert_eq!(understood(r#"{"rejected":"no funds"}"#).expect("a refusal"), refused);
        let failed = GatewayAnswer::Failed { code: "timeout", reason: "r".to_owned(), maybe_applied: true };
        let said = r#"{"error":{"code":"timeout","reason":"r","maybe_applied":true}}"#;
        assert_eq!(understood(said).expect("a failure"), failed);
        for bad in
            ["", "{}", "null", r#"{"replied":1}"#, r#"{"error":{"code":"new","reason":"r","maybe_applied":false}}"#]
        {
            let error = understood(bad).expect_err("malformed");
            assert!(matches!(error, GatewayError::Malformed { .. }) && error.maybe_applied(), "{bad}");
        }
    }
}
