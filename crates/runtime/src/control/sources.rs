//! What the control plane's loop listens to: the control store's watch and the topology log, each as one stream that
//! begins by itself, and begins again whenever it ends.
//!
//! Opening is part of the stream, so whoever waits for it can go on waiting for everything else too. Nothing is begun
//! again at once: a store that ends what it began is asked only so often.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aether_domain::Sequence;
use aether_domain::ports::{ControlStore, ControlUpdate, LogUpdate, ReadError, TopologyLog, Updates};
use aether_domain::records::{ControlKey, ControlRecord, TopologySnapshot};
use futures_util::{Stream, StreamExt as _, stream};

use super::catch_up::{PassedOver, proof_after, weigh};
use super::exchange::Input;

/// Entries read from the log at once while catching up.
pub(super) const READ_BATCH: usize = 256;
/// How long to wait before a watch or a follower that could not begin, or ended, is begun again.
const REOPEN_AFTER: Duration = Duration::from_millis(200);
/// How often a snapshot is looked for again while the stores cannot be read. Without one the log is read from its start.
const TRIES_MAX: u32 = 5;

/// Everything the watch says, without end.
pub(crate) fn watching(control: Arc<dyn ControlStore>) -> impl Stream<Item = ControlUpdate> {
    stream::unfold((control, Watch::Due), |(control, mut state)| async {
        loop {
            state = match state {
                Watch::Ended => {
                    tokio::time::sleep(REOPEN_AFTER).await;
                    Watch::Due
                }
                Watch::Due => match control.watch().await {
                    Ok(watch) => Watch::Open(watch),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the control watch cannot begin");
                        Watch::Ended
                    }
                },
                Watch::Open(mut watch) => match watch.next().await {
                    Some(update) => return Some((update, (control, Watch::Open(watch)))),
                    None => return Some((ControlUpdate::Interrupted, (control, Watch::Ended))),
                },
            };
        }
    })
}

enum Watch {
    Due,
    Open(Updates<ControlUpdate>),
    Ended,
}

/// Every entry of the log from the first one on, with [`Input::LogCaughtUp`] where the log ended when this began. It
/// ends only behind something that cannot be understood. If there is a snapshot of the fold that the log bears out, it
/// comes first and stands for the entries before it.
pub(super) fn following(control: Arc<dyn ControlStore>, log: Arc<dyn TopologyLog>) -> impl Stream<Item = Input> {
    let state = Follow { control, log, at: Sequence::ZERO, stage: FollowStage::Looking { tries_left: TRIES_MAX } };
    stream::unfold(Some(state), |state| async {
        let mut state = state?;
        let input = state.next().await;
        let ends = matches!(input, Input::Log(LogUpdate::Corrupt { .. }));
        Some((input, (!ends).then_some(state)))
    })
}

struct Follow {
    control: Arc<dyn ControlStore>,
    log: Arc<dyn TopologyLog>,
    /// The last entry told.
    at: Sequence,
    stage: FollowStage,
}

enum FollowStage {
    /// Looking for a snapshot.
    Looking {
        tries_left: u32,
    },
    Reading,
    Read(VecDeque<aether_domain::records::StoredEntry>),
    Due,
    Open(Updates<LogUpdate>),
}

impl Follow {
    async fn next(&mut self) -> Input {
        loop {
            match &mut self.stage {
                FollowStage::Looking { tries_left } => {
                    let tries_left = tries_left.checked_sub(1);
                    match (self.look().await, tries_left) {
                        (Err(error), Some(tries_left)) => {
                            tracing::debug!(error = &error as &dyn std::error::Error, "no snapshot can be read yet");
                            self.stage = FollowStage::Looking { tries_left };
                            tokio::time::sleep(REOPEN_AFTER).await;
                        }
                        (looked, _) => {
                            self.stage = FollowStage::Reading;
                            if let Ok(Some(input)) = looked {
                                return input;
                            }
                        }
                    }
                }
                FollowStage::Reading => match self.log.read(self.at, READ_BATCH).await {
                    Ok(entries) if entries.is_empty() => {
                        self.stage = FollowStage::Due;
                        return Input::LogCaughtUp;
                    }
                    Ok(entries) => self.stage = FollowStage::Read(entries.into()),
                    Err(ReadError::Corrupt { sequence, reason }) => {
                        return Input::Log(LogUpdate::Corrupt { sequence: Sequence(sequence), reason });
                    }
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the topology log cannot be read yet");
                        tokio::time::sleep(REOPEN_AFTER).await;
                    }
                },
                FollowStage::Read(entries) => match entries.pop_front() {
                    Some(stored) => return self.told(LogUpdate::Entry(stored)),
                    None => self.stage = FollowStage::Reading,
                },
                FollowStage::Due => match self.log.follow(self.at).await {
                    Ok(follow) => self.stage = FollowStage::Open(follow),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the topology log cannot be followed");
                        tokio::time::sleep(REOPEN_AFTER).await;
                    }
                },
                FollowStage::Open(follow) => {
                    if let Some(update) = follow.next().await {
                        return self.told(update);
                    }
                    self.stage = FollowStage::Due;
                    tokio::time::sleep(REOPEN_AFTER).await;
                }
            }
        }
    }

    /// What there is to be told of a snapshot; nothing, if there is none.
    async fn look(&mut self) -> Result<Option<Input>, ReadError> {
        let found = match self.control.read(&ControlKey::TopologySnapshot).await {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => stored.record,
            Err(ReadError::Corrupt { reason, .. }) => {
                return Ok(Some(Input::SnapshotPassedOver(PassedOver::Unreadable { reason })));
            }
            Err(error) => return Err(error),
        };
        let ControlRecord::Snapshot(TopologySnapshot { topology, .. }) = found else { return Ok(None) };
        let shown = match self.log.read(proof_after(&topology), 1).await {
            Ok(shown) => shown,
            // The log says so itself when it is read.
            Err(ReadError::Corrupt { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Some(match weigh(&topology, &shown) {
            Ok(()) => {
                self.at = topology.at().sequence;
                Input::Snapshot(topology)
            }
            Err(why) => Input::SnapshotPassedOver(why),
        }))
    }

    fn told(&mut self, update: LogUpdate) -> Input {
        if let LogUpdate::Entry(stored) = &update {
            self.at = self.at.max(stored.at.sequence);
        }
        Input::Log(update)
    }
}
