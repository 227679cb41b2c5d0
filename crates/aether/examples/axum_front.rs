//! A web front end: an axum server beside a node, and what each end of an ask is as an HTTP status.
//!
//! ```console
//! $ cargo run --example axum_front
//! POST /accounts/7/open              201
//! POST /accounts/7/deposit/100       200 100
//! POST /accounts/7/withdraw/500      409 the balance is 100
//! POST /accounts/7/deposit/5 (a1)    200 105
//! POST /accounts/7/deposit/5 (a1)    200 105
//! POST /accounts/7/deposit/5 (what?) 400 an Idempotency-Key is 1 to 32 hex digits
//! GET  /accounts/7                   200 105
//! GET  /accounts/8                   409 the account is not open
//! ```
//!
//! A client's `Idempotency-Key` becomes the message id, so a request that is sent again counts once: (a1) above.

use aether::demo::bank::{Account, AccountError, Balance, Deposit, Open, Withdraw};
use aether::prelude::*;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};

type Answer = (StatusCode, String);

/// The one place that knows what the end of an ask is to a web client.
fn answer(asked: Result<u64, AskError<AccountError>>) -> Answer {
    let (status, text) = match asked {
        Ok(balance) => (StatusCode::OK, balance.to_string()),
        // The actor's own no: asking again will not help before something changes.
        Err(AskError::Rejected(no)) => (StatusCode::CONFLICT, no.to_string()),
        // Nothing was run.
        Err(AskError::Busy) => (StatusCode::TOO_MANY_REQUESTS, "busy, try again".into()),
        // It may have been applied: the client asks again under the same key.
        Err(error @ AskError::Unavailable { .. }) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(error @ AskError::Timeout { .. }) => (StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    (status, text)
}

/// Asks under the client's own name for it, if it has given one.
async fn ask<C, I>(node: &Node, id: u64, headers: &HeaderMap, command: C) -> Answer
where
    C: Command<Reply = u64>,
    Account: Handle<C>,
    <Account as Actor>::Commands: aether::Contains<C, I>,
{
    let account = node.actor::<Account>(id);
    let Some(key) = headers.get("idempotency-key") else { return answer(account.ask(command).await) };
    let key = key.to_str().ok().filter(|key| key.len() <= 32);
    match key.and_then(|key| u128::from_str_radix(key, 16).ok()) {
        Some(key) => answer(account.ask_with_id(MessageId(key), command).await),
        None => (StatusCode::BAD_REQUEST, "an Idempotency-Key is 1 to 32 hex digits".into()),
    }
}

async fn open(State(node): State<Node>, Path(id): Path<u64>) -> Answer {
    match node.actor::<Account>(id).ask(Open { operation: 1 }).await {
        Ok(()) => (StatusCode::CREATED, String::new()),
        Err(error) => answer(Err(error)),
    }
}

async fn deposit(State(node): State<Node>, Path((id, amount)): Path<(u64, u64)>, headers: HeaderMap) -> Answer {
    ask(&node, id, &headers, Deposit { operation: 2, amount }).await
}

async fn withdraw(State(node): State<Node>, Path((id, amount)): Path<(u64, u64)>, headers: HeaderMap) -> Answer {
    ask(&node, id, &headers, Withdraw { operation: 3, amount }).await
}

async fn balance(State(node): State<Node>, Path(id): Path<u64>) -> Answer {
    answer(node.actor::<Account>(id).ask(Balance {}).await)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("n1").namespace("web").in_memory(&MemoryHub::new()).actor::<Account>().start().await?;
    let routes = Router::new()
        .route("/accounts/{id}", get(balance))
        .route("/accounts/{id}/open", post(open))
        .route("/accounts/{id}/deposit/{amount}", post(deposit))
        .route("/accounts/{id}/withdraw/{amount}", post(withdraw))
        .with_state(node.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });

    tokio::task::spawn_blocking(move || visit(at)).await?;
    serving.abort();
    node.drain().await;
    Ok(())
}

/// A client's visit: what is asked, under which key, and what status it must be answered with.
#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn visit(at: std::net::SocketAddr) {
    for (method, path, key, expected) in [
        ("POST", "/accounts/7/open", "", 201),
        ("POST", "/accounts/7/deposit/100", "", 200),
        ("POST", "/accounts/7/withdraw/500", "", 409),
        ("POST", "/accounts/7/deposit/5", "a1", 200),
        ("POST", "/accounts/7/deposit/5", "a1", 200),
        ("POST", "/accounts/7/deposit/5", "what?", 400),
        ("GET", "/accounts/7", "", 200),
        ("GET", "/accounts/8", "", 409),
    ] {
        let agent = ureq::Agent::new_with_config(ureq::config::Config::builder().http_status_as_error(false).build());
        let url = format!("http://{at}{path}");
        let answered = match (method, key) {
            ("GET", _) => agent.get(url).call(),
            (_, "") => agent.post(url).send_empty(),
            (_, key) => agent.post(url).header("idempotency-key", key).send_empty(),
        };
        let mut answered = answered.expect("the server is in this process");
        let status = answered.status().as_u16();
        let text = answered.body_mut().read_to_string().expect("a short text");
        assert_eq!(status, expected, "{method} {path}: {text}");
        let shown = if key.is_empty() { path.to_owned() } else { format!("{path} ({key})") };
        println!("{}", format!("{method:<4} {shown:<29} {status} {text}").trim_end());
    }
}
