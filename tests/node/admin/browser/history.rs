//! What the overview tells of the time until now: requests and latency, growth, reports, warnings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::chromium::{Browser, LOOKS};
use super::pages::look_over;
use super::{logged_in, register, setup};
use crate::operator::open;
use crate::receiver::Receiver;
use crate::support::wait_for;
use crate::wall_clock::WallClock;

/// The largest value in the table of a chart; it is redrawn from there.
fn highest(browser: &Browser, chart: &str) -> f64 {
    let values = browser.run(&format!(
        "return Math.max(0, ...[...document.querySelectorAll(
             \"figure[aria-labelledby='{chart}-name'] td[data-value]\")].map((cell) => Number(cell.dataset.value)))"
    ));
    values.as_f64().unwrap()
}

/// Opens the overview until its charts show something, and returns the largest number of requests a second and milliseconds.
fn measured(browser: &Browser) -> (f64, f64) {
    wait_for("charts with something in them", || {
        browser.open("/admin");
        let (requests, latency) = (highest(browser, "requests"), highest(browser, "latency"));
        (requests > 0.0 && latency > 0.0).then_some((requests, latency))
    })
}

#[test]
fn charts_of_the_last_hour_and_day_are_drawn_and_asked_for_values() {
    let home = tempfile::tempdir().unwrap();
    let time = WallClock::new(home.path());
    let setup = setup(home.path());
    let node = time.start_with_monotonic(&setup);
    let browser = logged_in(home.path(), &node);
    for user in 1..=10 {
        register(&browser, user);
    }
    let (requests, latency) = measured(&browser);
    println!("highest: {requests} requests a second, {latency} ms");
    assert!(browser.has("figure[aria-labelledby='requests-name'] .uplot canvas"));
    browser.run(
        "const over = document.querySelector('.u-over'), place = over.getBoundingClientRect();
         over.dispatchEvent(new MouseEvent('mousemove', {
             bubbles: true, clientX: place.left + place.width / 2, clientY: place.top + 20,
         }));",
    );
    browser.wait_for(".u-tip", "all ");
    let figures = browser.text("#live-figures");
    assert!(
        figures.contains("Requests, last hour") && figures.contains("none failed"),
        "{figures}"
    );

    // The day's points are a minute apart, and each is of the time since the one before.
    browser.open("/admin?span=day");
    assert!(
        browser
            .text("section[aria-labelledby='traffic']")
            .contains("No measurements yet")
    );
    wait_for("the day's charts", || {
        time.advance(Duration::from_secs(60));
        browser.open("/admin?span=day");
        (highest(&browser, "requests") > 0.0).then_some(())
    });
    assert_eq!(browser.text(".tabs [aria-current]"), "Day");
    browser.shoot("overview-day", LOOKS[1]);

    // They are of this process.
    assert!(node.stop().success());
    let node = time.start_with_monotonic(&setup.listen("127.0.0.1:0"));
    let elsewhere = tempfile::tempdir().unwrap();
    let browser = logged_in(elsewhere.path(), &node);
    assert_eq!(highest(&browser, "requests"), 0.0);
}

#[test]
fn the_growth_of_shares_is_told_by_provider_and_curve() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let browser = logged_in(home.path(), &node);
    for user in 1..=5 {
        register(&browser, user);
    }
    // As the node would have noted it on forty days before.
    open(&setup)
        .execute_batch(
            "WITH RECURSIVE day(ago) AS (SELECT 1 UNION ALL SELECT ago + 1 FROM day WHERE ago < 40)
             INSERT INTO share_growth (day, auth_type, curve_type, shares)
             SELECT unixepoch() / 86400 - ago, 'telegram', curve, CASE curve WHEN 'ed25519' THEN 4 ELSE 1 END
             FROM day, (SELECT 'ed25519' AS curve UNION ALL SELECT 'secp256k1')",
        )
        .unwrap();
    browser.open("/admin/shares");
    let rows = browser.words("section[aria-labelledby='counts'] tbody");
    assert!(rows.contains("telegram ed25519 +1 5"), "{rows}");
    assert!(rows.contains("telegram secp256k1 +4 5"), "{rows}");
    assert!(browser.has("section[aria-labelledby='growth-name'] .uplot canvas"));
    assert_eq!(highest(&browser, "growth"), 10.0);
    look_over(&browser, "shares-growth");
    browser.open("/admin");
    browser.wait_for("#live-figures", "+5 since yesterday");
    assert_eq!(highest(&browser, "growth"), 10.0);
    browser.shoot("overview-growth", LOOKS[0]);
}

#[test]
fn reports_and_the_last_warnings_are_on_the_overview() {
    let home = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let receiver = Receiver::start(move |_| {
        let status = if failing.load(Ordering::Relaxed) {
            500
        } else {
            200
        };
        (status, "{}".to_owned())
    });
    let node = setup(home.path())
        .env("KSNODE_TELEMETRY__BASE_URL", &receiver.url)
        .env("KSNODE_TELEMETRY__PASSWORD", "password-of-the-reports")
        .env("KSNODE_TELEMETRY__INTERVAL_SECONDS", "1")
        .start();
    let browser = logged_in(home.path(), &node);
    let card = "section[aria-labelledby='card-send']";
    browser.wait_for(card, "Delivered");
    assert!(browser.text(card).contains(&receiver.url));
    browser.wait_for("#live-warnings", "None since the start");
    fails.store(true, Ordering::Relaxed);
    browser.wait_for(card, "Not delivered");
    browser.wait_for("#live-standing", "was not delivered");
    browser.wait_for("#live-warnings", "a telemetry report was not delivered");
    fails.store(false, Ordering::Relaxed);
    browser.wait_for("#live-standing", "All is well.");
}
