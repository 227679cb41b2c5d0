//! `aether feeds`: how the feeds stand to which one node has subscribed.

use comfy_table::{CellAlignment, Table, presets};

use super::args::{Output, StatusArgs};
use super::{out, status};
use crate::admin::FeedsView;

pub(super) async fn run(args: StatusArgs) -> anyhow::Result<()> {
    let body = status::page(&args.url, "/v1/feeds").await?;
    match args.output {
        Output::Json => out::line(body.trim_end()),
        Output::Table => out::line(table(&status::view(&args.url, &body)?)),
    }
    Ok(())
}

fn table(view: &FeedsView) -> String {
    if view.feeds.is_empty() {
        return "this node has subscribed to no feed".to_owned();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["FEED", "STATE", "OWNER", "POSITION", "BEHIND", "LAG", "HANDLED", "FAILED", "SKIPPED", "WHY"]);
    for column in 3..9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for feed in &view.feeds {
        table.add_row([
            feed.name.clone(),
            feed.state.clone(),
            feed.owner.clone().unwrap_or_default(),
            feed.position.to_string(),
            feed.behind.to_string(),
            format!("{} ms", feed.lag_ms),
            feed.handled.to_string(),
            feed.failures.to_string(),
            feed.skipped.to_string(),
            feed.reason.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
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
        let shown = table(&FeedsView { epoch: 7, feeds: vec![feed("totals", None), feed("mails", Some("no relay"))] });
        let lines: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "FEED STATE OWNER POSITION BEHIND LAG HANDLED FAILED SKIPPED WHY",
                "totals working 4711 3 20 ms 9 2 1",
                "mails working 4711 3 20 ms 9 2 1 no relay",
            ]
        );
        assert_eq!(table(&FeedsView { epoch: 7, feeds: Vec::new() }), "this node has subscribed to no feed");
    }
}
