//! A client of the gateway: for load generators, tools and programs in Rust that are no node.

use std::time::Duration;

use aether_domain::ports::BoxError;
use aether_domain::{MessageId, Namespace};
use async_nats::Request;
use async_nats::client::RequestErrorKind;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::NatsConfig;
use crate::connect::open;
use crate::connection::Connection;
use crate::gateway::{AnswerV1, ErrorV1, ModeV1, RequestV1};
use crate::start_error::StartError;

/// How much longer than the command itself its answer may be under way.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// A connection to one cluster's gateway. Cheap to clone; asks may run side by side.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    connection: Connection,
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
        let unsendable = |error: serde_json::Error| GatewayError::Unsendable { reason: error.to_string() };
        let payload = serde_json::value::to_raw_value(payload).map_err(unsendable)?;
        let request = RequestV1 {
            kind: kind.into(),
            id: id.into(),
            command: command.into(),
            payload: Some(&payload),
            message_id: message_id.map(|MessageId(id)| format!("{id:032x}")),
            mode: None::<ModeV1>,
            timeout_ms: Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        };
        let request = serde_json::to_vec(&request).map_err(unsendable)?;
        let within = timeout + ANSWER_GRACE;
        self.connection.check().map_err(|error| GatewayError::NoNode { cause: error.into() })?;
        let request = Request::new().payload(request.into()).timeout(Some(within));
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

    /// Ends the connection.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

fn understand(answer: &[u8]) -> Result<Value, GatewayError> {
    let malformed = |error: serde_json::Error| GatewayError::Malformed { reason: error.to_string() };
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).map_err(malformed);
    match serde_json::from_slice(answer).map_err(malformed)? {
        AnswerV1::Reply(reply) => value(reply),
        AnswerV1::Rejected(refusal) => Err(GatewayError::Rejected(value(refusal)?)),
        AnswerV1::Error(ErrorV1 { code, reason, maybe_applied }) => {
            Err(GatewayError::Failed { code, reason, maybe_applied })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_or_said_not_to_be() {
        assert_eq!(understand(br#"{"reply":{"balance":90}}"#).expect("a reply"), serde_json::json!({"balance": 90}));
        let refused = understand(br#"{"rejected":"no funds"}"#).expect_err("a refusal");
        assert!(matches!(&refused, GatewayError::Rejected(Value::String(why)) if why == "no funds"));
        assert!(!refused.maybe_applied());
        let failed = understand(br#"{"error":{"code":"timeout","reason":"r","maybe_applied":true}}"#);
        assert!(failed.expect_err("an error").maybe_applied());
        for bad in ["", "{}", "null", r#"{"replied":1}"#] {
            let error = understand(bad.as_bytes()).expect_err("malformed");
            assert!(matches!(error, GatewayError::Malformed { .. }) && error.maybe_applied(), "{bad}");
        }
    }
}
