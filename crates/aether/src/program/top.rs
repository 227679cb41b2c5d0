//! `aether top`: the live screen. What is wrong `check` judges, and what is asked by keys goes the ways of the commands.

use std::io::{IsTerminal as _, stdin, stdout};
use std::sync::Arc;

use aether_screen::model::Alert;
#[cfg(feature = "nats")]
use aether_screen::{Deed, Verb};
use aether_screen::{Host, Pages};
use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use super::args::{Global, Output, TopArgs};
use super::ask::Nodes;
use super::ink::Ink;
use super::{Usage, check, out, signals};

/// The size of a picture for which nobody says one.
const SIZE: (u16, u16) = (80, 24);

pub(super) async fn run(args: TopArgs, global: &Global) -> anyhow::Result<()> {
    if !matches!(global.output, Output::Table | Output::Wide) {
        return Err(
            Usage("a screen is for people; for programs there are `status -o json` and the like".to_owned()).into()
        );
    }
    // That there is nobody to ask is said before the terminal is taken.
    Nodes::of(global)?;
    let once = args.once;
    let has_terminal = stdin().is_terminal() && stdout().is_terminal();
    if !once && !has_terminal {
        return Err(
            Usage("there is no terminal to show a screen on; `aether top --once` prints a picture".to_owned()).into()
        );
    }
    let top = Top {
        global: global.clone(),
        over: signals::end()?,
        #[cfg(feature = "nats")]
        ask: args.ask,
        #[cfg(feature = "nats")]
        runtime: tokio::runtime::Handle::current(),
    };
    let (colour, host) = (Ink::of_process(global.no_color).is_on(), Arc::new(top));
    if once {
        let (width, height) = size(|name| std::env::var(name).ok());
        let picture = tokio::task::spawn_blocking(move || aether_screen::once(host, width, height)).await?;
        out::line(picture.map_err(|why| anyhow!("no node answers: {why}"))?);
        return Ok(());
    }
    let shown = tokio::task::spawn_blocking(move || aether_screen::run(host, colour, true));
    shown.await?.context("the terminal cannot be used")
}

/// How large a picture is to be.
fn size(variable: impl Fn(&str) -> Option<String>) -> (u16, u16) {
    let said = |name| variable(name).and_then(|text| text.trim().parse().ok()).filter(|size| (1..=1000).contains(size));
    let (width, height) = aether_screen::terminal_size().unwrap_or(SIZE);
    (said("COLUMNS").unwrap_or(width), said("LINES").unwrap_or(height))
}

struct Top {
    global: Global,
    over: CancellationToken,
    #[cfg(feature = "nats")]
    ask: super::args::AskArgs,
    #[cfg(feature = "nats")]
    runtime: tokio::runtime::Handle,
}

impl Host for Top {
    fn urls(&self) -> Vec<String> {
        // The file of a `cluster-up` is read again each time: its nodes come and go.
        Nodes::of(&self.global).map(|nodes| nodes.urls().map(str::to_owned).collect()).unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    fn alerts(&self, pages: &Pages<'_>) -> Vec<Alert> {
        check::alerts(pages)
    }

    #[cfg(feature = "nats")]
    fn verbs(&self) -> Vec<Verb> {
        vec![Verb::Drain, Verb::StepDown, Verb::Pause]
    }

    #[cfg(feature = "nats")]
    fn act(&self, deed: &Deed) -> Result<String, String> {
        self.runtime.block_on(self.done(deed)).map_err(|error| format!("{error:#}"))
    }
}

#[cfg(feature = "nats")]
impl Top {
    async fn done(&self, deed: &Deed) -> anyhow::Result<String> {
        use super::operate::{drain, order, step_down};
        use aether_domain::NodeId;
        use aether_domain::orders::Wish;

        let (global, ask) = (&self.global, &self.ask);
        let taken_up = |epoch| format!("the log says so since entry {epoch}");
        match (deed.verb, &deed.node) {
            (Verb::Drain, Some(node)) => {
                let life = drain(global, ask, &NodeId::new(node.to_string())?).await?;
                Ok(format!("{life} is asked to leave"))
            }
            (Verb::StepDown, _) => Ok(format!("{} leads now", step_down(global, ask).await?.1)),
            (Verb::Pause, _) => Ok(taken_up(order(global, ask, Wish::Pause).await?)),
            (Verb::Resume, _) => Ok(taken_up(order(global, ask, Wish::Resume).await?)),
            _ => Err(anyhow!("that is for whoever runs the nodes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_size_that_is_said_if_it_is_one() {
        let said = |columns: &'static str, lines: &'static str| {
            size(move |name| Some(if name == "COLUMNS" { columns } else { lines }.to_owned()))
        };
        assert_eq!(said("120", "40"), (120, 40));
        let usual = size(|_| None);
        for wrong in ["0", "wide", "1001", "-1", ""] {
            assert_eq!(said(wrong, wrong), usual, "{wrong}");
        }
    }
}
