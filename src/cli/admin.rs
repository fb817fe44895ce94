//! `ksnode admin`: the administrator's password, his second factor, and who is logged in to his page.
//!
//! These are the ways in for somebody who has none at the page any more: whoever may write to the data folder may set a
//! new password.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use console::Term;
use serde_json::json;
use zeroize::Zeroizing;

use super::Global;
use super::running::{Way, connect, open_folder, say_if_unwritten};
use super::text::{print, print_json, remark, table, with_error_as_json};
use crate::admin::{AdminError, SHORTEST_PASSWORD, keep_password, remove_second_factor};
use crate::audit::{Action, Actor, Entry};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{AccessChanged, Client, Request, SessionItem};
use crate::node::Opened;
use crate::store::DATABASE_FILE;

/// What concerns the administrator.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the administrator's password, and end all sessions at the admin page
    SetPassword(SetPassword),
    /// Take the second factor away, and end all sessions at the admin page
    ResetTotp,
    /// List the sessions at the running node's admin page, or end them
    Sessions(Sessions),
}

/// What `ksnode admin set-password` takes.
#[derive(Args, Debug)]
pub struct SetPassword {
    /// Read the password from standard input, its first line, and ask nothing
    #[arg(long)]
    pub stdin: bool,
}

/// What `ksnode admin sessions` takes.
#[derive(Args, Debug)]
pub struct Sessions {
    /// End the session of this id
    #[arg(long, value_name = "ID", conflicts_with = "revoke_all")]
    pub revoke: Option<String>,
    /// End all sessions
    #[arg(long)]
    pub revoke_all: bool,
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

/// Runs a command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; [`AdminError`]; what the running node says.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::SetPassword(arguments) => set_password(global, arguments),
        Command::ResetTotp => reset_totp(global),
        Command::Sessions(arguments) => {
            let listed = sessions(global, arguments);
            with_error_as_json(arguments.json, listed)
        }
    }
}

fn set_password(global: &Global, arguments: &SetPassword) -> anyhow::Result<()> {
    let config = global.load_as_owner()?.config;
    if config.admin.password.is_some() {
        return Err(AdminError::Configured.into());
    }
    ensure!(
        config.data_dir.is_dir(),
        "{} is not there: run `ksnode init` first",
        config.data_dir.display()
    );
    let password = if arguments.stdin {
        first_line()?
    } else {
        asked_twice()?
    };
    super::block_on(async {
        // The service's environment may configure a password that this command's does not: nothing is changed then.
        if let Way::Node(client) = Way::find(&config).await? {
            let request = Request::AdminPasswordCheck {};
            client.ask::<()>(&request, |_| {}).await?;
        }
        keep_password(&config.data_dir, &password)?;
        let done = "the password was set";
        if let Some(client) = connect(&config.data_dir).await? {
            let request = Request::AdminPasswordSet {};
            let changed: AccessChanged = client.ask(&request, |_| {}).await?;
            return print(&with_ended(done, changed));
        }
        enter(&config, &global.actor(), Action::PasswordSet).await;
        print(done)
    })?
}

fn reset_totp(global: &Global) -> anyhow::Result<()> {
    let config = global.load_as_owner()?.config;
    super::block_on(async {
        let done = "the login asks for no second factor any more";
        let none = "there was no second factor";
        match Way::find(&config).await? {
            Way::Node(client) => {
                let request = Request::AdminResetTotp {};
                let changed: AccessChanged = client.ask(&request, |_| {}).await?;
                if changed.changed {
                    print(&with_ended(done, changed))
                } else {
                    print(none)
                }
            }
            Way::Folder if remove_second_factor(&config.data_dir)? => {
                enter(&config, &global.actor(), Action::SecondFactorReset).await;
                print(done)
            }
            Way::Folder => print(none),
        }
    })?
}

/// Writes to the audit log of a stopped node. What was done holds, also where the database does not open.
async fn enter(config: &Config, actor: &Actor, action: Action) {
    if !config.data_dir.join(DATABASE_FILE).exists() {
        return;
    }
    match open_folder(config, &SystemClock::shared()).await {
        Ok(Opened { store, audit, .. }) => {
            audit.record(Entry::done(actor, action, "")).await;
            say_if_unwritten(&audit);
            store.close().await;
        }
        Err(error) => remark(&format!(
            "warning: done, but it is not in the audit log: {}",
            super::on_one_line(&error)
        )),
    }
}

/// What the running node did, and that nobody is logged in any more.
fn with_ended(done: &str, changed: AccessChanged) -> String {
    format!("{done}; sessions ended: {}", changed.ended)
}

fn sessions(global: &Global, arguments: &Sessions) -> anyhow::Result<()> {
    let config = global.load()?.config;
    super::block_on(async {
        let client = node(&config).await?;
        if arguments.revoke.is_none() && !arguments.revoke_all {
            let found: Vec<SessionItem> = client.ask(&Request::AdminSessions {}, |_| {}).await?;
            return list(&found, arguments.json);
        }
        let id = arguments.revoke.clone();
        let changed: AccessChanged = client.ask(&Request::AdminRevoke { id }, |_| {}).await?;
        if arguments.json {
            print_json(&json!({ "ended": changed.ended }))
        } else {
            print(&format!("sessions ended: {}", changed.ended))
        }
    })?
}

async fn node(config: &Config) -> anyhow::Result<Client> {
    let client = connect(&config.data_dir).await?;
    client.context("the node does not run, and so nobody is logged in to its admin page")
}

fn list(found: &[SessionItem], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&json!({ "sessions": found }));
    }
    if found.is_empty() {
        return print("nobody is logged in");
    }
    let heading = ["id", "from", "since", "last used", "browser"].map(str::to_owned);
    let rows = found.iter().map(|session| {
        [
            session.id.clone(),
            session.address.clone(),
            session.since.clone(),
            session.used.clone(),
            session.agent.clone(),
        ]
    });
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(rows).collect();
    print(table(&rows).trim_end())
}

/// The password in the first line of standard input.
fn first_line() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(1024));
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("standard input cannot be read")?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// The password typed at the terminal, twice and unseen.
fn asked_twice() -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!("standard input is no terminal that could ask for the password; use --stdin");
    }
    let terminal = Term::stderr();
    let ask = |text: &str| -> anyhow::Result<Zeroizing<String>> {
        terminal.write_str(text)?;
        Ok(Zeroizing::new(terminal.read_secure_line()?))
    };
    let password = ask(&format!(
        "new password, at least {SHORTEST_PASSWORD} characters: "
    ))?;
    let again = ask("the same again: ")?;
    ensure!(
        password == again,
        "the two are not the same; nothing was changed"
    );
    Ok(password)
}
