//! The admin page in a real browser: each page and each action, as people see and use them.

mod access;
mod backups;
mod chromium;
mod pages;

use std::path::Path;

use chromium::Browser;

use crate::support::{Node, Setup, get_body, register_body, token};

const PASSWORD: &str = "correct horse battery staple";

/// A node with a page, and some shares.
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

fn log_in(browser: &Browser) {
    browser.open("/admin/login");
    browser.type_into("#password", PASSWORD);
    browser.click("button.primary");
    browser.wait_for("h1", "Overview");
}
