//! What the node keeps, counted; and whether a user has shares.

use askama::Template;

use super::chart::Chart;
use super::parts::{Bar, Moment, State, Tone, counted, grouped};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit, growth};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::desk::{NodeStatus, SharesOf, SharesOn, UserLookUp, WalletLookUp};

#[derive(Template)]
#[template(path = "shares.html")]
struct Shares {
    shell: Shell,
    rows: Vec<Count>,
    total: String,
    nothing: &'static str,
    providers: Vec<Choice>,
    found: Option<Found>,
    growth: Option<Chart>,
}

struct Choice {
    name: String,
    chosen: bool,
}

/// What there is of a user.
struct Found {
    provider: String,
    registered: Option<Moment>,
    wallets: Vec<Wallet>,
}

struct Wallet {
    curve: String,
    state: State,
    registered: Moment,
    reshared: Option<Moment>,
    key: String,
}

/// The shares of a provider's users on a curve.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) provider: String,
    pub(super) curve: String,
    pub(super) shares: String,
    /// How many more there are than a month ago; nothing when that is not known.
    pub(super) grown: String,
    pub(super) bar: Bar,
}

/// The page, with what was found when somebody was looked for.
pub(super) async fn show(
    found: Option<&UserLookUp>,
    rooms: &Rooms,
    visit: &Visit,
) -> Result<Html, PageError> {
    let node = rooms.desk.status().await;
    // A database that does not answer is told of in the place of its counts.
    let grown = rooms.desk.growth(growth::DAYS).await.unwrap_or_default();
    let all = all_shares(&node);
    let chosen = found.map(|found| found.provider.as_str());
    let choice = |name: String| Choice {
        chosen: chosen == Some(name.as_str()),
        name,
    };
    Html::of(&Shares {
        shell: Shell::of(Page::Shares, visit),
        rows: counts(&node.key_shares, &grown, visit.now),
        total: all.map_or_else(String::new, |all| counted(all, "share")),
        nothing: match node.database_error {
            None => "No key shares yet",
            Some(_) => "The database does not answer",
        },
        providers: rooms.desk.providers().into_iter().map(choice).collect(),
        found: found.map(|found| self::found(found, visit.now)),
        growth: growth::chart(&grown, all, visit.now),
    })
}

fn found(found: &UserLookUp, now: Timestamp) -> Found {
    let registered = found.registered_at.as_ref();
    Found {
        provider: found.provider.clone(),
        registered: registered.map(|at| Moment::told(at, now)),
        wallets: found
            .wallets
            .iter()
            .map(|wallet| self::wallet(wallet, now))
            .collect(),
    }
}

fn wallet(wallet: &WalletLookUp, now: Timestamp) -> Wallet {
    let reshared = wallet.reshared_at.as_ref();
    Wallet {
        curve: wallet.curve.clone(),
        state: if wallet.share {
            State::new(Tone::Good, "There is a share")
        } else {
            State::new(Tone::Warn, "No share")
        },
        registered: Moment::told(&wallet.registered_at, now),
        reshared: reshared.map(|at| Moment::told(at, now)),
        key: wallet
            .key_version
            .map(|version| version.to_string())
            .unwrap_or_default(),
    }
}

/// All of them; nothing when the database does not answer.
pub(super) fn all_shares(node: &NodeStatus) -> Option<u64> {
    let counts = node.key_shares.iter().map(|count| count.shares);
    node.database_error.is_none().then(|| counts.sum())
}

/// The counts, each with its part of all and its growth.
pub(super) fn counts(shares: &[SharesOf], grown: &[SharesOn], now: Timestamp) -> Vec<Count> {
    let all: u64 = shares.iter().map(|count| count.shares).sum();
    shares
        .iter()
        .map(|count| Count {
            provider: count.provider.clone(),
            curve: count.curve.clone(),
            shares: grouped(count.shares),
            grown: growth::in_a_month(grown, count, now).unwrap_or_default(),
            bar: Bar::of(count.shares, all, Tone::Busy),
        })
        .collect()
}
