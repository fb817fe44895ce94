//! `ksnode token`: a bearer token to try the node by hand.

use std::io::Write;

use anyhow::Context;
use clap::Subcommand;

use super::Global;
use crate::clock::{Clock, SystemClock};
use crate::identity::telegram;

/// Which provider's token to make.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign a Telegram login with the configured bot token, as Telegram would; valid for a day
    Telegram {
        /// The Telegram user's number
        #[arg(long, value_name = "N")]
        id: u64,
    },
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`], or no bot token is configured.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    let Command::Telegram { id } = command;
    let config = global.load()?.config;
    let bot_token = config.identity.telegram_bot_token.context(
        "identity.telegram.bot_token is not set; set it, or bot_token_file, or the environment variable \
         KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN",
    )?;
    let token = telegram::sign(&bot_token, *id, SystemClock::new().now());
    writeln!(std::io::stdout().lock(), "{token}")?;
    Ok(())
}
