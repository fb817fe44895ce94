//! The keys: what there is, and new ones.

use askama::Template;

use super::parts::{Moment, State, Tone, grouped};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::desk::{KeyEntry, ResealingStatus};

#[derive(Template)]
#[template(path = "keys.html")]
struct Keys {
    shell: Shell,
    resealing: Resealing,
    ring: Vec<RingKey>,
    node_keys: Vec<NodeKey>,
}

/// How far older shares are sealed under the newest key.
struct Resealing {
    state: State,
    text: String,
    percent: Option<u64>,
}

struct RingKey {
    purpose: &'static str,
    version: u32,
    state: State,
    made: Moment,
}

struct NodeKey {
    version: u32,
    state: State,
    made: Moment,
    public_key: String,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let (keys, node) = (rooms.desk.keys().await?, rooms.desk.status().await);
    let (node_keys, ring): (Vec<&KeyEntry>, Vec<_>) =
        keys.iter().partition(|key| key.public_key.is_some());
    let newest_first = ring.into_iter().rev();
    Html::of(&Keys {
        shell: Shell::of(Page::Keys, visit),
        resealing: resealing(node.resealing.as_ref()),
        ring: newest_first.map(|key| ring_key(key, visit.now)).collect(),
        node_keys: node_keys
            .into_iter()
            .rev()
            .map(|key| node_key(key, visit.now))
            .collect(),
    })
}

fn ring_key(key: &KeyEntry, now: Timestamp) -> RingKey {
    let active = key.state == "active";
    RingKey {
        purpose: match key.purpose.as_str() {
            "share" => "Seals shares",
            "index" => "Seals user ids and public keys",
            "node-wrap" => "Seals the node’s own keys",
            _ => "Another purpose",
        },
        version: key.version,
        state: if active {
            State::new(Tone::Good, "Seals and opens")
        } else {
            State::new(Tone::Idle, "Opens what is older")
        },
        made: Moment::told(&key.created_at, now),
    }
}

fn node_key(key: &KeyEntry, now: Timestamp) -> NodeKey {
    NodeKey {
        version: key.version,
        state: if key.state == "active" {
            State::new(Tone::Good, "In use")
        } else {
            State::new(Tone::Idle, "Former")
        },
        made: Moment::told(&key.created_at, now),
        public_key: key.public_key.clone().unwrap_or_default(),
    }
}

fn resealing(status: Option<&ResealingStatus>) -> Resealing {
    let Some(status) = status else {
        return Resealing {
            state: State::new(Tone::Good, "All done"),
            text: "Every share is sealed under the newest key.".to_owned(),
            percent: None,
        };
    };
    let (done, total) = (status.done.min(status.total), status.total);
    Resealing {
        state: State::new(Tone::Busy, "Under way"),
        text: format!(
            "{} of about {} wallets are sealed under share key {}. The node serves meanwhile, and a restart goes on where it was.",
            grouped(done),
            grouped(total),
            status.key_version
        ),
        percent: done.saturating_mul(100).checked_div(total),
    }
}
