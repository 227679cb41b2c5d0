//! Commands from clients that are no node: JSON in, JSON out, and stable words for whatever else happens.
//!
//! Any node may be given any request; it routes it like one of its own, so a client needs to know nobody. What a client
//! may ask is a matter of the actors' commands and of the transport's permissions, not of this module.

mod awake;

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::{Answer, Gateway, GatewayAnswer, GatewayRequest, Updates};
use aether_domain::records::PayloadCodec;
use aether_domain::{ActorId, ActorKey, ActorKind, InvalidId};
use aether_placement::ShardHash;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::awake::{Awake, LOOK_EVERY};
use crate::clock::Clock;
use crate::message::{Outcome, Payload};
use crate::router::{Outgoing, Router, Written};
use crate::traces::Step;
use crate::view::ServeLease;

/// Requests of clients that one node works on at once; one more is answered `busy`.
pub const GATEWAY_REQUESTS_MAX: usize = 1024;
/// The longest a client's time-out is believed.
pub const GATEWAY_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// How long after failing to listen it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// By what a node knows that it may take a client's request: its clock, and the serve lease of its present life.
#[derive(Clone)]
pub struct Standing {
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// Until when it serves.
    pub lease: Arc<ServeLease>,
    /// Told once clients' requests can reach this node.
    pub listening: watch::Sender<bool>,
}

/// Serves clients from when the node serves for the first time until `shutdown`; requests that are on their way to this
/// node by then, or under way, are answered first, as their own time-outs allow. A request that may have waited while this
/// process did not run, or that comes while the node does not serve, is refused.
pub async fn serve(
    gateway: Arc<dyn Gateway>,
    router: Router,
    hash: ShardHash,
    standing: Standing,
    shutdown: CancellationToken,
) {
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(GATEWAY_REQUESTS_MAX)));
    if let Some(requests) = listen(&*gateway, &standing, &shutdown).await {
        standing.listening.send_replace(true);
        take_requests(requests, &router, &hash, &standing, &tasks, &places).await;
    }
    tasks.close();
    tasks.wait().await;
}

/// Begins to take requests as soon as the node serves; nothing if that never comes before `shutdown`.
async fn listen(
    gateway: &dyn Gateway,
    standing: &Standing,
    shutdown: &CancellationToken,
) -> Option<Updates<GatewayRequest>> {
    while !shutdown.is_cancelled() {
        // Whoever is not taken in yet would be given requests only to refuse them.
        let pause = if standing.lease.holds(standing.clock.now()) {
            match gateway.listen(shutdown.clone().cancelled_owned().boxed()).await {
                Ok(requests) => return Some(requests),
                Err(fault) => tracing::warn!(%fault, "the gateway cannot listen yet"),
            }
            LISTEN_AGAIN
        } else {
            LOOK_EVERY
        };
        shutdown.run_until_cancelled(sleep(pause)).await;
    }
    None
}

async fn take_requests(
    mut requests: Updates<GatewayRequest>,
    router: &Router,
    hash: &ShardHash,
    standing: &Standing,
    tasks: &TaskTracker,
    places: &Arc<Semaphore>,
) {
    let mut awake = Awake::since(standing.clock.now());
    loop {
        let request = tokio::select! {
            biased;
            request = requests.next() => request.map(Some),
            () = sleep(LOOK_EVERY) => Some(None),
        };
        let Some(request) = request else { return };
        let now = standing.clock.now();
        let fresh = awake.look(now) && standing.lease.holds(now);
        let Some(request) = request else { continue };
        let respond = |request: GatewayRequest, code, reason| {
            tasks.spawn((request.respond)(failed(code, reason, false)));
        };
        if !fresh {
            respond(request, "unavailable", "this node does not serve at the moment: ask again");
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            respond(request, "busy", "this node serves as many clients as it may: try again");
            continue;
        };
        let (router, hash) = (router.clone(), *hash);
        tasks.spawn(async move {
            serve_one(&router, &hash, request).await;
            drop(place);
        });
    }
}

async fn serve_one(router: &Router, hash: &ShardHash, request: GatewayRequest) {
    let GatewayRequest { kind, id, command, payload, message, mode, timeout, trace, respond } = request;
    let answer = match key(&kind, &id) {
        Ok(key) => {
            let step = Step::route(&trace, &kind, &command);
            let outgoing = Outgoing {
                trace: step.told(trace),
                actor: hash.address(key),
                command: command.into(),
                parcel: Written { codec: PayloadCodec::Json, bytes: payload },
                message,
                mode,
                timeout: timeout.min(GATEWAY_TIMEOUT_MAX),
            };
            worded(step.around(router.ask(outgoing)).await)
        }
        Err(fault) => failed("invalid", fault.to_string(), false),
    };
    respond(answer).await;
}

fn key(kind: &str, id: &str) -> Result<ActorKey, InvalidId> {
    Ok(ActorKey { kind: ActorKind::new(kind)?, id: ActorId::new(id)? })
}

fn failed(code: &'static str, reason: impl Into<String>, maybe_applied: bool) -> GatewayAnswer {
    GatewayAnswer::Failed { code, reason: reason.into(), maybe_applied }
}

/// An outcome as a client is told it.
fn worded(outcome: Outcome) -> GatewayAnswer {
    let doubt = |maybe_applied| {
        if maybe_applied {
            "; the command may have been applied: ask again under the same message id, or look"
        } else {
            "; nothing was run: ask again"
        }
    };
    let earlier = |maybe_applied| if maybe_applied { "; the command may have been applied all the same" } else { "" };
    let unwritten = || failed("invalid", "the answer was not written as JSON", true);
    match outcome {
        Outcome::Replied(Payload::Encoded(PayloadCodec::Json, bytes))
        | Outcome::Looked(Payload::Encoded(PayloadCodec::Json, bytes)) => GatewayAnswer::Replied(bytes),
        Outcome::Rejected(Payload::Encoded(PayloadCodec::Json, bytes)) => GatewayAnswer::Rejected(bytes),
        Outcome::Replied(_) | Outcome::Looked(_) | Outcome::Rejected(_) => unwritten(),
        Outcome::Other(answer) => match answer {
            Answer::Expired { maybe_applied } => {
                failed("timeout", format!("no answer in time{}", doubt(maybe_applied)), maybe_applied)
            }
            Answer::Unavailable { retry_after, maybe_applied } => {
                let reason = format!("not now, try again in {retry_after:?}{}", doubt(maybe_applied));
                failed("unavailable", reason, maybe_applied)
            }
            Answer::NotOwner { .. } | Answer::Moving { .. } | Answer::Behind => {
                failed("unavailable", format!("the actor is on its way{}", doubt(false)), false)
            }
            Answer::Busy => failed("busy", format!("a queue on the way is full{}", doubt(false)), false),
            Answer::Poisoned { reason, maybe_applied } => {
                let reason = format!("the command makes the actor panic: {reason}{}", earlier(maybe_applied));
                failed("poisoned", reason, maybe_applied)
            }
            Answer::Invalid { reason, maybe_applied } => {
                failed("invalid", format!("{reason}{}", earlier(maybe_applied)), maybe_applied)
            }
            Answer::Quarantined { reason, maybe_applied } => {
                let reason = format!("the actor is set aside until a person looks: {reason}{}", earlier(maybe_applied));
                failed("quarantined", reason, maybe_applied)
            }
            Answer::Replied(_) | Answer::Looked(_) | Answer::Rejected(_) => unwritten(),
        },
    }
}
