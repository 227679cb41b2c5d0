//! `aether feeds`: how the feeds stand to which one node has subscribed.

use super::args::Global;
use super::ask::{Form, show};
use super::ink::{Ink, Tone};
use super::table::{Cell, Table};
use crate::admin::{FeedView, FeedsView};

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
            why(feed).into(),
        ]);
    }
    table.shown(ink)
}

/// Why it stands still, or else what it never hands out.
fn why(feed: &FeedView) -> String {
    match (&feed.reason, feed.unnamed) {
        (Some(reason), _) => reason.clone(),
        (None, 0) => String::new(),
        (None, unnamed) => format!("passed over {unnamed} events without a name, for it asks for names"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_shown_one_a_line_with_why_they_stand_still() {
        let feed = |name: &str, unnamed: u64, reason: Option<&str>| FeedView {
            name: name.to_owned(),
            state: "working".to_owned(),
            owner: None,
            position: 4711,
            behind: 3,
            lag_ms: 20,
            handled: 9,
            failures: 2,
            skipped: 1,
            unnamed,
            reason: reason.map(str::to_owned),
        };
        let shown = |feeds| lines(&FeedsView { epoch: 7, feeds }, Form::Table, Ink::NONE);
        let expected = "\
FEED    STATE    OWNER  POSITION  BEHIND    LAG  HANDLED  FAILED  SKIPPED  WHY
totals  working             4711       3  20 ms        9       2        1
mails   working             4711       3  20 ms        9       2        1  no relay
names   working             4711       3  20 ms        9       2        1  passed over 3 events without a name, for it asks for names";
        let feeds = vec![feed("totals", 0, None), feed("mails", 3, Some("no relay")), feed("names", 3, None)];
        assert_eq!(shown(feeds), expected);
        assert_eq!(shown(Vec::new()), "this node has subscribed to no feed");
    }
}
