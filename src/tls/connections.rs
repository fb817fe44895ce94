//! Connections: how many there are at a time, and whose give way.
//!
//! Whoever keeps many connections open, and each of them barely busy, must not keep the others out. So when there is little
//! room left, a newcomer takes the place of the oldest connection of the network that has the most ([`Crowd`]), as
//! among handshakes. The one that goes may finish the request that it is about, for a moment; a part of the room is for
//! connections that are about to go, so that there are never more than were allowed. A limit for each network was
//! considered: it is too low for a proxy or a mobile operator, or too high against a dozen attackers.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::crowd::{Crowd, Place};

/// One in so many is for a connection that is about to go.
const GOING: usize = 8;
/// How long one that gives way may take for its last request. Longer than nearly all take; until it is over the room is not
/// another's.
const LAST_REQUEST: Duration = Duration::from_millis(250);

/// Room for connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    permits: Arc<Semaphore>,
    crowd: Crowd,
}

/// A connection's right to be.
#[derive(Debug)]
pub(super) struct Guest {
    place: Place,
    ends: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Room for `most` at a time. With fewer than 8 a newcomer waits until one ends.
    pub fn new(most: usize) -> Self {
        let room = most.saturating_sub(most / GOING);
        Self {
            permits: Arc::new(Semaphore::new(most)),
            crowd: Crowd::new(room),
        }
    }

    /// Waits until there is room; `None` never comes, as long as this is in use.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Lets a connection in, which ends at `stop` at the latest.
    pub(super) fn enter(
        &self,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        stop: &CancellationToken,
    ) -> Guest {
        Guest {
            place: self.crowd.enter(peer.ip()),
            ends: stop.child_token(),
            _permit: permit,
        }
    }
}

impl Guest {
    /// Tells the connection that it is to end after the request that it is about.
    pub(super) fn ends(&self) -> CancellationToken {
        self.ends.clone()
    }

    /// Serves the connection to its end, or until another one needs the place.
    pub(super) async fn stay(self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        tokio::select! {
            () = &mut connection => return,
            () = self.place.displaced() => self.ends.cancel(),
        }
        // What takes longer is cut off: otherwise those that never end would be ever more.
        let _ = timeout(LAST_REQUEST, connection).await;
    }
}
