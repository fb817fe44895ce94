//! The replica's page, and what the overview tells of it, with a Postgres that runs, differs, and is away.

use super::chromium::{Browser, LOOKS};
use super::pages::look_over;
use super::{logged_in, register, setup};
use crate::postgres::Postgres;

const REPLICA: &str = "#live-replica";

/// Has every row compared, and waits for what comes of it.
fn compare(browser: &Browser, verdict: &str) {
    browser.open("/admin/replication");
    browser.click("form[action$='/verify'] button");
    browser.wait_for("#live-job[data-ended='true']", verdict);
}

#[test]
fn a_replica_is_followed_compared_and_filled_anew() {
    let home = tempfile::tempdir().unwrap();
    let postgres = Postgres::start();
    let setup = setup(home.path()).env("KSNODE_REPLICA__URL", &postgres.url());
    let node = setup.start();
    let browser = logged_in(home.path(), &node);
    for user in 1..=3 {
        register(&browser, user);
    }
    browser.open("/admin/replication");
    browser.wait_for(REPLICA, "Has everything");
    let shown = browser.text(REPLICA);
    assert!(
        shown.contains("Postgres at 127.0.0.1") && shown.contains("0 changes"),
        "{shown}"
    );
    look_over(&browser, "replication-following");
    browser.open("/admin");
    browser.wait_for("#live-cards", "Has everything");

    compare(&browser, "Done after");
    let tables = browser.words("section[aria-labelledby='tables'] tbody");
    assert!(tables.contains("wallet 6 6 Equal"), "{tables}");
    browser.shoot("replica-equal", LOOKS[0]);
    postgres.query("DELETE FROM ksnode.wallet WHERE id = (SELECT max(id) FROM ksnode.wallet)");
    compare(&browser, "The replica is different");
    let tables = browser.words("section[aria-labelledby='tables'] tbody");
    assert!(tables.contains("wallet 6 5 Different"), "{tables}");
    look_over(&browser, "replica-different");

    browser.open("/admin/replication");
    browser.click("section[aria-labelledby='resync'] summary");
    browser.click("form[action$='/resync'] button");
    browser.wait_for("#live-job[data-ended='true']", "Done after");
    browser.open("/admin/replication");
    browser.wait_for(REPLICA, "Has everything");
    compare(&browser, "Done after");
}

#[test]
fn how_far_a_replica_lags_is_told_everywhere() {
    let home = tempfile::tempdir().unwrap();
    let mut postgres = Postgres::start();
    let setup = setup(home.path()).env("KSNODE_REPLICA__URL", &postgres.url());
    let node = setup.start();
    let browser = logged_in(home.path(), &node);
    browser.open("/admin/replication");
    browser.wait_for(REPLICA, "Has everything");
    postgres.stop();
    register(&browser, 1);
    browser.wait_for(REPLICA, "Away");
    browser.wait_for(REPLICA, "cannot be reached");
    browser.wait_for(REPLICA, "changes");
    let shown = browser.text(REPLICA);
    assert!(
        !shown.contains("0 changes") && !shown.contains("not at all"),
        "{shown}"
    );
    look_over(&browser, "replication-away");
    browser.open("/admin");
    browser.wait_for("#live-standing", "The replica is away and lacks");
    let card = browser.text("section[aria-labelledby='card-waypoints']");
    assert!(card.contains("Away") && card.contains("Behind"), "{card}");
    browser.shoot("overview-replica-away", LOOKS[0]);
    browser.click("#live-standing a");
    browser.wait_for("h1", "Replication");
    postgres.run();
    browser.wait_for(REPLICA, "Has everything");
    browser.open("/admin");
    browser.wait_for("#live-standing", "All is well.");
}
