//! What can be asked of a cluster over HTTP: nothing, unless its configuration names a token.
//!
//! Each request is written down where the leader and the nodes see it ([`crate::operator`]); the answer says whether the log
//! has taken it up yet. Whoever asks again asks the same thing.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::orders::{Asked, Wish};
use aether_domain::ports::ControlStore;
use aether_domain::{NodeId, NodeRef, Nonce, Term};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::json;

use super::pages::{Refused, picture};
use super::picture::{Picture, Source};
use crate::config::Secret;
use crate::operator::{self, OrderRefused};

/// How long an answer waits for the log to take an order up.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(3);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The operators' token, if there is one.
#[derive(Clone)]
pub(super) struct Token(Option<Arc<Secret>>);

impl Token {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self(token.map(Arc::new))
    }

    /// Whether there is one and a request comes with it.
    pub(super) fn is_told(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(AUTHORIZATION).and_then(|told| told.to_str().ok()?.strip_prefix("Bearer "));
        self.0.as_ref().zip(told).is_some_and(|(token, told)| is_same(told, token.reveal()))
    }
}

#[derive(Clone)]
struct Writes {
    source: Arc<dyn Source>,
    token: Token,
}

/// The routes that ask something of the cluster; without a token there is nothing there.
pub(super) fn router(source: Arc<dyn Source>, token: Token) -> Router {
    Router::new()
        .route("/v1/nodes/{id}/drain", post(drain))
        .route("/v1/rebalance", post(rebalance))
        .route("/v1/leader/step-down", post(step_down))
        .with_state(Writes { source, token })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    wish: String,
    by: String,
    why: String,
}

impl Body {
    fn read(bytes: &Bytes) -> Result<Self, Refused> {
        let spoilt = |error: serde_json::Error| {
            Refused::new(
                StatusCode::BAD_REQUEST,
                error.to_string(),
                "send a JSON object with `by` and `why`, or nothing",
            )
        };
        if bytes.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(bytes).map_err(spoilt) }
    }

    fn asked(&self) -> Asked {
        Asked::new(if self.by.is_empty() { "somebody over HTTP" } else { &self.by }, &self.why)
    }
}

/// Whether two texts are the same, found out in a time that says nothing of where they differ.
fn is_same(told: &str, known: &str) -> bool {
    let differ = told.bytes().zip(known.bytes()).fold(0, |differ, (told, known)| differ | (told ^ known));
    std::hint::black_box(differ) == 0 && told.len() == known.len()
}

impl Writes {
    /// Whoever may ask, with where to write it and what is known.
    fn admit(&self, headers: &HeaderMap) -> Result<(Arc<dyn ControlStore>, Picture), Refused> {
        if self.token.0.is_none() {
            let cure = "name a file with a token in admin.token_file, or ask with the `aether` program";
            return Err(Refused::new(StatusCode::NOT_FOUND, "nothing can be asked here", cure));
        }
        if !self.token.is_told(headers) {
            let cure = "send the token of admin.token_file as `Authorization: Bearer …`";
            return Err(Refused::new(StatusCode::UNAUTHORIZED, "the token is missing, or another one", cure));
        }
        let picture = picture(&self.source)?;
        let starting =
            || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the node is starting", "ask again in a moment");
        Ok((self.source.control().ok_or_else(starting)?, picture))
    }

    /// Waits until what this node has read of the log says it.
    async fn until(&self, said: impl Fn(&Picture) -> bool) -> bool {
        let said = || self.source.picture().is_some_and(|picture| said(&picture));
        let look = async {
            while !said() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(TAKEN_UP_WITHIN, look).await.is_ok()
    }

    fn epoch(&self) -> u64 {
        self.source.picture().map_or(0, |picture| picture.topology.epoch().0)
    }
}

impl From<OrderRefused> for Refused {
    fn from(refused: OrderRefused) -> Self {
        let (status, cure) = match refused {
            OrderRefused::Unreachable(_) | OrderRefused::Undecided => {
                (StatusCode::SERVICE_UNAVAILABLE, "ask again: it is harmless if it was written")
            }
            OrderRefused::NoSuchNode { .. } => (StatusCode::NOT_FOUND, "see /v1/nodes"),
            OrderRefused::Over { .. } | OrderRefused::TooManyDrains(_) | OrderRefused::NobodyLeads => {
                (StatusCode::CONFLICT, "see /v1/cluster")
            }
        };
        Self::new(status, refused.to_string(), cure)
    }
}

/// 200 once the log says it, 202 if it is written and the log does not say so yet.
fn answer(taken_up: bool, body: impl serde::Serialize) -> Response {
    (if taken_up { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(body)).into_response()
}

async fn rebalance(State(writes): State<Writes>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let (control, _) = writes.admit(&headers)?;
    let body = Body::read(&body)?;
    let wish = Wish::NAMES.iter().find(|(_, name)| *name == body.wish).map(|(wish, _)| *wish);
    let wish = wish.ok_or_else(|| {
        let error = format!("there is no wish {:?}", body.wish);
        Refused::new(StatusCode::BAD_REQUEST, error, "send `wish` as `pause`, `cancel` or `resume`")
    })?;
    let id: Nonce = operator::rebalance(&*control, wish, &body.asked()).await?;
    let said = |picture: &Picture| picture.topology.cluster().order().is_some_and(|(order, _)| order.id == id);
    let taken_up = writes.until(said).await;
    Ok(answer(taken_up, json!({ "epoch": writes.epoch(), "wish": wish.name(), "taken_up": taken_up })))
}

async fn drain(
    State(writes): State<Writes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let (control, picture) = writes.admit(&headers)?;
    let body = Body::read(&body)?;
    let member = NodeId::new(&id).ok().and_then(|id| picture.topology.cluster().member(&id).cloned());
    let none = || Refused::new(StatusCode::NOT_FOUND, "the log has not heard of that node", "see /v1/nodes");
    let member = member.ok_or_else(none)?;
    if !member.status.owns() {
        let error = format!("{} is {}", member.node, member.status.name());
        return Err(Refused::new(StatusCode::CONFLICT, error, "see /v1/nodes"));
    }
    let life: NodeRef = operator::drain(&*control, &member.node.node, &body.asked()).await?;
    let said = |picture: &Picture| !picture.topology.cluster().is_active(&life);
    let taken_up = writes.until(said).await;
    let incarnation = life.incarnation.to_string();
    let body = json!({ "epoch": writes.epoch(), "node": id, "incarnation": incarnation, "taken_up": taken_up });
    Ok(answer(taken_up, body))
}

async fn step_down(State(writes): State<Writes>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let (control, picture) = writes.admit(&headers)?;
    let body = Body::read(&body)?;
    if picture.topology.cluster().active().count() < 2 {
        return Err(Refused::new(StatusCode::CONFLICT, "no other node could lead", "start one, and ask again"));
    }
    let term: Term = operator::step_down(&*control, &body.asked()).await?;
    let taken_up = writes.until(|picture| picture.topology.leadership().term() > term).await;
    let leader = writes.source.picture().and_then(|picture| picture.topology.leadership().leader().cloned());
    let leader = leader.map(|leader| leader.node.to_string());
    Ok(answer(taken_up, json!({ "epoch": writes.epoch(), "term": term.0, "taken_up": taken_up, "leader": leader })))
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = "0123456789abcdef0123456789abcdef";
        assert!(is_same(token, token));
        for other in ["", "0", &token[1..], &token[..31], "0123456789abcdef0123456789abcdeg", &format!("{token}0")] {
            assert!(!is_same(other, token), "{other:?}");
        }
    }
}
