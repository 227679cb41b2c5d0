//! The log as it grows, from whichever node tells it: each entry once.

use std::io::BufReader;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Again, ENTRIES_FIRST, Known};
use crate::model::Entry;
use crate::sse;
use crate::state::Told;
use crate::text::Text;

/// How long a node may say nothing: it shows every 15 s that it is there.
const SILENT_MAX: Duration = Duration::from_secs(40);
/// How long to wait before somebody is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The log is told up to this entry of this cluster.
#[derive(Default)]
struct Upto {
    cluster: Text,
    epoch: Option<u64>,
}

/// Tells the entries of the log, for as long as somebody listens.
pub(super) fn follow(known: &Mutex<Known>, tell: &SyncSender<Told>, again: &Again) {
    let mut upto = Upto::default();
    let mut turn = 0;
    loop {
        let (url, cluster) = {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.urls.get(turn % known.urls.len().max(1)).cloned(), known.cluster.clone())
        };
        if cluster != upto.cluster {
            upto = Upto { cluster, epoch: None };
        }
        if let Some(url) = url {
            match read(&url, &mut upto, tell, again) {
                Ok(()) => return,
                // The next one, then; the one that answers is the first again, unless it does not tell.
                Err(had) => turn = if had { 0 } else { turn + 1 },
            }
        }
        std::thread::sleep(AGAIN_AFTER);
    }
}

/// Reads one node's stream until it ends; answers then whether anything came of it. It ends well if nobody listens any more.
fn read(url: &str, upto: &mut Upto, tell: &SyncSender<Told>, again: &Again) -> Result<(), bool> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let config = config.timeout_connect(Some(Duration::from_secs(2))).timeout_per_read(Some(SILENT_MAX));
    let agent: ureq::Agent = config.build().into();
    let since = match upto.epoch {
        Some(epoch) => epoch,
        None => end(&agent, url).ok_or(false)?.saturating_sub(ENTRIES_FIRST),
    };
    let asked = agent.get(format!("{url}/v1/events")).header("accept", "text/event-stream");
    let reply = asked.header("last-event-id", since.to_string()).call().map_err(|_| false)?;
    if !reply.status().is_success() {
        return Err(false);
    }
    let mut stream = BufReader::new(reply.into_body().into_reader());
    let mut had = false;
    while let Ok(Some(message)) = sse::next(&mut stream) {
        if message.event != "topology" {
            continue;
        }
        let Ok(entry) = serde_json::from_str::<Entry>(&message.data) else { return Err(had) };
        had = true;
        if upto.epoch.is_none_or(|epoch| entry.epoch > epoch) {
            upto.epoch = Some(entry.epoch);
            if tell.send(Told::Entries(vec![entry])).is_err() {
                return Ok(());
            }
            again.now();
        }
    }
    Err(had)
}

/// The last entry that the node has applied.
fn end(agent: &ureq::Agent, url: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Events {
        epoch: u64,
    }
    let request = agent.get(format!("{url}/v1/events?since=0&limit=0")).config();
    let mut reply = request.timeout_global(Some(super::ask::LIMIT)).build().call().ok()?;
    serde_json::from_str::<Events>(&reply.body_mut().read_to_string().ok()?).ok().map(|page| page.epoch)
}
