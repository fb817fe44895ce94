//! Every page: how it looks, that nothing bars anybody from it, what it weighs, and that it can be read without scripts.

use std::path::Path;

use serde_json::Value;

use super::chromium::{Browser, LOOKS};
use super::{logged_in, register, setup, visited};
use crate::support::wait_for;

/// Every page of the menu: its path, its heading, and the name of its screenshots.
const PAGES: [(&str, &str, &str); 10] = [
    ("/admin", "Overview", "overview"),
    ("/admin/shares", "Shares", "shares"),
    ("/admin/backups", "Backups", "backups"),
    ("/admin/replication", "Replication", "replication"),
    ("/admin/keys", "Keys", "keys"),
    ("/admin/certificates", "Certificates", "certificates"),
    ("/admin/logs", "Logs", "logs"),
    ("/admin/audit", "Audit", "audit"),
    ("/admin/settings", "Settings", "settings"),
    ("/admin/account", "Account", "account"),
];

/// What axe-core finds on the page, in words.
fn barriers(browser: &Browser) -> Vec<String> {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/axe-core-4.14.1/axe.min.js");
    let axe = std::fs::read_to_string(axe).expect("axe-core; `tests/all --prepare` fetches it");
    browser.run(&axe);
    let found = browser.run_to_its_end(
        "const done = arguments[arguments.length - 1];
         axe.run().then((found) => done(found.violations.map((barrier) =>
             `${barrier.id}: ${barrier.nodes.map((node) => node.target).join(', ')}`)));",
    );
    let found = found.as_array().unwrap().iter();
    found
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// In all looks: a screenshot, no barrier, no scrolling to the side, and a quiet console.
#[track_caller]
pub fn look_over(browser: &Browser, name: &str) {
    for look in LOOKS {
        browser.shoot(name, look);
        assert_eq!(barriers(browser), [""; 0], "{name}, {}", look.name);
        let wider = browser.run(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        assert_eq!(wider, 0, "{name}, {}: it scrolls to the side", look.name);
    }
    browser.look(LOOKS[0], 900);
    // That the page itself is one of an error is told by it.
    let own = format!("{} - Failed to load resource", browser.url());
    let mut console = browser.console();
    console.retain(|line| !line.starts_with(&own));
    assert_eq!(console, [""; 0], "{name}");
}

#[test]
fn every_page_is_for_everybody() {
    let (_home, _node, browser) = visited();
    for user in 1..=5 {
        register(&browser, user);
    }
    // Charts need two measurements.
    wait_for("a chart", || {
        browser.open("/admin");
        browser.has("figure.chart").then_some(())
    });
    for (path, heading, name) in PAGES {
        browser.open(path);
        assert_eq!(browser.text("h1"), heading);
        let current = browser.text("nav [aria-current='page']");
        assert_eq!(current, heading);
        look_over(&browser, name);
    }
    browser.open("/admin/nothing");
    look_over(&browser, "nothing");
}

#[test]
fn pages_are_light_and_come_from_the_node_alone() {
    let (_home, node, browser) = visited();
    for (path, heading, _) in PAGES {
        // As on the first visit.
        browser.command(
            "Network.clearBrowserCache",
            &Value::Object(Default::default()),
        );
        browser.open(path);
        let loaded = browser.run(
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
                 .map((entry) => [entry.name, entry.transferSize])",
        );
        let loaded = loaded.as_array().unwrap();
        let urls = loaded.iter().map(|entry| entry[0].as_str().unwrap());
        for url in urls {
            assert!(url.starts_with(&node.url), "{heading}: {url}");
        }
        let bytes: u64 = loaded.iter().map(|entry| entry[1].as_u64().unwrap()).sum();
        println!("{heading}: {bytes} bytes on a first visit");
        assert!(
            (1_000..100_000).contains(&bytes),
            "{heading}: {bytes} bytes"
        );
    }
}

#[test]
fn a_page_is_painted_at_once() {
    let (_home, _node, browser) = visited();
    // Beside other tests a machine is slow now and then: the best of some visits counts, and the bound is a wide one. Alone it
    // is 200 ms.
    let mut painted = f64::INFINITY;
    for _ in 0..10 {
        browser.open("/admin");
        let first = wait_for("the first paint", || {
            let paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null";
            browser.run(paint).as_f64()
        });
        painted = painted.min(first);
    }
    println!("first paint of the overview: {painted:.0} ms");
    assert!(painted < 1_000.0, "{painted} ms");
}

#[test]
fn pages_are_readable_without_scripts() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let browser = Browser::start_without_scripts(home.path(), &node.url);
    super::log_in(&browser);
    wait_for("a chart", || {
        browser.open("/admin");
        browser.has("figure.chart .plot > svg").then_some(())
    });
    assert!(browser.text("#live-standing").contains("All is well."));
    browser.click("figure.chart summary");
    assert!(browser.text("figure.chart table").contains("Time (UTC)"));
    browser.open("/admin/backups");
    browser.click(".head .primary");
    // The page asks again by itself.
    browser.wait_for("#live-job", "Done after");
    browser.shoot("without-scripts", LOOKS[0]);
}

#[test]
fn the_theme_is_chosen_and_kept() {
    let (_home, _node, browser) = visited();
    let background = || {
        let colour = browser.run("return getComputedStyle(document.body).backgroundColor");
        colour.as_str().unwrap().to_owned()
    };
    browser.look(LOOKS[0], 900);
    let light = background();
    browser.look(LOOKS[1], 900);
    let dark = background();
    assert_ne!(light, dark);
    // From the system's to light, and from there to dark.
    browser.click("[data-theme-switch]");
    assert_eq!(browser.text("[data-theme-name]"), "light");
    wait_for("the light theme", || (background() == light).then_some(()));
    browser.open("/admin/keys");
    assert_eq!(background(), light);
    browser.click("[data-theme-switch]");
    browser.look(LOOKS[0], 900);
    wait_for("the dark theme", || (background() == dark).then_some(()));
}

#[test]
fn a_page_is_used_with_the_keyboard() {
    let (_home, _node, browser) = visited();
    let focused = || {
        let text = browser.run("return document.activeElement.textContent.trim()");
        text.as_str().unwrap().to_owned()
    };
    let (tab, enter) = ('\u{e004}', '\u{e007}');
    browser.press(tab);
    assert_eq!(focused(), "Skip to the page");
    let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid");
    browser.press(enter);
    let main = browser.run("return document.activeElement.id");
    assert_eq!(main, "main");
    // On a phone the menu opens from its button, and is closed again with Escape.
    browser.look(LOOKS[2], 900);
    let shown = || browser.run("return document.querySelector('#side').checkVisibility()");
    assert_eq!(shown(), false);
    browser.click(".top button");
    assert_eq!(shown(), true);
    browser.shoot("menu", LOOKS[2]);
    browser.press('\u{e00c}');
    assert_eq!(shown(), false);
}

#[test]
fn values_go_on_while_a_page_is_open() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let browser = logged_in(home.path(), &node);
    browser.open("/admin/logs?q=backup+was+asked");
    assert!(browser.text("#live-log").contains("Nothing like that"));
    browser.run("window.kept = 'as it was opened'");
    assert!(setup.run(&["backup", "create"]).status.success());
    browser.wait_for("#live-log", "a backup was asked for");
    assert_eq!(browser.run("return window.kept"), "as it was opened");
}
