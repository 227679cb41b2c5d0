//! What a machine wants done, in the words of the scripts that `scene.rs` plays.

use std::time::Duration;

use aether_domain::ports::Answer;
use aether_domain::records::TimerChange;
use aether_domain::{NodeId, WallTime};

use super::counter::TooFew;
use super::scene::number;
use crate::actor::Fate;
use crate::message::{Outcome, Payload};
use crate::shard::input::{Effect, Fact, Keep};

/// An effect as the scripts write it.
pub(super) fn describe(effect: &Effect<u64>) -> String {
    let (text, on, wait) = match effect {
        Effect::Load { actor, part, wait, .. } => {
            (if part.fresh { "load fresh" } else { "load" }.to_string(), Some(actor), *wait)
        }
        Effect::Save { actor, snapshot } => {
            (format!("save {} at {}", snapshot.version, snapshot.at.sequence), Some(actor), Duration::ZERO)
        }
        Effect::Append { actor, record, after, wait, trace: _ } => {
            let ids = record.commands.iter().map(|mark| mark.id.sequence.to_string()).collect::<Vec<_>>().join(",");
            let timers = record.timers.iter().map(timer);
            let parts: Vec<_> = Some(ids).into_iter().chain(timers).filter(|part| !part.is_empty()).collect();
            let what = if parts.is_empty() { "confirm".into() } else { format!("append {}", parts.join(" ")) };
            (format!("{what} after {after}"), Some(actor), *wait)
        }
        Effect::Look { actor, after, wait, .. } => (format!("look after {after}"), Some(actor), *wait),
        Effect::Respond { to, outcome, lease } => {
            let lease = if *lease { "?" } else { "" };
            (format!("{to}={}{lease}", answer(outcome)), None, Duration::ZERO)
        }
        Effect::Wake { actor, keep, wait, .. } => {
            let at = |at: WallTime| at.unix_millis.to_string();
            let text = match keep {
                Keep::NoLaterThan { at: latest, .. } => format!("wake by {}", at(*latest)),
                Keep::Exactly { at: exactly, .. } => format!("wake at {}", exactly.map_or("no time".into(), at)),
            };
            (text, Some(actor), *wait)
        }
        Effect::EndTurn { .. } => return String::new(),
        Effect::Captured { actors, .. } => {
            let said = actors.iter().map(|warm| format!("{}@{}", number(&warm.actor), warm.snapshot.at.sequence.0));
            (format!("captured {}", said.collect::<Vec<_>>().join(",")), None, Duration::ZERO)
        }
        Effect::CaptureMore => ("more".to_owned(), None, Duration::ZERO),
        Effect::Released { drain_epoch } => (format!("released {drain_epoch}"), None, Duration::ZERO),
        Effect::Letter(letter) => {
            let maybe = if letter.maybe_applied { " maybe" } else { "" };
            (format!("letter {}{maybe}", letter.id.sequence), None, Duration::ZERO)
        }
        Effect::Fact(fact) => (format!("!{}", name(fact)), None, Duration::ZERO),
    };
    let wait = if wait.is_zero() { String::new() } else { format!(" in {wait:?}") };
    let on = on.map(number).filter(|on| *on != 1).map(|on| format!(" @{on}")).unwrap_or_default();
    format!("{text}{wait}{on}")
}

fn timer(change: &TimerChange) -> String {
    match change {
        TimerChange::Set(timer) => format!("set {}@{}", timer.name, timer.due.unix_millis),
        TimerChange::Cancelled { name } => format!("cancelled {name}"),
        TimerChange::Fired { name, next: None } => format!("fired {name}"),
        TimerChange::Fired { name, next: Some(next) } => format!("fired {name}@{}", next.unix_millis),
    }
}

fn name(fact: &Fact) -> &'static str {
    match fact {
        Fact::Stale { .. } => "stale",
        Fact::Conflict { .. } => "conflict",
        Fact::Unresolved { .. } => "unresolved",
        Fact::NotLoaded { .. } => "not loaded",
        Fact::NotSaved { .. } => "not saved",
        Fact::SnapshotLeftOut { .. } => "left out",
        Fact::WarmLeftOut { .. } => "warm left out",
        Fact::Panicked { .. } => "panicked",
        Fact::Poisoned { .. } => "poisoned",
        Fact::Quarantined { .. } => "quarantined",
        Fact::TimerGivenUp { .. } => "given up",
        Fact::TimerUnknown { .. } => "unknown",
        Fact::NoWake { .. } => "no wake",
    }
}

fn answer(outcome: &Outcome) -> String {
    let payload = |payload: &Payload| match payload {
        Payload::Encoded(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Typed(value) => match (value.downcast_ref::<u64>(), value.downcast_ref::<TooFew>()) {
            (Some(number), _) => number.to_string(),
            (_, Some(TooFew { total })) => format!("only {total}"),
            _ if value.is::<Fate<u64>>() => format!("{:?}", value.downcast_ref::<Fate<u64>>().expect("it is one")),
            _ => value.downcast_ref::<String>().map_or("?".into(), |text| format!("{} bytes", text.len())),
        },
    };
    let maybe = |applied: &bool| if *applied { " maybe" } else { "" };
    let node = |node: &Option<NodeId>| node.as_ref().map_or("nobody".into(), ToString::to_string);
    match outcome {
        Outcome::Replied(reply) | Outcome::Looked(reply) => payload(reply),
        Outcome::Rejected(rejection) => format!("no {}", payload(rejection)),
        Outcome::Other(Answer::NotOwner { owner }) => format!("owned by {}", node(owner)),
        Outcome::Other(Answer::Moving { to }) => format!("moving to {}", node(to)),
        Outcome::Other(Answer::Unavailable { maybe_applied, .. }) => format!("unavailable{}", maybe(maybe_applied)),
        Outcome::Other(Answer::Expired { maybe_applied }) => format!("expired{}", maybe(maybe_applied)),
        Outcome::Other(Answer::Busy) => "busy".into(),
        Outcome::Other(Answer::Poisoned { maybe_applied, .. }) => format!("poisoned{}", maybe(maybe_applied)),
        Outcome::Other(Answer::Invalid { .. }) => "invalid".into(),
        Outcome::Other(Answer::Quarantined { .. }) => "quarantined".into(),
        Outcome::Other(other) => format!("{other:?}"),
    }
}
