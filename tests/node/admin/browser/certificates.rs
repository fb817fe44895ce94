//! The certificate's page: one of an authority, one in files, and one of the node's own.

use std::time::Duration;

use super::pages::look_over;
use super::{PASSWORD, logged_in, visited};
use crate::tls::acme::world;
use crate::tls::node_of;
use crate::tls::pairs::Authority;
use crate::wall_clock::WallClock;

const RENEW: &str = "form[action$='/renew'] button";
const CERTIFICATE: &str = "#live-certificate";

#[test]
fn an_authority_that_was_away_is_asked_at_once_from_the_page() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), "node.example.org");
    let time = WallClock::new(home.path());
    let setup = setup.env("KSNODE_ADMIN__PASSWORD", PASSWORD);
    let node = time.start_with_monotonic(&setup);
    let browser = logged_in(home.path(), &node);
    browser.wait_for("#live-standing", "The certificate could not be had");
    browser.open("/admin/certificates");
    browser.wait_for(CERTIFICATE, "None was issued yet");
    browser.wait_for(CERTIFICATE, "The certificate could not be had");
    look_over(&browser, "certificate-none");

    pebble.start();
    // Nobody is asked twice within a minute.
    time.advance(Duration::from_secs(61));
    browser.click(RENEW);
    browser.wait_for("[role='status']", "The authority is asked");
    browser.wait_for(CERTIFICATE, "Pebble");
    let shown = browser.text(CERTIFICATE);
    assert!(
        shown.contains("Good for 89 days") && shown.contains("node.example.org"),
        "{shown}"
    );
    browser.open("/admin/certificates");
    // It is in order, and authorities count how often they are asked.
    assert!(!browser.has(RENEW));
    look_over(&browser, "certificate-issued");
    browser.open("/admin/audit?action=certificate-obtain");
    let rows = browser.text("tbody");
    assert!(rows.contains("Done") && rows.contains("Failed"), "{rows}");
    browser.open("/admin/audit?action=certificate-renew");
    assert!(
        browser
            .text("tbody")
            .contains("the admin page from 127.0.0.1")
    );
}

#[test]
fn files_are_read_again_from_the_page() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path()).env("KSNODE_ADMIN__PASSWORD", PASSWORD);
    let node = setup.start();
    let browser = logged_in(home.path(), &node);
    browser.open("/admin/certificates");
    assert!(browser.text(CERTIFICATE).contains("files of yours"));
    let print = || browser.text(".value code");
    let first = print();
    authority
        .issue(&["node.example.org", "127.0.0.1"])
        .write(home.path());
    browser.click(RENEW);
    browser.wait_for("[role='status']", "The files were read again");
    browser.wait_for(CERTIFICATE, "node.example.org");
    assert_ne!(print(), first);
    browser.open("/admin/audit?action=certificate-reload");
    browser.wait_for("tbody", "Done");
    std::fs::write(home.path().join("chain.pem"), "no certificate").unwrap();
    browser.open("/admin/certificates");
    browser.click(RENEW);
    browser.wait_for(CERTIFICATE, "The certificate could not be replaced");
    browser.open("/admin");
    browser.wait_for("#live-standing", "The certificate could not be replaced");
}

#[test]
fn one_that_the_node_makes_for_itself_needs_nobody() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/certificates");
    assert!(!browser.has(RENEW));
    assert!(browser.text(CERTIFICATE).contains("self-signed"));
}
