//! Pages of nodes, asked for: of the first node that answers, and then of that one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;

use super::args::{Global, Output};
use super::ink::Ink;
use super::{Usage, cluster_file, out};

/// How long a node may take to answer, if there is no other to be asked.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take if there is.
const ASK_LIMIT_EACH: Duration = Duration::from_secs(2);
/// The most bytes of a page.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How something is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Table,
    /// For people, everything.
    Wide,
    /// For programs.
    Json,
}

impl Global {
    /// How to show what a command shows that is no check.
    ///
    /// # Errors
    /// [`Usage`]: that form is for checks only.
    pub(super) fn form(&self) -> Result<Form, Usage> {
        match self.output {
            Output::Table => Ok(Form::Table),
            Output::Wide => Ok(Form::Wide),
            Output::Json => Ok(Form::Json),
            Output::Nagios | Output::Prometheus => {
                Err(Usage("that form is for `aether check`; use -o table, json or wide".to_owned()))
            }
        }
    }

    /// The colours there are.
    pub(super) fn ink(&self) -> Ink {
        Ink::of_process(self.no_color)
    }
}

/// The nodes that may be asked.
#[derive(Debug)]
pub(super) struct Nodes {
    urls: Vec<String>,
    /// Where their URLs are from, for whoever wonders.
    place: String,
    /// Which of them has answered last.
    answered: AtomicUsize,
}

/// What a node answers on a page.
#[derive(Debug)]
pub(super) struct Page {
    /// Its admin URL.
    pub(super) url: String,
    /// The page.
    pub(super) body: String,
}

impl Page {
    /// What it says, if it is one of a node.
    pub(super) fn view<V: DeserializeOwned>(&self) -> anyhow::Result<V> {
        let what = || format!("{} does not answer as a node does; give the URL that a node has announced", self.url);
        serde_json::from_str(&self.body).with_context(what)
    }
}

/// Why there is no page.
enum NoPage {
    /// This node does not answer, or not yet; another may.
    Silent(anyhow::Error),
    /// A node has answered, and any other would say the same.
    Refused(anyhow::Error),
}

impl Nodes {
    /// Those that the command line, the environment or the `cluster-up` below this folder names.
    ///
    /// # Errors
    /// [`Usage`]: there is none.
    pub(super) fn of(global: &Global) -> anyhow::Result<Self> {
        let told: Vec<_> = global.url.iter().map(|url| url.trim()).filter(|url| !url.is_empty()).collect();
        let (urls, place) = if told.is_empty() {
            let found = cluster_file::find()?;
            let urls = found.map(|found| found.nodes.into_iter().map(|node| node.admin_url).collect::<Vec<_>>());
            (urls.unwrap_or_default(), format!(" ({} names it)", cluster_file::PATH))
        } else {
            (told.into_iter().map(str::to_owned).collect(), String::new())
        };
        let urls: Vec<_> = urls.into_iter().filter(|url| !url.is_empty()).collect();
        if urls.is_empty() {
            let cure = "say where a node's admin pages are, with --url or AETHER_ADMIN_URL: its log says so, or the file \
                        that admin.announce names";
            return Err(Usage(cure.to_owned()).into());
        }
        Ok(Self { urls, place, answered: AtomicUsize::new(0) })
    }

    /// One page, such as `/v1/cluster`.
    ///
    /// # Errors
    /// No node answers, or one says why there is no such page.
    pub(super) async fn page(&self, path: &str) -> anyhow::Result<Page> {
        let (mut silent, first) = (None, self.answered.load(Ordering::Relaxed));
        for nth in (0..self.urls.len()).map(|nth| (first + nth) % self.urls.len()) {
            let url = self.urls[nth].trim_end_matches('/').to_owned();
            let asked = format!("{url}{path}");
            let limit = if self.urls.len() == 1 { ASK_LIMIT } else { ASK_LIMIT_EACH };
            let asking = tokio::task::spawn_blocking(move || ask(&asked, limit));
            match asking.await.context("asking was interrupted")? {
                Ok(body) => {
                    self.answered.store(nth, Ordering::Relaxed);
                    return Ok(Page { url, body });
                }
                Err(NoPage::Refused(error)) => return Err(error),
                Err(NoPage::Silent(error)) => silent = silent.or(Some(error)),
            }
        }
        let error = silent.unwrap_or_else(|| anyhow!("there is no node to ask"));
        match self.urls.len() {
            1 => bail!("{error:#}{}", self.place),
            all => bail!("none of {all} nodes answers{}; the first: {error:#}", self.place),
        }
    }

    /// One page, understood.
    ///
    /// # Errors
    /// As [`Self::page`], or it is no page of a node.
    pub(super) async fn view<V: DeserializeOwned>(&self, path: &str) -> anyhow::Result<V> {
        self.page(path).await?.view()
    }

    /// Where to ask for what goes on: the node that answered last, then each of the others.
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        let first = self.answered.load(Ordering::Relaxed);
        (0..self.urls.len()).map(move |nth| self.urls[(first + nth) % self.urls.len()].trim_end_matches('/'))
    }
}

/// Shows one page: as the node answers it, or as `lines` makes it readable.
pub(super) async fn show<V: DeserializeOwned>(
    global: &Global,
    path: &str,
    lines: impl FnOnce(&V, Form, Ink) -> String,
) -> anyhow::Result<()> {
    let form = global.form()?;
    let page = Nodes::of(global)?.page(path).await?;
    match form {
        Form::Json => out::line(page.body.trim_end()),
        Form::Table | Form::Wide => out::line(lines(&page.view()?, form, global.ink())),
    }
    Ok(())
}

/// The most characters of what something that is no node says instead of a page.
#[cfg(feature = "nats")]
const WORDS_MAX: usize = 200;

/// A page of something that is no node, as it is.
///
/// # Errors
/// There is none, with the reason.
#[cfg(feature = "nats")]
pub(super) async fn other_page(url: String, limit: Duration) -> Result<String, String> {
    let asking = tokio::task::spawn_blocking(move || ask(&url, limit));
    match asking.await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(NoPage::Silent(error) | NoPage::Refused(error))) => Err(beginning(&error.root_cause().to_string())),
        Err(error) => Err(error.to_string()),
    }
}

/// The first words of a text that may be anything.
#[cfg(feature = "nats")]
fn beginning(text: &str) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn ask(url: &str, limit: Duration) -> Result<String, NoPage> {
    let config = ureq::Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).proxy(None);
    let agent: ureq::Agent = config.build().into();
    let reply = agent.get(url).call();
    let silent = || format!("no answer from {url}; is the node running, and is this its admin URL?");
    let mut reply = reply.with_context(silent).map_err(NoPage::Silent)?;
    let body = reply.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
    let body = body.with_context(|| format!("the answer of {url} ended early")).map_err(NoPage::Silent)?;
    if reply.status().is_success() {
        return Ok(body);
    }
    let error = anyhow!("{url} answered {}: {}", reply.status(), body.trim_end());
    Err(if reply.status().is_server_error() { NoPage::Silent(error) } else { NoPage::Refused(error) })
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_page_is_not_said_in_full() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/varz", listener.local_addr().expect("bound"));
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            assert!(stream.read(&mut [0; 4096]).expect("a request") > 0);
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("sent");
            stream.write_all("é".repeat(50_000).as_bytes()).expect("sent");
        });
        let said = other_page(url.clone(), ASK_LIMIT).await.expect_err("no page");
        serving.join().expect("served");
        assert!(said.starts_with(&format!("{url} answered 404")) && said.ends_with("é…"), "{said}");
        assert_eq!(said.chars().count(), WORDS_MAX + 1);
    }
}
