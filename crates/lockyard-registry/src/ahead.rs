//! Ids of parts whose `writing` rows were committed ahead of need.
//!
//! A part's row commits before its first byte. Were each announced alone, every small push would
//! wait for a commit that another push could have paid for. So who needs an id announces more than
//! one, as many as were used lately, and the next ones take theirs from here. What nobody takes has
//! a lease like any other part that is being written, and the sweep ends it.

use std::time::Duration;

use lockyard_base::{BootInstant, PartId};
use lockyard_store::part;
use tokio::sync::Mutex;

use crate::{Registry, RegistryError};

/// The announced ids of one registry; the cache that its cell keeps.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Announced>);

#[derive(Debug, Default)]
struct Announced {
    ids: Vec<PartId>,
    /// How many were announced last.
    batch: usize,
    /// When that was asked for.
    since: Option<BootInstant>,
}

impl Announced {
    /// Takes an id whose lease is not half over.
    fn take(&mut self, now: BootInstant, lease: Duration) -> Option<PartId> {
        if self.since.is_none_or(|since| now.since(since) >= lease / 2) {
            // Those are left to the sweep; and who pushes so rarely needs no more than one.
            self.ids.clear();
            self.batch = 0;
        }
        self.ids.pop()
    }
}

impl Registry {
    /// A new part's id, whose row is committed; its lease has at least half of its time left.
    pub(crate) async fn announce(&self) -> Result<PartId, RegistryError> {
        let ground = self.house.ground();
        let (lease, most) = (ground.limits.writing_lease, ground.limits.parts_ahead_max);
        let ahead = self.rows.unlocked().cache::<Ahead>()?;
        // Held while announcing: those who come meanwhile are served from the same commit.
        let mut announced = ahead.0.lock().await;
        let now = ground.clock.boot();
        if let Some(id) = announced.take(now, lease) {
            return Ok(id);
        }
        let batch = (2 * announced.batch).clamp(1, most.max(1));
        let shard = PartId::random(self.rows.entropy()).as_bytes()[0];
        let ids: Vec<PartId> = (0..batch).map(|_| self.sharing(shard)).collect();
        let fresh = ids.clone();
        self.write(move |txn, rows, _| {
            let until = txn.now() + lease;
            Ok(part::insert_writing(txn, rows.registry(), &fresh, until)?)
        })
        .await?;
        *announced = Announced { ids, batch, since: Some(now) };
        announced.ids.pop().ok_or(RegistryError::Internal("a batch has at least one id"))
    }

    /// A random id that begins with a given byte: parts of one batch lie in one directory, so that
    /// they can share its sync, and in neighbouring rows.
    fn sharing(&self, shard: u8) -> PartId {
        let mut bytes = *PartId::random(self.rows.entropy()).as_bytes();
        bytes[0] = shard;
        PartId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(100);

    #[test]
    fn an_id_is_taken_until_half_of_its_lease_is_over_and_not_later() {
        let id = |n| PartId::from_bytes([n; 16]);
        let since = BootInstant::from_boot(Duration::from_secs(1000));
        let mut announced =
            Announced { ids: vec![id(1), id(2), id(3)], batch: 4, since: Some(since) };
        assert_eq!(announced.take(since, LEASE), Some(id(3)));
        let late = since + LEASE / 2;
        assert_eq!(announced.take(late - Duration::from_micros(1), LEASE), Some(id(2)));
        assert_eq!(announced.take(late, LEASE), None);
        assert!(announced.ids.is_empty());
        assert_eq!(announced.batch, 0);
        assert_eq!(Announced::default().take(since, LEASE), None);
    }
}
