//! Requests per address and window (api.md, "Limits and headers").
//!
//! A window is fixed: it begins with an address's first request and all that remains is given back at its end. That is
//! what the `RateLimit-…` headers of api.md describe; the well-kept crates limit by leaky bucket, whose state those
//! headers cannot tell, and their tables of addresses grow without bound.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::client_address::is_in;
use super::error::{ApiError, Code};

/// Parts of the table, each behind a lock of its own.
const SHARDS: usize = 16;
/// Addresses remembered per part. 16 × 8,192 addresses take about 6 MiB.
const ADDRESSES: usize = 8192;

/// The limit that a listener sets to each address.
#[derive(Debug)]
pub struct RateLimit {
    requests: u32,
    window: Duration,
    exempt: Vec<IpNet>,
    policy: HeaderValue,
    hasher: RandomState,
    /// Std mutexes: held for a look-up, never across an await.
    shards: Vec<Mutex<HashMap<IpAddr, Window>>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends: Duration,
    used: u32,
}

/// Where an address stands after a request was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) allowed: bool,
    limit: u32,
    remaining: u32,
    reset_seconds: u64,
    window_seconds: u64,
    policy: HeaderValue,
}

impl RateLimit {
    /// Allows `requests` per `window` and address, except to `exempt` ones.
    pub fn new(requests: u32, window: Duration, exempt: Vec<IpNet>) -> Self {
        let policy = format!("{requests};w={}", window.as_secs());
        Self {
            requests,
            window,
            exempt,
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("")),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a request of `address` at the monotonic time `now`. `None`: the address is not limited.
    pub(super) fn count(&self, address: IpAddr, now: Duration) -> Option<Standing> {
        if is_in(address, &self.exempt) {
            return None;
        }
        let address = counted_as(address);
        let shard = usize::try_from(self.hasher.hash_one(address)).unwrap_or(0) % SHARDS;
        let mut windows = self
            .shards
            .get(shard)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= ADDRESSES && !windows.contains_key(&address) {
            make_room(&mut windows, now);
        }
        let window = windows.entry(address).or_insert(Window {
            ends: now + self.window,
            used: 0,
        });
        if window.ends <= now {
            *window = Window {
                ends: now + self.window,
                used: 0,
            };
        }
        let allowed = window.used < self.requests;
        window.used = window.used.saturating_add(1);
        Some(Standing {
            allowed,
            limit: self.requests,
            remaining: self.requests.saturating_sub(window.used),
            reset_seconds: rounded_up(window.ends.saturating_sub(now)),
            window_seconds: self.window.as_secs(),
            policy: self.policy.clone(),
        })
    }
}

impl Standing {
    /// What the client is told when it may not.
    pub(super) fn refusal(&self) -> Option<ApiError> {
        let message = || {
            let seconds = self.window_seconds;
            format!("Too many requests, please try again after {seconds} seconds")
        };
        (!self.allowed).then(|| ApiError::new(Code::RateLimitExceeded, message()))
    }

    /// The headers that every answer carries, and `Retry-After` on a refusal.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-policy", self.policy.clone());
        headers.insert("ratelimit-limit", self.limit.into());
        headers.insert("ratelimit-remaining", self.remaining.into());
        headers.insert("ratelimit-reset", self.reset_seconds.into());
        if !self.allowed {
            headers.insert(http::header::RETRY_AFTER, self.reset_seconds.into());
        }
    }
}

/// Whole seconds, so that who waits as long as it is told has waited long enough.
fn rounded_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// An IPv6 client owns a /64 at least and would otherwise have as many windows as it likes.
fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// Forgets windows that ended, and when none did, those that end first: whoever floods the table with addresses
/// gains nothing but new windows, and the table stays bounded.
fn make_room(windows: &mut HashMap<IpAddr, Window>, now: Duration) {
    windows.retain(|_, window| window.ends > now);
    if windows.len() < ADDRESSES {
        return;
    }
    let mut ends: Vec<Duration> = windows.values().map(|window| window.ends).collect();
    let (_, eighth, _) = ends.select_nth_unstable(ADDRESSES / 8);
    let eighth = *eighth;
    windows.retain(|_, window| window.ends > eighth);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_used_up_and_given_back() {
        let limit = RateLimit::new(2, WINDOW, Vec::new());
        let at = |seconds| {
            limit
                .count(address("1.2.3.4"), Duration::from_secs(seconds))
                .unwrap()
        };
        let first = at(0);
        assert_eq!(
            (first.allowed, first.remaining, first.reset_seconds),
            (true, 1, 60)
        );
        assert_eq!(at(10).remaining, 0);
        let refused = at(30);
        assert_eq!(
            (refused.allowed, refused.remaining, refused.reset_seconds),
            (false, 0, 30)
        );
        assert!(at(60).allowed);
        assert!(
            limit
                .count(address("1.2.3.5"), Duration::ZERO)
                .unwrap()
                .allowed
        );
    }

    #[test]
    fn headers_tell_the_standing() {
        let limit = RateLimit::new(1, WINDOW, Vec::new());
        let mut headers = HeaderMap::new();
        let standing = limit.count(address("1.2.3.4"), Duration::ZERO).unwrap();
        standing.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "1;w=60");
        assert_eq!(headers["ratelimit-limit"], "1");
        assert_eq!(headers["ratelimit-remaining"], "0");
        assert_eq!(headers["ratelimit-reset"], "60");
        assert!(!headers.contains_key("retry-after"));
        let mut headers = HeaderMap::new();
        let refused = limit
            .count(address("1.2.3.4"), Duration::from_secs(20))
            .unwrap();
        refused.write(&mut headers);
        assert_eq!(headers["retry-after"], "40");
    }

    #[test]
    fn an_ipv6_client_counts_by_its_network_and_exempt_ones_do_not() {
        let exempt = vec!["10.0.0.0/8".parse().unwrap()];
        let limit = RateLimit::new(1, WINDOW, exempt);
        let count = |text| limit.count(address(text), Duration::ZERO);
        assert!(count("2001:db8::1").unwrap().allowed);
        assert!(!count("2001:db8::ffff:2").unwrap().allowed);
        assert!(count("2001:db8:0:1::1").unwrap().allowed);
        assert_eq!(count("10.9.9.9"), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let limit = RateLimit::new(1, WINDOW, Vec::new());
        for number in 0..400_000_u32 {
            let address = IpAddr::V4(number.into());
            limit
                .count(address, Duration::from_millis(u64::from(number) / 100))
                .unwrap();
        }
        let remembered: usize = limit
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().len())
            .sum();
        assert!(remembered <= SHARDS * ADDRESSES, "{remembered}");
        assert!(remembered > SHARDS * ADDRESSES / 2, "{remembered}");
    }
}
