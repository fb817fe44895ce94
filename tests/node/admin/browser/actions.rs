//! What an administrator does on the pages: backups and a restore, keys, looking up, searching.

use super::chromium::{Browser, LOOKS};
use super::pages::look_over;
use super::{PASSWORD, logged_in, register, setup, visited};
use crate::support::BOT_TOKEN;

/// Makes a backup, and waits for it.
fn back_up(browser: &Browser) {
    browser.open("/admin/backups");
    browser.click(".head .primary");
    browser.wait_for("#live-job[data-ended='true']", "Begun");
    let state = browser.text("#live-job .state");
    assert!(state.contains("Done after"), "{state}");
}

#[test]
fn a_backup_is_made_verified_given_away_and_deleted() {
    let (_home, _node, browser) = visited();
    register(&browser, 1);
    back_up(&browser);
    look_over(&browser, "backup-made");
    assert!(browser.text("#live-job").contains("1 user, 2 key shares"));
    back_up(&browser);
    browser.open("/admin/backups");
    // The one of tonight comes without anybody's doing.
    let next = browser.text("#live-figures");
    assert!(
        next.contains("Next by itself") && next.contains("03:00 UTC"),
        "{next}"
    );
    look_over(&browser, "backups-two");
    browser.click("form[action$='/verify'] button");
    browser.wait_for("#live-job", "SHA-256");
    browser.open("/admin/backups");
    let given = browser.run_to_its_end(
        "const done = arguments[arguments.length - 1];
         fetch(document.querySelector('a[download]').href).then(async (answer) => done([
             answer.headers.get('content-disposition'),
             new TextDecoder().decode((await answer.arrayBuffer()).slice(0, 15)),
         ]), (error) => done(String(error)));",
    );
    let name = given[0].as_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"ksnode-"), "{name}");
    assert_eq!(given[1], "SQLite format 3");
    // The older of the two; the last good one would not be deleted.
    browser.click("tbody tr:last-child details summary");
    browser.type_into("tbody tr:last-child details [type='password']", PASSWORD);
    browser.click("tbody tr:last-child details button");
    browser.wait_for("[role='status']", "Deleted: ");
    browser.wait_for("tbody tr:last-child", "Deleted");
}

#[test]
fn a_restore_is_compared_confirmed_and_done() {
    let (_home, _node, browser) = visited();
    register(&browser, 1);
    back_up(&browser);
    register(&browser, 2);
    browser.open("/admin/backups");
    browser.click("form[action$='/compare'] button");
    browser.wait_for("#live-outcome", "What a restore would change");
    let table = browser.text("#live-outcome table");
    assert!(table.contains("Users 2 1 \u{2212}1"), "{table}");
    assert!(table.contains("Key shares 4 2 \u{2212}2"), "{table}");
    look_over(&browser, "restore");
    let disabled = || browser.run("return document.querySelector('.destroy').disabled");
    assert_eq!(disabled(), true);
    let name = browser.text("form.fields code");
    browser.type_into("#confirm", &name);
    assert_eq!(disabled(), false);
    browser.type_into("#password", "wrong");
    browser.click(".destroy");
    browser.wait_for("[role='status']", "The password is wrong");
    browser.click("form[action$='/compare'] button");
    browser.type_into("#confirm", &name);
    browser.type_into("#password", PASSWORD);
    browser.click(".destroy");
    browser.wait_for("#live-outcome", "What the restore changed");
    look_over(&browser, "restored");
    browser.open("/admin/shares");
    assert!(browser.text("main").contains("2 shares"));
}

#[test]
fn keys_are_renewed() {
    let (_home, _node, browser) = visited();
    register(&browser, 1);
    browser.open("/admin/keys");
    let before = browser.text("section[aria-labelledby='node-key'] code");
    browser.click("section[aria-labelledby='rotate-share'] summary");
    browser.type_into("#password-share", PASSWORD);
    browser.click("section[aria-labelledby='rotate-share'] button");
    browser.wait_for("[role='status']", "Share key 2 seals from now on.");
    browser.click("section[aria-labelledby='rotate-node'] summary");
    browser.type_into("#confirm-node", "rotate node");
    browser.type_into("#password-node", PASSWORD);
    browser.click("section[aria-labelledby='rotate-node'] button");
    browser.wait_for("[role='status']", "Tell the network");
    let after = browser.text("section[aria-labelledby='node-key'] code");
    assert_ne!(before, after);
    look_over(&browser, "keys-renewed");
}

#[test]
fn a_user_is_looked_up() {
    let (_home, _node, browser) = visited();
    register(&browser, 4711);
    let look_up = |user: &str| {
        browser.open("/admin/shares");
        browser.type_into("#provider", "telegram");
        browser.type_into("#user", user);
        browser.click("form[action$='/look-up'] button");
    };
    look_up("4711");
    browser.wait_for("section[aria-labelledby='found']", "secp256k1");
    look_over(&browser, "looked-up");
    look_up("4712");
    browser.wait_for("section[aria-labelledby='found']", "Nothing is known");
    browser.shoot("looked-up-nothing", LOOKS[0]);
}

#[test]
fn the_log_is_searched() {
    let (_home, _node, browser) = visited();
    register(&browser, 1);
    browser.open("/admin/logs");
    browser.type_into("#q", "self-signed");
    browser.click("form[role='search'] button");
    browser.wait_for("#live-log", "made a self-signed certificate");
    assert!(browser.path().contains("q=self-signed"));
    browser.type_into("#level", "Errors");
    browser.click("form[role='search'] button");
    browser.wait_for("#live-log", "Nothing like that");
    look_over(&browser, "log-searched");
}

#[test]
fn the_audit_log_is_searched_verified_and_signed() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/audit");
    browser.wait_for("tbody", "node-create");
    browser.type_into("#action", "start");
    browser.click("form[role='search'] button");
    browser.wait_for("tbody", "start");
    assert!(browser.path().contains("action=start"));
    assert!(!browser.text("tbody").contains("node-create"));
    browser.click("form[action$='/verify'] button");
    browser.wait_for("[role='status']", "The log is whole");
    browser.click("form[action$='/head'] button");
    browser.wait_for("section pre", "signature");
    look_over(&browser, "audit-signed");
}

#[test]
fn what_is_wrong_is_said_first_of_all() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env(
            "KSNODE_BACKUP__AFTER",
            "echo no way to the other site; exit 3",
        )
        .start();
    let browser = logged_in(home.path(), &node);
    back_up(&browser);
    browser.open("/admin");
    browser.wait_for("#live-standing", "One thing is wrong.");
    browser.wait_for("#live-standing", "no way to the other site");
    browser.wait_for("#live-warnings", "backup.after failed");
    look_over(&browser, "overview-wrong");
    browser.click("#live-standing a");
    browser.wait_for("h1", "Backups");
    browser.wait_for("#live-history", "backup.after failed");
}

#[test]
fn what_a_restart_would_change_is_told() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .config("[backup]\nkeep_days = 7\n")
        .start();
    let browser = logged_in(home.path(), &node);
    browser.open("/admin/settings");
    assert!(!browser.text("main").contains("A restart would change"));
    let file = home.path().join("ksnode.toml");
    std::fs::write(&file, "[backup]\nkeep_days = 14\n").unwrap();
    browser.open("/admin/settings");
    let changes = browser.text("section[aria-labelledby='changes'] tbody");
    assert_eq!(changes, "backup.keep_days 7 14");
    look_over(&browser, "settings-changed");
    std::fs::write(&file, "[backup]\nkeep_days = \"a week\"\n").unwrap();
    browser.open("/admin/settings");
    browser.wait_for(".notice.bad", "The node would not start again");
    browser.shoot("settings-wrong", LOOKS[0]);
}

#[test]
fn settings_tell_their_source_and_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .config("[backup]\nkeep_days = 9\n")
        .start();
    let browser = logged_in(home.path(), &node);
    let row = |key: &str| {
        browser.open("/admin/settings");
        browser.type_into("#q", key);
        browser.click("form[role='search'] button");
        browser.wait_for("form[role='search']", "Show all");
        browser.text("table.settings tbody tr")
    };
    let password = row("admin.password");
    assert!(password.contains("(redacted)"), "{password}");
    assert!(password.contains("KSNODE_ADMIN__PASSWORD"), "{password}");
    let kept = row("backup.keep_days");
    assert!(kept.contains("9") && kept.contains("ksnode.toml"), "{kept}");
    assert!(row("backup.at").contains("default"));
    browser.open("/admin/settings");
    let all = browser.run("return document.documentElement.outerHTML");
    let all = all.as_str().unwrap();
    assert!(!all.contains(PASSWORD) && !all.contains(BOT_TOKEN));
    browser.click("[name='set']");
    browser.click("form[role='search'] button");
    browser.wait_for("form[role='search']", "Show all");
    let set = browser.text("main");
    assert!(
        set.contains("backup.keep_days") && !set.contains("backup.at"),
        "{set}"
    );
    look_over(&browser, "settings-set");
    browser.open("/admin/settings?q=nothing+like+it");
    assert!(browser.text("main").contains("No such key"));
}

#[test]
fn how_the_secret_is_changed_is_told() {
    let (_home, _node, browser) = visited();
    browser.open("/admin/keys");
    let told = browser.text("section[aria-labelledby='secret']");
    assert!(
        told.contains("while the node is stopped") && told.contains("ksnode secret change"),
        "{told}"
    );
}
