//! New keys for a node that serves.
//!
//! A new share key is made by a write as any other: it is in the database before anything is sealed under it, so whoever
//! finds a row sealed under it finds the key. In memory the ring is one value that is swapped whole. Whoever opens a row
//! asks for the ring after he has read the row; so he has its key. Whoever seals takes the ring once, and keeps it until what he
//! sealed is written: as long as somebody has an older ring, shares sealed under an older key may still be written, and the
//! pass that reseals waits. It takes moments, since nobody keeps a ring while he waits for anything but the database. So no request is
//! refused or repeated for a rotation, and in the end nothing is left under an older key.
//!
//! Another way would be to hand out a whole new node behind the requests, as a restore does. Requests under way would go on with the
//! old ring then, and meet rows that it does not open.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use rusqlite::Connection;
use tokio::sync::{Mutex as Turns, MutexGuard, Notify};

use crate::clock::Timestamp;
use crate::crypto::{CryptoError, EncryptionSecret, KeyRing, Purpose};
use crate::store::{Keychain, KeychainError, OpenKeys, Store, StoreError, Unlocked};

/// A ring, for as long as something is done with it.
#[derive(Debug)]
pub(super) struct RingInUse(Arc<KeyRing>);

impl std::ops::Deref for RingInUse {
    type Target = KeyRing;

    fn deref(&self) -> &KeyRing {
        &self.0
    }
}

/// The ring that seals now. Cheap to clone; clones change together.
#[derive(Clone, Debug)]
pub(super) struct Ring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    newest: ArcSwap<RingInUse>,
    /// Rings that were the newest. A std mutex: held for a look at a short list, never across an await.
    former: Mutex<Vec<Weak<RingInUse>>>,
    /// One rotation at a time: two rings must not take each other's place in the wrong order.
    turns: Turns<()>,
    rotated: Notify,
}

impl Ring {
    pub(super) fn new(ring: Arc<KeyRing>) -> Self {
        Self(Arc::new(Shared {
            newest: ArcSwap::from_pointee(RingInUse(ring)),
            former: Mutex::default(),
            turns: Turns::default(),
            rotated: Notify::new(),
        }))
    }

    /// The ring of now. To open a row it is asked for after the row was read; what is sealed with it is written before it is
    /// dropped.
    pub(super) fn get(&self) -> Arc<RingInUse> {
        self.0.newest.load_full()
    }

    /// The ring of now, once nobody can write anything more that an older one has sealed; `None` before that.
    pub(super) fn alone(&self) -> Option<Arc<RingInUse>> {
        // First the ring: one that is replaced after this is itself among the former ones then, and in use.
        let ring = self.get();
        let mut former = self.0.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.retain(|ring| ring.strong_count() > 0);
        former.is_empty().then_some(ring)
    }

    /// Returns after the next rotation, or the last one when nobody has waited for it.
    pub(super) async fn rotated(&self) {
        self.0.rotated.notified().await;
    }

    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turns.lock().await
    }

    /// Takes `ring` from now on, when it has a newer share key.
    pub(super) fn replace(&self, ring: KeyRing) -> Result<u32, CryptoError> {
        let known = self.get();
        let newest = ring.current_version(Purpose::Share)?;
        if newest <= known.current_version(Purpose::Share)? {
            return Ok(newest);
        }
        // Before it is replaced: from the moment on that somebody may have the new one, the old one is known to be former.
        let mut former = self.0.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.push(Arc::downgrade(&known));
        self.0.newest.store(Arc::new(RingInUse(Arc::new(ring))));
        drop(former);
        self.0.rotated.notify_one();
        Ok(newest)
    }
}

/// Changes the keys in the database, and opens them anew. The second is of what is in the database, whether the change was
/// acknowledged or not: a replica that does not answer leaves a change in place that is told as a failure.
pub(super) async fn change_keys(
    store: &Arc<Store>,
    secret: EncryptionSecret,
    now: Timestamp,
    change: impl FnOnce(&Connection, &Unlocked, Timestamp) -> Result<(), KeychainError> + Send + 'static,
) -> (Result<(), KeychainError>, Option<OpenKeys>) {
    let unlocked = match unlock(store, secret).await {
        Ok(unlocked) => Arc::new(unlocked),
        Err(error) => return (Err(error), None),
    };
    let key = unlocked.clone();
    let changed = store
        .write(move |connection| change(connection, &key, now))
        .await;
    let opened = store
        .read(|connection| Keychain(connection).open_unlocked(&unlocked))
        .await;
    match opened {
        Ok(keys) => (changed, Some(keys)),
        Err(error) => (changed.and(Err(error)), None),
    }
}

async fn unlock(store: &Store, secret: EncryptionSecret) -> Result<Unlocked, KeychainError> {
    let lock = store.read(|connection| Keychain(connection).lock()).await?;
    // A tenth of a second of one core: neither the writer nor a worker of the runtime is to be held up by it.
    let unlocked = tokio::task::spawn_blocking(move || lock.unlock(&secret));
    unlocked
        .await
        .unwrap_or(Err(KeychainError::Store(StoreError::Panicked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings() -> [KeyRing; 3] {
        let ring = |rotations| {
            let mut ring = KeyRing::generate([1; 16]).unwrap();
            for _ in 0..rotations {
                ring.rotate(Purpose::Share).unwrap();
            }
            ring
        };
        [ring(0), ring(1), ring(2)]
    }

    fn version(ring: &KeyRing) -> u32 {
        ring.current_version(Purpose::Share).unwrap()
    }

    #[test]
    fn nothing_is_alone_while_somebody_has_an_older_ring() {
        let [first, second, third] = rings();
        let ring = Ring::new(Arc::new(first));
        let sealing = ring.get();
        assert_eq!(version(&ring.alone().unwrap()), 1);
        assert_eq!(ring.replace(second).unwrap(), 2);
        assert_eq!(version(&ring.get()), 2);
        assert!(ring.alone().is_none());
        let later = ring.get();
        ring.replace(third).unwrap();
        drop(sealing);
        assert!(ring.alone().is_none());
        drop(later);
        assert_eq!(version(&ring.alone().unwrap()), 3);
    }

    #[test]
    fn an_older_ring_takes_no_place() {
        let [first, second, third] = rings();
        let ring = Ring::new(Arc::new(second));
        assert_eq!(ring.replace(first).unwrap(), 1);
        assert_eq!(version(&ring.get()), 2);
        assert!(ring.alone().is_some());
        ring.replace(third).unwrap();
        assert_eq!(version(&ring.get()), 3);
    }
}
