//! The load's page.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::run::Load;
use super::tally::LoadView;

/// How long the page may take: an audit waits for operations under way.
pub const VERIFY_LIMIT: Duration = Duration::from_secs(60);

/// `GET /v1/load`, and with `?verify=1` after an audit.
pub(crate) fn load_router(load: Load) -> Router {
    Router::new().route("/v1/load", get(show)).with_state(load)
}

#[derive(Deserialize)]
struct Verify {
    verify: Option<String>,
}

async fn show(State(load): State<Load>, Query(asked): Query<Verify>) -> Json<LoadView> {
    let verify = asked.verify.is_some_and(|verify| verify != "0");
    Json(if verify { load.verify().await } else { load.view() })
}
