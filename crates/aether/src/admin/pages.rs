//! The routes, and what every answer has in common: JSON, errors included, an ETag, a limit on time and size.

use std::sync::Arc;
use std::time::Duration;

use aether_runtime::control::Preview;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use aether_domain::{NodeId, ShardId};

use super::dashboard;
use super::events::{self, FOLLOWERS_MAX, Followers};
use super::feeds::FeedsView;
use super::letters;
use super::moves::MovesOfShardView;
use super::picture::{Picture, Source};
use super::views::{
    ClusterView, HealthView, MovesView, NodeView, NodesView, PlacementView, QuarantinedView, ReadyView, RebalanceView,
    ShardView, ShardsView, WhyView,
};
use super::writes;
use crate::config::Secret;
use crate::demo::load::{Load, VERIFY_LIMIT, load_router};
use crate::metrics;

/// How long a page may take.
pub const PAGE_LIMIT: Duration = Duration::from_secs(5);

/// The most bytes a request's body may have.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// An answer that is not a page: what is wrong and what to do, as JSON.
#[derive(Debug)]
pub(super) struct Refused(StatusCode, Problem);

#[derive(Debug, Serialize)]
struct Problem {
    error: String,
    cure: &'static str,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, cure: &'static str) -> Self {
        Self(status, Problem { error: error.into(), cure })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

type Shared = State<Arc<dyn Source>>;

/// A set of pages, to be served by [`Bound::serve`](super::Bound::serve).
#[derive(Clone, Debug)]
pub struct Pages {
    router: Router,
}

impl Pages {
    /// A node's pages.
    pub fn of_node(source: Arc<dyn Source>) -> Self {
        Self::of_operated_node(source, None)
    }

    /// A node's pages, and what can be asked of its cluster by whoever has that token; nothing, if there is none.
    pub fn of_operated_node(source: Arc<dyn Source>, token: Option<Secret>) -> Self {
        let token = writes::Token::new(token);
        let pages = node_router(Arc::clone(&source))
            .merge(letters::router(Arc::clone(&source), token.clone()))
            .merge(writes::router(source, token));
        Self { router: bounded(pages, PAGE_LIMIT) }
    }

    /// The load's page, and that the process is alive.
    pub fn of_load(load: Load) -> Self {
        let alive = Router::new().route("/livez", get(async || "ok\n"));
        Self { router: bounded(alive.merge(load_router(load)), VERIFY_LIMIT) }
    }

    /// These pages and the load's, when both are in one process.
    #[must_use]
    pub fn with_load(self, load: Load) -> Self {
        let load = load_router(load).layer(middleware::from_fn(|request, next| within(VERIFY_LIMIT, request, next)));
        Self { router: load.merge(self.router) }
    }

    pub(super) fn into_router(self) -> Router {
        self.router
    }
}

fn node_router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/", get(dashboard::dashboard))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/v1/cluster", get(cluster))
        .route("/v1/nodes", get(nodes))
        .route("/v1/nodes/{id}", get(node))
        .route("/v1/shards", get(shards))
        .route("/v1/shards/{n}", get(shard))
        .route("/v1/shards/{n}/why", get(why))
        .route("/v1/health", get(health))
        .route("/v1/events", get(happened))
        .route("/v1/moves", get(moves))
        .route("/v1/moves/{n}", get(moves_of_shard))
        .route("/v1/placement", get(placement))
        .route("/v1/rebalance", get(rebalance))
        .route("/v1/feeds", get(feeds))
        .route("/v1/quarantined", get(quarantined))
        .layer(Extension(Followers::default()))
        .with_state(source)
}

/// Gives every route of `router` the limits, the JSON errors and the headers all pages have.
fn bounded(router: Router, limit: Duration) -> Router {
    router
        .method_not_allowed_fallback(async || {
            Refused::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "that page cannot be asked so",
                "use GET, or see docs/FORMATS.md",
            )
        })
        .fallback(async || {
            let cure = "see the list of pages in docs/FORMATS.md";
            Refused::new(StatusCode::NOT_FOUND, "there is no such page", cure)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(move |request: Request, next: Next| within(limit, request, next)))
        .layer(middleware::from_fn(dashboard::careful))
}

async fn within(limit: Duration, request: Request, next: Next) -> Response {
    let declared = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > BODY_BYTES_MAX as u64) {
        let error = format!("a body of more than {BODY_BYTES_MAX} bytes");
        return Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error, "send less: a few words are enough").into_response();
    }
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let error = format!("the page was not ready within {limit:?}");
        Refused::new(StatusCode::GATEWAY_TIMEOUT, error, "try again, or look at the node's log").into_response()
    })
}

pub(super) fn picture(source: &Arc<dyn Source>) -> Result<Picture, Refused> {
    source.picture().ok_or_else(|| {
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the node is starting", "ask again in a moment, or see /readyz")
    })
}

/// A page whose figures also change between epochs: the tag is weak and nothing is answered "not modified".
fn page(epoch: u64, body: impl Serialize) -> Response {
    ([(ETAG, format!("W/\"{epoch}\""))], Json(body)).into_response()
}

/// A page that the log alone decides: whoever has it at this epoch need not have it again.
fn settled(epoch: u64, variant: &str, asked: &HeaderMap, body: impl Serialize) -> Response {
    let tag = format!("\"{epoch}{variant}\"");
    let known = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    ([(ETAG, tag)], Json(body)).into_response()
}

/// One thing by itself, and the last entry applied.
#[derive(Serialize)]
struct At<T> {
    epoch: u64,
    #[serde(flatten)]
    view: T,
}

async fn placement(State(source): Shared) -> Result<Response, Refused> {
    let view = PlacementView::of(&picture(&source)?);
    Ok(page(view.epoch, view))
}

async fn rebalance(State(source): Shared) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let view = RebalanceView::of(&picture, source.preview().unwrap_or_else(|| Ok(Preview::default())));
    Ok(page(view.epoch, view))
}

async fn quarantined(State(source): Shared) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    Ok(page(picture.topology.epoch().0, QuarantinedView::of(&picture)))
}

async fn feeds(State(source): Shared) -> Result<Response, Refused> {
    let view = FeedsView::of(&picture(&source)?);
    Ok(page(view.epoch, view))
}

async fn ready(State(source): Shared, Query(asked): Query<Verbose>) -> Response {
    let view = ReadyView::of(source.picture().as_ref());
    let status = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match (asked.verbose.is_some(), view.ready) {
        (true, _) => (status, Json(view)).into_response(),
        (false, true) => "ok\n".into_response(),
        (false, false) => {
            Refused::new(status, format!("not ready: {}", view.phase), "see /readyz?verbose").into_response()
        }
    }
}

#[derive(Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

async fn scrape(State(source): Shared) -> Result<Response, Refused> {
    let text = metrics::encode(&picture(&source)?);
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], text).into_response())
}

async fn cluster(State(source): Shared) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    Ok(page(picture.topology.epoch().0, ClusterView::of(&picture)))
}

async fn nodes(State(source): Shared) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    Ok(page(picture.topology.epoch().0, NodesView::of(&picture)))
}

async fn node(State(source): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let member = NodeId::new(&id).ok().and_then(|id| picture.topology.cluster().member(&id).cloned());
    let none = || Refused::new(StatusCode::NOT_FOUND, "the log has not heard of that node", "see /v1/nodes");
    let epoch = picture.topology.epoch().0;
    Ok(page(epoch, At { epoch, view: NodeView::of(&picture, &member.ok_or_else(none)?) }))
}

#[derive(Deserialize)]
struct Full {
    full: Option<String>,
}

async fn shards(State(source): Shared, Query(asked): Query<Full>, headers: HeaderMap) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let full = asked.full.is_some_and(|full| full != "0");
    let view = ShardsView::of(&picture, full);
    Ok(settled(view.epoch, if full { "-full" } else { "" }, &headers, view))
}

async fn shard(State(source): Shared, Path(n): Path<String>, headers: HeaderMap) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let shard = numbered(&picture, &n)?;
    let view = ShardView::of(&picture, shard, picture.topology.assignment().shard(shard));
    let epoch = picture.topology.epoch().0;
    Ok(settled(epoch, &format!("-{shard}"), &headers, At { epoch, view }))
}

async fn why(State(source): Shared, Path(n): Path<String>) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let shard = numbered(&picture, &n)?;
    let epoch = picture.topology.epoch().0;
    let why = source.why(shard).unwrap_or_default();
    Ok(page(epoch, At { epoch, view: WhyView::of(&picture, shard, &why) }))
}

async fn health(State(source): Shared) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let epoch = picture.topology.epoch().0;
    Ok(page(epoch, At { epoch, view: HealthView::of(&picture) }))
}

async fn happened(
    State(source): Shared,
    Extension(followers): Extension<Followers>,
    Query(asked): Query<events::Asked>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let applied = picture(&source)?.topology.epoch();
    let starting = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the node is starting", "ask again in a moment");
    if events::follows(&headers) {
        let full = || {
            let error = format!("{FOLLOWERS_MAX} readers follow already");
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask for pages, or follow at another node")
        };
        let place = followers.take().ok_or_else(full)?;
        return Ok(events::followed(place, &source, &asked, &headers).ok_or_else(starting)?.into_response());
    }
    let spoilt =
        |error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error, "see the node's log: a person should look");
    let view = events::page(&source, applied, &asked).await.map_err(spoilt)?.ok_or_else(starting)?;
    Ok(page(applied.0, view))
}

async fn moves(State(source): Shared) -> Result<Response, Refused> {
    let view = MovesView::of(&picture(&source)?);
    Ok(page(view.epoch, view))
}

async fn moves_of_shard(State(source): Shared, Path(n): Path<String>) -> Result<Response, Refused> {
    let picture = picture(&source)?;
    let view = MovesOfShardView::of(&picture, numbered(&picture, &n)?);
    Ok(page(view.epoch, view))
}

/// The shard of that number.
fn numbered(picture: &Picture, n: &str) -> Result<ShardId, Refused> {
    let shards = picture.topology.assignment().shards().len();
    let shard = n.parse().ok().map(ShardId).filter(|shard| shard.index() < shards);
    shard.ok_or_else(|| {
        Refused::new(StatusCode::NOT_FOUND, "there is no shard of that number", "see total in /v1/shards")
    })
}
