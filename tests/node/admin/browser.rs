//! The admin page in a real browser: each page and each action, as people see and use them.

mod access;
mod actions;
mod certificates;
mod chromium;
mod history;
mod pages;
mod replica;

use std::path::Path;

use chromium::Browser;
use tempfile::TempDir;

use crate::support::{Node, Setup, register_body, token};

const PASSWORD: &str = "correct horse battery staple";

/// A node with a page.
fn setup(home: &Path) -> Setup {
    Setup::new(home)
        .env("KSNODE_TLS__MODE", "self-signed")
        .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
}

/// A browser that is logged in.
fn logged_in(home: &Path, node: &Node) -> Browser {
    let browser = Browser::start(home, &node.url);
    log_in(&browser);
    browser
}

/// A node, and a browser that is logged in there. The folder is the home of both.
fn visited() -> (TempDir, Node, Browser) {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let browser = logged_in(home.path(), &node);
    (home, node, browser)
}

fn log_in(browser: &Browser) {
    browser.open("/admin/login");
    browser.type_into("#password", PASSWORD);
    browser.click("button.primary");
    browser.wait_for("h1", "Overview");
}

/// Registers the two shares of a user, over the browser's own connection.
#[track_caller]
fn register(browser: &Browser, user: u64) {
    let answer = browser.run_to_its_end(&format!(
        "const done = arguments[arguments.length - 1];
         fetch('/keyshare/v2/register', {{
             method: 'POST',
             headers: {{ 'authorization': 'Bearer {}', 'content-type': 'application/json' }},
             body: JSON.stringify({}),
         }}).then((answer) => answer.json()).then(done, (error) => done(String(error)));",
        token(user),
        register_body(user)
    ));
    assert_eq!(answer["success"], true, "{answer}");
}
