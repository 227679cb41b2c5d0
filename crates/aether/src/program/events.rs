//! `aether events`: what happened to the cluster, and what happens.

use std::io::BufReader;
use std::time::Duration;

use aether_runtime::clock::{BootClock, Clock as _};
use aether_screen::sse;
use anyhow::{Context, bail};
use tokio::sync::mpsc;

use super::args::{EventsArgs, Global};
use super::ask::{Form, Nodes};
use super::history::{Filter, Log, ago, lines};
use super::ink::Ink;
use super::pages::Entry;
use super::when::Since;
use super::{Usage, out};

/// How many entries are shown unless told.
const SHOWN: usize = 50;
/// How many are shown before what follows, unless told.
const SHOWN_BEFORE: usize = 10;
/// How long a followed node may say nothing: it shows every 15 s that it is there.
const SILENT_MAX: Duration = Duration::from_secs(40);
/// How long to wait before the nodes are asked again, none of which has answered.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How many entries may wait to be shown.
const WAITING_MAX: usize = 64;

pub(super) async fn run(args: EventsArgs, global: &Global) -> anyhow::Result<()> {
    let (form, ink, nodes) = (global.form()?, global.ink(), Nodes::of(global)?);
    let filter = Filter::new(&args.types, args.node, args.shard)?;
    let show = |entry: Entry| out::told(shown(&entry, form, ink));
    let log = Log(&nodes);
    let last = if let Some(since) = args.since.as_deref().map(read_since).transpose()? {
        let behind = match since {
            Since::Epoch(epoch) => epoch,
            Since::Span(span) => log.epoch_before(ago(BootClock.wall().unix_millis, span)).await?,
        };
        log.behind(behind, &filter, args.limit.unwrap_or(usize::MAX), |entry| _ = show(entry)).await?
    } else {
        let limit = args.limit.unwrap_or(if args.follow { SHOWN_BEFORE } else { SHOWN });
        let end = log.end().await?;
        log.latest(end, &filter, limit).await?.into_iter().for_each(|entry| _ = show(entry));
        end
    };
    if args.follow { follow(&nodes, last, |entry| filter.take(entry).is_none_or(show)).await } else { Ok(()) }
}

fn read_since(text: &str) -> Result<Since, Usage> {
    let wrong = || Usage(format!("--since {text:?} is neither a span such as 90s, 15m, 1h or 2d nor an epoch"));
    Since::read(text).ok_or_else(wrong)
}

fn shown(entry: &Entry, form: Form, ink: Ink) -> String {
    match form {
        // Plain values can always be written as JSON.
        Form::Json => serde_json::to_string(entry).unwrap_or_default(),
        Form::Table | Form::Wide => lines(entry, form == Form::Wide, ink),
    }
}

/// Tells every entry behind `last`, each once, from whichever node answers, for as long as somebody listens.
async fn follow(nodes: &Nodes, mut last: u64, tell: impl Fn(Entry) -> bool) -> anyhow::Result<()> {
    loop {
        for url in nodes.urls() {
            let (told, mut entries) = mpsc::channel(WAITING_MAX);
            let asked = format!("{url}/v1/events");
            // It ends by itself once nobody listens any more, at the next entry or sign of life.
            let following = tokio::task::spawn_blocking(move || read(&asked, last, &told));
            while let Some(entry) = entries.recv().await {
                let entry: Entry = entry;
                if entry.epoch > last {
                    last = entry.epoch;
                    if !tell(entry) {
                        return Ok(());
                    }
                }
            }
            match following.await.context("following was interrupted")? {
                Ok(()) => {}
                Err(error) if error.is::<Spoilt>() => return Err(error),
                Err(error) => out::note(format_args!("{url} is lost ({error:#}); asking again behind epoch {last}")),
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// What a node cannot read no other can: there is no use in asking again.
#[derive(Debug, thiserror::Error)]
#[error("the node cannot go on: {0}; see its log")]
struct Spoilt(String);

/// Reads one node's stream until it ends.
fn read(url: &str, last: u64, told: &mpsc::Sender<Entry>) -> anyhow::Result<()> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let config = config.timeout_connect(Some(Duration::from_secs(2))).timeout_per_read(Some(SILENT_MAX));
    let agent: ureq::Agent = config.build().into();
    let asked = agent.get(url).header("accept", "text/event-stream").header("last-event-id", &last.to_string());
    let reply = asked.call()?;
    if !reply.status().is_success() {
        bail!("it answers {}", reply.status());
    }
    let mut stream = BufReader::new(reply.into_body().into_reader());
    while let Some(message) = sse::next(&mut stream)? {
        match message.event.as_str() {
            "topology" => {
                let entry = serde_json::from_str(&message.data).context("it tells what is no entry of the log")?;
                if told.blocking_send(entry).is_err() {
                    return Ok(());
                }
            }
            "error" => return Err(Spoilt(message.data).into()),
            _ => {}
        }
    }
    bail!("it has ended the stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_of_json_with_what_is_not_known_too() {
        let text = r#"{"epoch":3,"term":1,"leader":"n1","cause":"c","unix_millis":5,"events":[{"name":"NodeJoined","nodes":["n2"],"new":1}],"newer":{"a":2}}"#;
        let entry: Entry = serde_json::from_str(text).expect("an entry");
        assert_eq!(shown(&entry, Form::Json, Ink::NONE), text);
    }

    #[test]
    fn what_is_no_time_is_said_with_what_would_be() {
        assert_eq!(read_since("417").expect("an epoch"), Since::Epoch(417));
        let error = read_since("yesterday").expect_err("no time").to_string();
        assert!(error.contains("yesterday") && error.contains("1h"), "{error}");
    }
}
