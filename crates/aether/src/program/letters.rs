//! `aether dead-letters` and `aether actor`: what an operator does about commands that were given up and actors that are
//! set aside.
//!
//! A command is asked again, and an actor released, through the cluster's gateway like a client's: whoever owns the actor
//! sees to it.

use std::time::Duration;

use aether_domain::ports::DeadLetters;
use aether_domain::records::{DeadLetter, StoredLetter};
use aether_domain::{MessageId, Sequence};
use aether_infra_nats::GatewayClient;
use aether_runtime::shard::RELEASE;
use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::args::{ActorCommand, DeadLettersCommand, Global, StoreArgs};
use super::ask::Nodes;
use super::readers::Readers;
use super::store::Store;
use super::{actor, out};
use crate::admin::{LETTERS_MAX, LetterView, read_letters};

/// How long a command that is asked again may take.
const AGAIN_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(command: DeadLettersCommand, global: &Global) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { after, limit, store } => {
            with_letters(global, &store, async |letters| list(letters, after, limit, out::line).await).await
        }
        DeadLettersCommand::Show { sequence, store } => {
            let stored = with_letters(global, &store, async |letters| find(letters, sequence).await).await?;
            out::line(line(&LetterView::of(&stored))?);
            Ok(())
        }
        DeadLettersCommand::Forget { sequence, store } => {
            let forget = async |letters: &dyn DeadLetters| Ok(letters.forget(Sequence(sequence)).await?);
            with_letters(global, &store, forget).await
        }
        DeadLettersCommand::Again { sequence, store } => {
            let stored = with_letters(global, &store, async |letters| find(letters, sequence).await).await?;
            let (payload, message) = again(&stored.letter)?;
            let letter = stored.letter;
            let (kind, id) = (letter.actor.key.kind.as_str(), letter.actor.key.id.as_str());
            out::line(ask(global, &store, kind, id, &letter.command, &payload, Some(message)).await?);
            Ok(())
        }
    }
}

pub(super) async fn actor(command: ActorCommand, global: &Global, readers: &Readers) -> anyhow::Result<()> {
    match command {
        ActorCommand::Release { kind, id, store } => {
            let released = ask(global, &store, &kind, &id, RELEASE, &Value::Null, None).await?;
            out::line(json!({ "kind": kind, "id": id, "released": released }));
        }
        ActorCommand::History(args) => return actor::history(args, global, readers).await,
        ActorCommand::Quarantined => out::line(Nodes::of(global)?.page("/v1/quarantined").await?.body.trim_end()),
    }
    Ok(())
}

/// Does something with the cluster's letters.
async fn with_letters<R>(
    global: &Global,
    StoreArgs { config }: &StoreArgs,
    act: impl AsyncFnOnce(&dyn DeadLetters) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let ports = Store::of(global, config.as_deref(), "dead-letters")?.connect().await?;
    let done = act(&*ports.ports.dead_letters).await;
    ports.session.close().await;
    done
}

/// Tells every letter behind `after`, up to `limit`; of one that cannot be understood, where it is and why.
async fn list(
    letters: &dyn DeadLetters,
    mut after: u64,
    mut limit: usize,
    mut tell: impl FnMut(String),
) -> anyhow::Result<()> {
    while limit > 0 {
        let (page, next) = read_letters(letters, after, limit.min(LETTERS_MAX)).await?;
        limit -= page.len();
        for letter in page {
            tell(line(&letter)?);
        }
        let Some(next) = next else { return Ok(()) };
        after = next;
    }
    Ok(())
}

async fn find(letters: &dyn DeadLetters, sequence: u64) -> anyhow::Result<StoredLetter> {
    let before = sequence.checked_sub(1).context("letters are numbered from 1")?;
    let found = letters.read(Sequence(before), 1).await?.pop();
    let found = found.filter(|stored| stored.sequence.0 == sequence);
    found.with_context(|| format!("there is no letter {sequence}; see `aether dead-letters list`"))
}

fn line(letter: &LetterView) -> anyhow::Result<String> {
    Ok(serde_json::to_string(letter)?)
}

/// What a letter's command is asked with: itself, and an id under which it counts once. That is the application's own if it
/// gave one; otherwise one made of the command's, which says nothing of the first time it was asked.
fn again(letter: &DeadLetter) -> anyhow::Result<(Value, MessageId)> {
    let Some(payload) = &letter.payload else { bail!("the command was too large to be kept: ask it anew") };
    let payload = serde_json::from_slice(payload)
        .context("the command is not kept as JSON, which is all that the gateway takes: ask it from a program")?;
    let own = u128::from(letter.id.origin.0) << 64 | u128::from(letter.id.sequence);
    Ok((payload, letter.message.unwrap_or(MessageId(own))))
}

async fn ask(
    global: &Global,
    StoreArgs { config }: &StoreArgs,
    kind: &str,
    id: &str,
    command: &str,
    payload: &Value,
    message: Option<MessageId>,
) -> anyhow::Result<Value> {
    let store = Store::of(global, config.as_deref(), "operator")?;
    let client = GatewayClient::connect(&store.config, &store.namespace).await?;
    Ok(client.ask_json(kind, id, command, payload, message, AGAIN_WITHIN).await?)
}

#[cfg(test)]
mod tests {
    use aether_domain::records::PayloadCodec;
    use aether_domain::testing::life;
    use aether_domain::{ActorAddress, ActorId, ActorKey, ActorKind, CommandId, Incarnation, Slot, WallTime};
    use aether_infra_memory::MemoryHub;
    use bytes::Bytes;

    use super::*;

    fn letter(payload: Option<&'static [u8]>) -> DeadLetter {
        let key = ActorKey { kind: ActorKind::new("account").expect("a kind"), id: ActorId::new("7").expect("an id") };
        DeadLetter {
            actor: ActorAddress { key, slot: Slot(1) },
            command: "withdraw".into(),
            id: CommandId { origin: Incarnation(3), sequence: 9 },
            message: None,
            codec: PayloadCodec::Json,
            payload: payload.map(Bytes::from_static),
            reason: "boom".into(),
            maybe_applied: false,
            by: life("a", 1),
            at: WallTime { unix_millis: 5 },
        }
    }

    #[tokio::test]
    async fn letters_are_listed_a_line_each_up_to_a_limit_and_found_by_their_number() {
        let letters = MemoryHub::new().ports(&life("a", 1).node).dead_letters;
        for _ in 0..3 {
            letters.keep(&letter(Some(b"{\"amount\":5}"))).await.expect("kept");
        }
        let mut lines = Vec::new();
        list(&*letters, 1, 1, |line| lines.push(line)).await.expect("listed");
        let line: Value = serde_json::from_str(&lines.pop().expect("a line")).expect("JSON");
        assert!(lines.is_empty());
        assert_eq!(
            (&line["letter"], &line["payload"]["amount"], &line["reason"]),
            (&json!(2), &json!(5), &json!("boom"))
        );
        assert_eq!(find(&*letters, 3).await.expect("found").sequence, Sequence(3));
        assert!(find(&*letters, 4).await.is_err() && find(&*letters, 0).await.is_err());
    }

    #[test]
    fn a_command_is_asked_again_as_it_was_and_under_one_id() {
        let (payload, message) = again(&letter(Some(b"{\"amount\":5}"))).expect("it can be");
        assert_eq!((payload, message), (json!({ "amount": 5 }), MessageId(3 << 64 | 9)));
        let own = DeadLetter { message: Some(MessageId(7)), ..letter(Some(b"null")) };
        assert_eq!(again(&own).expect("it can be"), (Value::Null, MessageId(7)));
        for (kept, why) in [(None, "too large"), (Some(&b"AE"[..]), "not kept as JSON")] {
            assert!(again(&letter(kept)).expect_err("it cannot be").to_string().contains(why));
        }
    }
}
