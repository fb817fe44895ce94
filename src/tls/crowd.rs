//! Handshakes under way: how many, and whose.
//!
//! Whoever connects and says nothing costs the node a socket until he is cut off. There is room for a fixed number of
//! such clients. When it is full, a newcomer takes the place of the oldest handshake of the address that has the most of them:
//! a flood from few addresses displaces itself alone, and one from very many has to be faster than a handshake
//! takes, which is a few of the network's round trips, to displace an honest client. Turning newcomers away or letting
//! them wait would let a flood that costs its sender nothing stop everybody.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// The places of handshakes under way. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    room: usize,
    // A std mutex: it is held for a look at a small table and never across an await.
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// In the order of arrival.
    taken: BTreeMap<u64, (IpAddr, CancellationToken)>,
    by_network: HashMap<IpAddr, usize>,
}

/// A place. It is given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    displaced: CancellationToken,
    crowd: Crowd,
}

impl Crowd {
    /// Places for `room` handshakes.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            places: Arc::default(),
        }
    }

    /// Gives a client from `address` a place.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let network = network(address);
        let displaced = CancellationToken::new();
        let mut places = self.lock();
        if places.taken.len() >= self.room {
            places.displace_one();
        }
        let number = places.next;
        places.next = number.wrapping_add(1);
        places.taken.insert(number, (network, displaced.clone()));
        *places.by_network.entry(network).or_default() += 1;
        drop(places);
        Place {
            number,
            displaced,
            crowd: self.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        // Nothing in here panics half-way.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn displace_one(&mut self) {
        let Some(most) = self.by_network.values().copied().max() else {
            return;
        };
        let oldest = self
            .taken
            .iter()
            .find(|(_, (network, _))| self.by_network.get(network) == Some(&most))
            .map(|(number, _)| *number);
        if let Some((_, displaced)) = oldest.and_then(|number| self.remove(number)) {
            displaced.cancel();
        }
    }

    fn remove(&mut self, number: u64) -> Option<(IpAddr, CancellationToken)> {
        let (network, displaced) = self.taken.remove(&number)?;
        if let Some(count) = self.by_network.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
        Some((network, displaced))
    }
}

impl Place {
    /// Returns when somebody else has been given the place.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.number);
    }
}

/// Whom an address stands for: an IPv6 client has a /64 of its own.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn gone(places: &[Place]) -> Vec<bool> {
        places
            .iter()
            .map(|place| place.displaced.is_cancelled())
            .collect()
    }

    #[test]
    fn a_flood_displaces_itself() {
        let crowd = Crowd::new(4);
        let honest = crowd.enter(ip("10.0.0.1"));
        let flood: Vec<Place> = (0..6).map(|_| crowd.enter(ip("10.0.0.2"))).collect();
        assert_eq!(gone(&flood), [true, true, true, false, false, false]);
        let late = crowd.enter(ip("10.0.0.3"));
        assert_eq!(gone(&flood), [true, true, true, true, false, false]);
        assert_eq!(gone(&[honest, late]), [false, false]);
    }

    #[test]
    fn among_equals_the_oldest_goes() {
        let crowd = Crowd::new(2);
        let places: Vec<Place> = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|address| crowd.enter(ip(address)))
            .into();
        assert_eq!(gone(&places), [true, false, false]);
    }

    #[test]
    fn a_place_given_back_is_free() {
        let crowd = Crowd::new(1);
        drop(crowd.enter(ip("10.0.0.1")));
        let second = crowd.enter(ip("10.0.0.1"));
        assert!(!second.displaced.is_cancelled());
        drop(second);
        let places = crowd.lock();
        assert!(places.taken.is_empty() && places.by_network.is_empty());
    }

    #[test]
    fn a_network_is_one_client() {
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::2:1")));
        assert_ne!(network(ip("2001:db8:0:1::1")), network(ip("2001:db8::1")));
        assert_eq!(network(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
