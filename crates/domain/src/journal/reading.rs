//! Reading a stream from as near as is known to be in it.
//!
//! A record refers to the one before it by place and hash. So whoever finds the very record that a known place ends with has
//! found its history, and need not read what is before.

use super::{Head, Journal, Loaded, history};
use crate::ids::{ActorAddress, Sequence, Version};
use crate::ports::ReadError;
use crate::records::{ActorSnapshot, StoredCommit};

/// How many snapshots are looked at: the store keeps two.
const SNAPSHOTS_TRIED_MAX: usize = 2;

/// The records of a stream from some place on, each following the one before, and where they end.
struct Read {
    commits: Vec<StoredCommit>,
    head: Head,
}

impl Journal {
    /// Where the stream ends now, as fresh as the store can tell without a write.
    ///
    /// It takes the record at which the stream was last seen to end, and those behind it. Of a stream that is not known
    /// here it takes the last snapshot and what is behind it, or without one every record there is.
    ///
    /// # Errors
    /// [`ReadError`]; damage in what is read is an error.
    pub async fn head(&self, stream: &ActorAddress) -> Result<Head, ReadError> {
        Ok(self.read(stream, Version(u64::MAX), true).await?.head)
    }

    /// The events behind `version`, in order, all of them, and where the stream ends. [`Version::ZERO`]: from the start.
    ///
    /// The store knows records by their places, not by versions. So it is read from where the stream was last seen to end,
    /// or else from a snapshot (whose state is read too), if that is not behind `version`; otherwise from its start, whatever
    /// `version` is. Whoever has the [`Head`] that he is at asks [`Self::replay_behind`], which reads no more than is new.
    ///
    /// # Errors
    /// [`ReadError`]; damage in what is read is an error, nothing of it is skipped.
    pub async fn replay(&self, stream: &ActorAddress, version: Version) -> Result<Loaded, ReadError> {
        Ok(self.read(stream, version, false).await?.behind(version))
    }

    /// The events behind `head`, as it was answered for this stream before, and where the stream ends: one record is read,
    /// and those behind it.
    ///
    /// # Errors
    /// As [`Self::replay`]; [`ReadError::Corrupt`] also if the record that `head` ends with is gone, for then what stands
    /// behind its version belongs to another history than what led to it: begin anew, with [`Self::load`].
    pub async fn replay_behind(&self, stream: &ActorAddress, head: Head) -> Result<Loaded, ReadError> {
        if head == Head::default() {
            return self.replay(stream, Version::ZERO).await;
        }
        // A store that lags may not have it yet.
        for fresh in [false, true] {
            if let Some(read) = self.read_from(stream, head, fresh).await? {
                return Ok(read.behind(head.version));
            }
        }
        let reason = format!("the record that version {} ended with is not there any more", head.version);
        Err(ReadError::Corrupt { sequence: head.at.sequence.0, reason })
    }

    /// The newest snapshot of that schema with every event behind it. Without one that fits, every event there is: a
    /// snapshot is only a cache, and one that cannot be read, or that the history does not go on from, is passed over.
    ///
    /// # Errors
    /// [`ReadError`] of the history.
    pub async fn load(&self, stream: &ActorAddress, schema: u32) -> Result<Loaded, ReadError> {
        match self.read_from_snapshot(stream, false, |snapshot| snapshot.schema == schema).await? {
            Some((snapshot, read)) => {
                let behind = read.behind(snapshot.version);
                Ok(Loaded { snapshot: Some(snapshot), ..behind })
            }
            None => self.replay(stream, Version::ZERO).await,
        }
    }

    /// The stream from a place on that is not behind `version`.
    async fn read(&self, stream: &ActorAddress, version: Version, fresh: bool) -> Result<Read, ReadError> {
        if let Some(known) = self.versions.head(stream).filter(|known| known.version <= version) {
            if let Some(read) = self.read_from(stream, known, fresh).await? {
                return Ok(read);
            }
            if fresh {
                self.versions.correct(stream, known);
            }
        }
        if version > Version::ZERO
            && let Some((_, read)) =
                self.read_from_snapshot(stream, fresh, |snapshot| snapshot.version <= version).await?
        {
            return Ok(read);
        }
        let commits = self.commits(stream, Sequence::ZERO, fresh).await?;
        self.checked(stream, Head::default(), commits, 0)
    }

    /// The stream from the newest snapshot on that `fits` and that its history goes on from.
    async fn read_from_snapshot(
        &self,
        stream: &ActorAddress,
        fresh: bool,
        fits: impl Fn(&ActorSnapshot) -> bool + Send,
    ) -> Result<Option<(ActorSnapshot, Read)>, ReadError> {
        let mut up_to = Sequence::MAX;
        for _ in 0..SNAPSHOTS_TRIED_MAX {
            let Ok(Some(snapshot)) = self.snapshots.load(stream, up_to).await else { break };
            let Some(before) = snapshot.at.sequence.0.checked_sub(1) else { break };
            up_to = Sequence(before);
            if fits(&snapshot)
                && let Some(read) = self.read_from(stream, snapshot.head(), fresh).await?
            {
                return Ok(Some((snapshot, read)));
            }
        }
        Ok(None)
    }

    /// The stream from the record on that `begin` ends with; nothing if another stands there, or none.
    async fn read_from(&self, stream: &ActorAddress, begin: Head, fresh: bool) -> Result<Option<Read>, ReadError> {
        let Some(before) = begin.at.sequence.0.checked_sub(1) else { return Ok(None) };
        let commits = self.commits(stream, Sequence(before), fresh).await?;
        if commits.first().map(StoredCommit::head) != Some(begin) {
            return Ok(None);
        }
        self.checked(stream, begin, commits, 1).map(Some)
    }

    async fn commits(
        &self,
        stream: &ActorAddress,
        after: Sequence,
        fresh: bool,
    ) -> Result<Vec<StoredCommit>, ReadError> {
        if fresh { self.events.read_fresh(stream, after).await } else { self.events.read(stream, after).await }
    }

    /// What was read, if all but the first `given` records follow from `begin`.
    fn checked(
        &self,
        stream: &ActorAddress,
        begin: Head,
        commits: Vec<StoredCommit>,
        given: usize,
    ) -> Result<Read, ReadError> {
        let head = history::walk(begin, &commits[given..])?;
        self.versions.note(stream, head);
        Ok(Read { commits, head })
    }
}

impl Read {
    /// Its events behind `version`.
    fn behind(self, version: Version) -> Loaded {
        Loaded { snapshot: None, events: history::events(self.commits, version), head: self.head }
    }
}

#[cfg(test)]
mod tests;
