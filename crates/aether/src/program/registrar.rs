//! Where a supervisor has deaths written down: a connection to the cluster's control store, opened beforehand.
//!
//! It is opened in the background and kept, so that a child starts without it and a certificate does not wait for it.

use std::sync::Arc;
use std::time::Duration;

use aether_domain::ports::ControlStore;
use aether_domain::{Namespace, Nonce};
use aether_infra_nats::{NatsConfig, NatsSession, connect};
use aether_runtime::certificate::{Verdict, certify};
use aether_runtime::clock::{BootClock, Clock as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::entropy;

/// How long a certificate is tried for. By then the others have long missed the node by its silence, unless NATS was
/// away from them too.
const CERTIFY_WITHIN: Duration = Duration::from_secs(30);
/// A certificate that is not written after this long is worth a word.
const SLOW_AFTER: Duration = Duration::from_secs(2);
/// How long to wait before NATS is tried again that could not be used.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);

type Connected = (Arc<dyn ControlStore>, NatsSession);

/// The way to where deaths are written down.
pub(super) struct Registrar {
    connected: watch::Receiver<Option<Connected>>,
    connecting: JoinHandle<()>,
}

impl Registrar {
    /// Begins to connect.
    pub(super) fn open(config: NatsConfig, namespace: Namespace) -> Self {
        let (tell, connected) = watch::channel(None);
        let connecting = tokio::spawn(async move {
            loop {
                match connect(&config, &namespace).await {
                    Ok(ports) => return drop(tell.send_replace(Some((ports.ports.control, ports.session)))),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "NATS cannot be used yet: a death now would be noticed by silence only");
                    }
                }
                tokio::time::sleep(CONNECT_AGAIN_AFTER).await;
            }
        });
        Self { connected, connecting }
    }

    /// Writes that the process which was given that token is dead. It must have been reaped.
    pub(super) async fn certify(&self, token: Nonce) {
        let written = self.write(token);
        tokio::pin!(written);
        let verdict = tokio::select! {
            verdict = &mut written => verdict,
            () = tokio::time::sleep(SLOW_AFTER) => {
                tracing::warn!(for_seconds = CERTIFY_WITHIN.as_secs(), "the cluster cannot be told of the death yet; trying on");
                written.await
            }
        };
        match verdict {
            Verdict::Settled { dead, replaced } => {
                for life in dead {
                    tracing::info!(node = %life, "the cluster knows that it is dead");
                }
                for life in replaced {
                    tracing::info!(node = %life, "another process has taken its place already");
                }
            }
            Verdict::NoRecord => tracing::info!("the process was no member of the cluster, so nobody needs to know"),
            Verdict::TimedOut { open } => {
                let lives: Vec<_> = open.iter().map(ToString::to_string).collect();
                tracing::warn!(
                    lives = lives.join(","),
                    "the cluster could not be told of the death for certain; the others notice by the silence; check that \
                     NATS answers"
                );
            }
        }
    }

    async fn write(&self, token: Nonce) -> Verdict {
        let began = BootClock.now();
        let mut connected = self.connected.clone();
        // Either way the store was never reached: what there is tells.
        drop(tokio::time::timeout(CERTIFY_WITHIN, connected.wait_for(Option::is_some)).await);
        let control = self.connected.borrow().as_ref().map(|(control, _)| Arc::clone(control));
        let Some(control) = control else { return Verdict::TimedOut { open: Vec::new() } };
        let left = CERTIFY_WITHIN.saturating_sub(BootClock.now().since(began));
        certify(control, Arc::new(BootClock), token, entropy::seed(), left).await
    }

    /// Ends the connection, if there is one.
    pub(super) async fn close(&self) {
        self.connecting.abort();
        let connected = self.connected.borrow().clone();
        if let Some((_, session)) = connected {
            session.close().await;
        }
    }
}
