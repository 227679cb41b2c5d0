//! What nodes have stored of themselves: their records, and the two ends of the topology log.

use std::error::Error as _;

use aether_domain::cluster::ClusterEvent;
use aether_domain::records::{ControlKey, ControlRecord, Format};
use aether_domain::topology::TopologyEvent;
use aether_domain::{Epoch, NodeId, WallTime};
use async_nats::jetstream::message::StreamMessage;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{Asking, LogSeen, MemberSeen, Seen, Unseen};
use crate::read::{self, Wanted, checksum_of};
use crate::wire::{decode_control, decode_entry, format_of};

/// The most records that are read: as many nodes as a cluster may have.
const MEMBERS_MAX: usize = 1024;

/// How many of them are asked for at once.
const IN_FLIGHT: usize = 16;

impl Asking {
    pub(super) async fn members(&self, format_max: u8) -> Seen<Vec<MemberSeen>> {
        let stream = self.names.control_stream();
        let filter = json!({ "subjects_filter": self.names.control_subject_of("node.*") });
        let answer = self.ask(&format!("STREAM.INFO.{stream}"), &filter).await?;
        let subjects = answer.get("state").and_then(|state| state["subjects"].as_object());
        let subjects: Vec<_> = subjects.into_iter().flat_map(|subjects| subjects.keys().cloned()).collect();
        let ids = subjects.iter().filter_map(|subject| match self.names.control_key_of(subject) {
            Some(ControlKey::Member(id)) => Some(id),
            _ => None,
        });
        let mut members = Vec::new();
        let mut reading = stream::iter(ids.take(MEMBERS_MAX)).map(|id| self.member(id, format_max)).buffered(IN_FLIGHT);
        while let Some(member) = reading.next().await {
            members.extend(member?);
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(members)
    }

    async fn member(&self, id: NodeId, format_max: u8) -> Seen<Option<MemberSeen>> {
        let key = ControlKey::Member(id.clone());
        let subject = self.names.control_subject(&key);
        let Some(message) = self.get(&self.names.control_stream(), Wanted::LastOf(&subject)).await? else {
            return Ok(None);
        };
        let decoded = decode_control(&key, &message.payload, checksum_of(Some(&message.headers)), Format(format_max));
        let record = match decoded {
            Ok(ControlRecord::Member(record)) => Ok(Box::new(record)),
            Ok(_) => Err("it is no node's record".to_owned()),
            Err(fault) => Err(fault.to_string()),
        };
        Ok(Some(MemberSeen { id: id.to_string(), record, written: written(&message) }))
    }

    pub(super) async fn log(&self, format_max: u8) -> Seen<LogSeen> {
        let (stream, subject) = (self.names.topology_stream(), self.names.topology_subject());
        let Some(last) = self.get(&stream, Wanted::LastOf(&subject)).await? else { return Ok(LogSeen::default()) };
        let (epoch, format) = (Epoch(last.sequence), Some(format_of(&last.payload)));
        let Some(first) = self.get(&stream, Wanted::At(1)).await? else {
            return Err(Unseen::Unreadable("its first entry is gone".to_owned()));
        };
        let entry = match decode_entry(&first.payload, checksum_of(Some(&first.headers)), Format(format_max)) {
            Ok(entry) => entry,
            // A newer build has founded it: that it is newer says it all.
            Err(_) if format_of(&first.payload).0 > format_max => return Ok(LogSeen { founded: None, epoch, format }),
            Err(fault) => return Err(Unseen::Unreadable(format!("its first entry: {fault}"))),
        };
        let founded = entry.events.iter().find_map(|event| match event {
            TopologyEvent::Cluster(ClusterEvent::ClusterCreated { settings, .. }) => Some(*settings),
            _ => None,
        });
        Ok(LogSeen { founded, epoch, format })
    }

    async fn get(&self, stream: &str, wanted: Wanted<'_>) -> Seen<Option<StreamMessage>> {
        let request = format!("STREAM.MSG.GET.{stream}");
        self.may(&request)?;
        read::get_over(&self.js, stream, wanted).await.map_err(|fault| match fault.source() {
            Some(cause) => Unseen::Silent(cause.to_string()),
            None => Unseen::Silent(fault.to_string()),
        })
    }
}

fn written(message: &StreamMessage) -> WallTime {
    let millis = message.time.unix_timestamp_nanos() / 1_000_000;
    WallTime { unix_millis: u64::try_from(millis).unwrap_or(0) }
}
