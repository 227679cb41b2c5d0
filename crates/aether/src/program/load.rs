//! `aether load`: keeps a cluster of the demo application busy through its gateway, until it is asked to end.

use std::sync::Arc;

use aether_infra_nats::GatewayClient;
use aether_runtime::clock::BootClock;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::args::{Global, LoadArgs};
use super::signals;
use super::store::{Over, Store};
use crate::admin::{self, Bound, Pages};
use crate::config::Layers;
use crate::demo::load::{GatewayTeller, Load};
use crate::{entropy, telemetry};

pub(super) async fn run(args: LoadArgs, global: &Global) -> anyhow::Result<()> {
    let over = Over::of(global)?;
    let settings = over.settings(Layers::file(&args.config)?.with_process_environment()).load()?;
    telemetry::start(&settings.log)?;
    let asked_to_end = signals::polite_end()?;
    let Store { namespace, config } = over.store(&settings, "load")?;
    let client = GatewayClient::connect(&config, &namespace).await.context("the load cannot start")?;
    let bound = Bound::bind(settings.admin.listen).await?;
    let (url, stop) = (bound.url(), CancellationToken::new());
    let load =
        Load::start(Arc::new(GatewayTeller::new(client.clone())), settings.load, entropy::seed(), Arc::new(BootClock));
    let pages = tokio::spawn(bound.serve(Pages::of_load(load.clone()), stop.clone()));
    if let Some(file) = &settings.admin.announce {
        admin::announce(file, std::slice::from_ref(&url))?;
    }
    let (workers, accounts) = (settings.load.workers, settings.load.accounts);
    tracing::info!(%url, workers, accounts, "the load is running");
    asked_to_end.cancelled().await;
    load.stop();
    stop.cancel();
    pages.abort();
    client.close().await;
    tracing::info!("{:?}", load.view());
    Ok(())
}
