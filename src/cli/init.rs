//! `ksnode init`: everything between an installed program and a node that serves.
//!
//! Alone it makes what a first start needs. With a name it also writes the configuration of a node that serves the
//! network under that name, and looks at what will be in its way: the name, ports, clock, disk. All of it can be repeated:
//! what is as it should be stays, so that the command can be run again after each mend.

mod edit;
mod plan;
mod take_over;

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;

use super::Global;
use super::doctor::before_serving;
use super::finding::{Finding, Level, worst};
use super::instance::{SYSTEM_FOLDER, unit_of};
use super::running::connect;
use super::setup::{self, Setup};
use crate::clock::SystemClock;
use crate::config::{Config, Environment, Loaded, Overrides, load, shell_quoted};
use crate::node::open;
use crate::service::owner::become_owner_of;
use crate::store::DATABASE_FILE;
use edit::Change;
use plan::Plan;
use take_over::take_over;

/// What `ksnode init` takes beside the global flags.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// Name by which clients reach the node; may be given several times. A certificate for it is had from Let's Encrypt
    #[arg(long = "domain", value_name = "NAME", value_parser = name)]
    pub domains: Vec<String>,
    /// Mail address to which the certificate authority may write
    #[arg(long, value_name = "MAIL", requires = "domains")]
    pub contact: Option<String>,
    /// ACME directory of another certificate authority
    #[arg(long, value_name = "URL", requires = "domains")]
    pub directory: Option<String>,
    /// Serve with a certificate that the node makes for itself
    #[arg(long, conflicts_with_all = ["contact", "directory"])]
    pub self_signed: bool,
    /// Serve in clear to a proxy at this address or network, which has the certificate; may be given several times
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["domains", "self_signed"], value_parser = network)]
    pub behind_proxy: Vec<IpNet>,
    /// Make the configuration of the machine's service, as its package does; says nothing when everything is there
    #[arg(long, conflicts_with_all = ["instance", "config", "from_env"])]
    pub system: bool,
    /// Turn the .env of a Docker suite into a ksnode.toml, secrets moved to private files
    #[arg(long, value_name = "FILE", conflicts_with_all = ["domains", "self_signed", "behind_proxy", "instance"])]
    pub from_env: Option<PathBuf>,
}

/// A host name as people write it; the configuration wants it in lower case and without the root's dot.
fn name(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    if crate::config::is_host(&name) && name.parse::<IpAddr>().is_err() {
        return Ok(name);
    }
    Err("write a host name without https:// and port, like node.example.org".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>());
    network.map_err(|_| "write an address or a network, like 127.0.0.1 or 10.0.0.0/8".to_owned())
}

impl Arguments {
    /// Whether a node is asked for that serves clients.
    fn serves(&self) -> bool {
        !self.domains.is_empty() || self.self_signed || !self.behind_proxy.is_empty()
    }

    /// The keys of where certificates come from.
    fn tls(&self) -> Vec<Change> {
        let mode = if !self.behind_proxy.is_empty() {
            "off"
        } else if self.self_signed {
            "self-signed"
        } else {
            "acme"
        };
        let mut changes = vec![Change::text("tls.mode", mode)];
        if !self.domains.is_empty() {
            changes.push(Change::list("tls.domains", &self.domains));
        }
        let texts = [
            ("tls.contact", &self.contact),
            ("tls.directory", &self.directory),
        ];
        let given = texts
            .iter()
            .filter_map(|(key, text)| Some((*key, text.as_ref()?)));
        changes.extend(given.map(|(key, text)| Change::text(key, text)));
        let proxies: Vec<String> = self.behind_proxy.iter().map(shortest).collect();
        if !proxies.is_empty() {
            changes.push(Change::list("server.trusted_proxies", &proxies));
        }
        changes
    }

    /// Where a proxy finds the node: on this machine's loopback when it is on this machine.
    fn address_for_proxies(&self, every: &str) -> String {
        let here = self
            .behind_proxy
            .iter()
            .all(|proxy| proxy.addr().is_loopback());
        let version_6 = self.behind_proxy.iter().all(|proxy| proxy.addr().is_ipv6());
        match (here, version_6) {
            (true, true) => "[::1]:4201".to_owned(),
            (true, false) => "127.0.0.1:4201".to_owned(),
            (false, _) => format!("{every}:4201"),
        }
    }
}

/// A network of one is written as its address.
fn shortest(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`], or something cannot be made.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    let environment = Environment::of_process()?;
    let mut out = std::io::stdout().lock();
    if let Some(file) = &arguments.from_env {
        let overrides = take_over(file, global, &environment, &mut out)?;
        let loaded = load(&overrides, &environment)?;
        make(&loaded, false, &mut out)?;
        return Ok(out.flush()?);
    }
    let Some(plan) = Plan::new(global, arguments, &environment)? else {
        let loaded = load(&global.overrides(), &environment)?;
        become_owner_of(&loaded.config.data_dir)?;
        make(&loaded, false, &mut out)?;
        return Ok(out.flush()?);
    };
    let serves = arguments.serves() || global.instance.is_some();
    // While the process may still bind low ports and see whose they are.
    let findings = if serves {
        before_serving(plan.loaded.clone())?
    } else {
        Vec::new()
    };
    give_places(&plan)?;
    become_owner_of(&plan.loaded.config.data_dir)?;
    write(&plan, &mut out)?;
    let overrides = Overrides {
        config_file: Some(plan.path.clone()),
        ..Overrides::default()
    };
    let loaded = load(&overrides, &environment)?;
    let running = make(&loaded, arguments.system, &mut out)?;
    if serves {
        tell_findings(arguments, findings, &mut out)?;
        tell_page(&loaded.config, &mut out)?;
        writeln!(out, "next: {}", next(&plan, running))?;
    }
    Ok(out.flush()?)
}

/// A service's node has folders where only root makes some; they become those of the configuration's owner.
fn give_places(plan: &Plan) -> anyhow::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || unit_of(Some(&plan.path)).is_none() {
        return Ok(());
    }
    let Ok(owner) = Path::new(SYSTEM_FOLDER).metadata() else {
        return Ok(());
    };
    let own = plan.path.parent().map(Path::to_path_buf);
    let folders = plan
        .loaded
        .config
        .folders()
        .into_iter()
        .map(|(_, folder)| folder);
    for folder in own
        .into_iter()
        .chain(folders)
        .filter(|folder| !folder.exists())
    {
        crate::store::private_folder(&folder)
            .and_then(|()| chown(&folder, Some(owner.uid()), Some(owner.gid())))
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    Ok(())
}

fn write(plan: &Plan, out: &mut impl Write) -> anyhow::Result<()> {
    let changes = plan.changes();
    let made = plan.write()?;
    if changes {
        writeln!(out, "configuration: {}", plan.path.display())?;
    }
    for line in &plan.told {
        writeln!(out, "  {line}")?;
    }
    for path in made.iter().filter(|path| **path != plan.path) {
        writeln!(out, "  what it was before is kept: {}", path.display())?;
    }
    Ok(())
}

/// Makes what a first start needs, and says so; `quiet` says nothing of what was there. Tells whether a node runs, whose
/// database is its own.
fn make(loaded: &Loaded, quiet: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    for notice in &loaded.notices {
        writeln!(out, "notice: {notice}")?;
    }
    let config = &loaded.config;
    let mut setup = setup::ensure(config)?;
    let running = super::block_on(connect(&config.data_dir))??.is_some();
    let there = config.data_dir.join(DATABASE_FILE).exists();
    setup.note_database(config)?;
    // An upgrade's package must not migrate: the service does, when it starts.
    let left_alone = running || (quiet && there);
    if !left_alone {
        let opened = super::block_on(open(config, &SystemClock::shared()))??;
        super::block_on(opened.store.close())?;
    }
    setup.tell_what_is_new(out)?;
    if !quiet {
        tell_what_was_there(&setup, out)?;
    }
    Ok(running)
}

/// Where the administrator goes once the node runs.
fn tell_page(config: &Config, out: &mut impl Write) -> std::io::Result<()> {
    let Some(page) = config.admin_page(&config.server.listen, config.admin.listen) else {
        return Ok(());
    };
    let is_behind_proxy = !config.server.trusted_proxies.is_empty();
    if is_behind_proxy && config.admin.listen.is_none() {
        return writeln!(out, "admin page: /admin at the https address of your proxy");
    }
    writeln!(out, "admin page: {page}")
}

fn tell_what_was_there(setup: &Setup, out: &mut impl Write) -> std::io::Result<()> {
    let mut found = setup.found.iter();
    found.try_for_each(|path| writeln!(out, "already there: {}", path.display()))
}

fn tell_findings(
    arguments: &Arguments,
    mut findings: Vec<Finding>,
    out: &mut impl Write,
) -> std::io::Result<()> {
    if !arguments.domains.is_empty() && !arguments.self_signed && arguments.contact.is_none() {
        let what = "the authority has no address to warn when a certificate is about to expire";
        findings.push(Finding::note("names", what).mend("the same command with --contact MAIL"));
    }
    writeln!(out, "checked:")?;
    for finding in &findings {
        writeln!(out, "  {finding}")?;
    }
    if worst(&findings) == Level::Wrong {
        let line = "what is WRONG keeps clients from the node until it is mended; run this command again to see";
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The command that is to be typed next.
fn next(plan: &Plan, running: bool) -> String {
    let known = |unit: &str| {
        let template = match unit.split_once('@') {
            Some((name, _)) => format!("{name}@.service"),
            None => format!("{unit}.service"),
        };
        // It may be installed and not run, as in a container.
        let runs = Path::new("/run/systemd/system").exists();
        let folders = [
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
            "/etc/systemd/system",
        ];
        runs && folders
            .iter()
            .any(|folder| Path::new(folder).join(&template).exists())
    };
    match unit_of(Some(&plan.path)).filter(|unit| known(unit)) {
        Some(unit) if running => format!("sudo systemctl restart {unit}"),
        Some(unit) => format!("sudo systemctl enable --now {unit}"),
        None if running => "stop the node and start it again".to_owned(),
        None => format!("ksnode serve --config {}", shell_quoted(&plan.path)),
    }
}
