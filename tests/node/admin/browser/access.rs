//! Coming in, staying in, and being kept out.

use std::time::Duration;

use serde_json::json;

use super::super::factor::code;
use super::chromium::{Browser, LOOKS};
use super::pages::look_over;
use super::{PASSWORD, log_in, logged_in, setup, visited};
use crate::wall_clock::WallClock;

#[test]
fn nobody_sees_a_page_before_he_has_logged_in() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let browser = Browser::start(home.path(), &node.url);
    browser.open("/admin/keys");
    assert_eq!(browser.path(), "/admin/login?next=keys");
    look_over(&browser, "login");
    browser.type_into("#password", "wrong");
    browser.click("button.primary");
    browser.wait_for("[role='alert']", "That was not right");
    browser.shoot("login-refused", LOOKS[0]);
    browser.type_into("#password", PASSWORD);
    browser.click("button.primary");
    // Where he wanted to go.
    browser.wait_for("h1", "Keys");
    browser.click(".side form button");
    browser.wait_for("h1", "Log in");
    browser.open("/admin/keys");
    assert_eq!(browser.path(), "/admin/login?next=keys");
}

#[test]
fn a_session_that_is_ended_elsewhere_leads_to_the_login() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let first = logged_in(home.path(), &node);
    let elsewhere = tempfile::tempdir().unwrap();
    let second = logged_in(elsewhere.path(), &node);
    second.open("/admin/logs");
    first.open("/admin/account");
    assert!(first.text("#sessions").contains("Sessions"));
    first.click("form[action$='revoke-others'] button");
    first.wait_for("[role='status']", "One other session was ended.");
    // A page that keeps its values true notices by itself.
    second.wait_for("h1", "Log in");
}

#[test]
fn a_session_ends_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let time = WallClock::new(home.path());
    let node = time.start_with_monotonic(&setup(home.path()));
    let browser = logged_in(home.path(), &node);
    // A page that keeps its values true by itself is no use of the session.
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    time.advance(minutes(20));
    browser.wait_for("#live-cards", " minutes ago");
    time.advance(minutes(11));
    browser.wait_for("h1", "Log in");
    // Used again and again, it ends after half a day.
    log_in(&browser);
    for used in 1..=28 {
        time.advance(minutes(25));
        browser.open("/admin/shares");
        assert_eq!(browser.path(), "/admin/shares", "after {used} uses");
    }
    time.advance(minutes(25));
    browser.open("/admin/shares");
    assert_eq!(browser.path(), "/admin/login?next=shares");
    // And it is over for forms as it is for pages.
    log_in(&browser);
    browser.open("/admin/account");
    time.advance(minutes(31));
    browser.type_into("#password-begin", PASSWORD);
    browser.click("form[action$='/begin'] button");
    browser.wait_for("h1", "You are not logged in");
    browser.shoot("session-over", LOOKS[0]);
    browser.click("main .button");
    browser.wait_for("h1", "Log in");
}

#[test]
fn a_form_of_another_session_does_nothing() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/backups");
    browser.run("document.querySelector('.head .primary').form.csrf.value = 'a'.repeat(43)");
    browser.click(".head .primary");
    browser.wait_for("h1", "Nothing was done");
    assert!(browser.text("main").contains("nothing was done"));
    browser.shoot("refused", LOOKS[0]);
    browser.open("/admin/backups");
    assert!(browser.text("#live-history").contains("No backups yet"));
}

#[test]
fn who_tries_passwords_is_slowed_down() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path())
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "3")
        // None of the tries is forgotten before the last one.
        .env("KSNODE_SERVER__RATE_WINDOW_SECONDS", "3600");
    let node = setup.start();
    let browser = Browser::start(home.path(), &node.url);
    for _ in 0..3 {
        browser.open("/admin/login");
        browser.type_into("#password", "wrong");
        browser.click("button.primary");
        browser.wait_for("[role='alert']", "That was not right");
    }
    browser.type_into("#password", "wrong");
    browser.click("button.primary");
    browser.wait_for("h1", "Too many attempts");
    browser.shoot("slowed-down", LOOKS[0]);
}

#[test]
fn a_session_ends_with_its_cookie() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/shares");
    assert_eq!(browser.run("return document.cookie"), "");
    browser.command("Network.clearBrowserCookies", &json!({}));
    browser.open("/admin/shares");
    assert_eq!(browser.path(), "/admin/login?next=shares");
    log_in(&browser);
}

#[test]
fn a_second_factor_is_set_up_and_asked_for() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/account");
    browser.type_into("#password-begin", PASSWORD);
    browser.click("form[action$='/begin'] button");
    browser.wait_for("h1", "Second factor");
    look_over(&browser, "second-factor");
    let secret = browser.text(".value code");
    browser.type_into("#code", "000");
    browser.click(".steps .primary");
    browser.wait_for("[role='alert']", "not the code");
    browser.type_into("#code", &code(&secret));
    browser.click(".steps .primary");
    browser.wait_for("h1", "Recovery codes");
    look_over(&browser, "recovery-codes");
    let codes = browser.text(".codes");
    let codes: Vec<&str> = codes.lines().collect();
    assert_eq!(codes.len(), 10);
    browser.open("/admin/account");
    assert!(browser.text("main").contains("10 recovery codes left"));
    look_over(&browser, "account-second-factor");
    browser.click(".side form button");
    browser.type_into("#password", PASSWORD);
    browser.type_into("#code", codes[0]);
    look_over(&browser, "login-second-factor");
    browser.click("button.primary");
    browser.wait_for("h1", "Overview");
    browser.open("/admin/account");
    browser.click("details:last-of-type summary");
    browser.type_into("#password-drop", PASSWORD);
    browser.click("form[action$='/drop'] button");
    browser.wait_for("[role='status']", "was taken away");
}

#[test]
fn a_password_is_changed() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path()).without("KSNODE_ADMIN__PASSWORD");
    let node = setup.start();
    let first = std::fs::read_to_string(setup.data("initial-admin-password")).unwrap();
    let browser = Browser::start(home.path(), &node.url);
    browser.open("/admin/login");
    browser.type_into("#password", first.trim_end());
    browser.click("button.primary");
    browser.wait_for("h1", "Overview");
    browser.open("/admin/account");
    browser.type_into("#present", first.trim_end());
    browser.type_into("#new", "another long password");
    browser.type_into("#again", "another long password");
    browser.click("form[action$='/password'] button");
    browser.wait_for("[role='status']", "The password was changed.");
    look_over(&browser, "account-password");
}
