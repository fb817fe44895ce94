//! The admin page over HTTP.

mod browser;
mod client;
mod commands;
mod download;
mod entries;
mod factor;
mod forgery;
mod headers;
mod pacing;
mod places;
mod sessions;
mod strangers;

use std::path::Path;

use crate::support::Setup;
pub use client::Client;
pub use commands::set_password;

/// A configured password.
const PASSWORD: &str = "correct horse battery";

/// A node whose administrator's password is [`PASSWORD`].
fn setup(home: &Path) -> Setup {
    Setup::new(home).env("KSNODE_ADMIN__PASSWORD", PASSWORD)
}
