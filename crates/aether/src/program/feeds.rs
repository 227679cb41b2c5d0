//! `aether feeds`: how the feeds stand to which one node has subscribed.

use super::args::Global;
use super::ask::{Form, show};
use super::ink::{Ink, Tone};
use super::table::{Cell, Table};
use crate::admin::FeedsView;

pub(super) async fn run(global: &Global) -> anyhow::Result<()> {
    show(global, "/v1/feeds", lines).await
}

fn lines(view: &FeedsView, _: Form, ink: Ink) -> String {
    if view.feeds.is_empty() {
        return "this node has subscribed to no feed".to_owned();
    }
    let mut table = Table::new([
        "FEED",
        "STATE",
        "OWNER",
        ">POSITION",
        ">BEHIND",
        ">LAG",
        ">HANDLED",
        ">FAILED",
        ">SKIPPED",
        "WHY",
    ]);
    for feed in &view.feeds {
        let tone = match (feed.state.as_str(), &feed.reason) {
            ("stopped", _) => Tone::Bad,
            (_, Some(_)) => Tone::Warning,
            _ => Tone::Good,
        };
        table.row([
            feed.name.as_str().into(),
            Cell::toned(tone, feed.state.as_str()),
            feed.owner.clone().unwrap_or_default().into(),
            feed.position.to_string().into(),
            feed.behind.to_string().into(),
            format!("{} ms", feed.lag_ms).into(),
            feed.handled.to_string().into(),
            feed.failures.to_string().into(),
            feed.skipped.to_string().into(),
            feed.reason.clone().unwrap_or_default().into(),
        ]);
    }
    table.shown(ink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::FeedView;

    #[test]
    fn feeds_are_shown_one_a_line_with_why_they_stand_still() {
        let feed = |name: &str, reason: Option<&str>| FeedView {
            name: name.to_owned(),
            state: "working".to_owned(),
            owner: None,
            position: 4711,
            behind: 3,
            lag_ms: 20,
            handled: 9,
            failures: 2,
            skipped: 1,
            reason: reason.map(str::to_owned),
        };
        let shown = |feeds| lines(&FeedsView { epoch: 7, feeds }, Form::Table, Ink::NONE);
        let expected = "\
FEED    STATE    OWNER  POSITION  BEHIND    LAG  HANDLED  FAILED  SKIPPED  WHY
totals  working             4711       3  20 ms        9       2        1
mails   working             4711       3  20 ms        9       2        1  no relay";
        assert_eq!(shown(vec![feed("totals", None), feed("mails", Some("no relay"))]), expected);
        assert_eq!(shown(Vec::new()), "this node has subscribed to no feed");
    }
}
