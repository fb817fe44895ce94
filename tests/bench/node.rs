//! The node that is measured: a child process in a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ksnode::clock::SystemClock;
use ksnode::config::{Config, Environment, Overrides, load};
use ksnode::node::Opened;
use ksnode::shares::KeyShares;
use tokio::task::JoinSet;

use crate::users;

/// Registers under way at once while a database is filled.
const FILLING: usize = 512;

const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// A node's folder and settings.
pub struct Home {
    program: PathBuf,
    folder: PathBuf,
    variables: BTreeMap<String, OsString>,
}

impl Home {
    /// A new folder for `program`, with `more` variables (`KSNODE_…`) over those that the benchmark sets.
    pub fn new(
        program: PathBuf,
        folder: PathBuf,
        more: &[(String, String)],
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        // An explicit file keeps a configuration of this machine's own out of the measurement.
        std::fs::write(folder.join("ksnode.toml"), "")?;
        let data = folder.join("data");
        let secret = folder.join("secret");
        let ours = [
            ("HOME", folder.as_os_str()),
            ("KSNODE_DATA_DIR", data.as_os_str()),
            ("KSNODE_SECRET_FILE", secret.as_os_str()),
            ("KSNODE_SERVER__LISTEN", "127.0.0.1:0".as_ref()),
            ("KSNODE_SERVER__RATE_LIMIT", "0".as_ref()),
            ("KSNODE_OPS__LISTEN", "127.0.0.1:0".as_ref()),
            (
                "KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN",
                users::BOT_TOKEN.as_ref(),
            ),
        ];
        let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let more = more
            .iter()
            .map(|(name, value)| (name.clone(), value.into()));
        let variables = ours.into_iter().chain(more).collect();
        Ok(Self {
            program,
            folder,
            variables,
        })
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.data().join(ksnode::store::DATABASE_FILE)
    }

    /// Runs another command to its end and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?} failed: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.folder)
            .arg("--config")
            .arg(self.folder.join("ksnode.toml"))
            .stdin(Stdio::null());
        command
    }

    /// Starts the node and waits until it answers; until it listens, if it speaks TLS.
    pub fn start(&self) -> anyhow::Result<Node> {
        let began = Instant::now();
        let log = self.folder.join("stderr.log");
        let mut child = self
            .command()
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = child.stdout.take().context("the node has no output")?;
        // Owned by a `Node` from here on, so that it is ended whatever fails.
        let mut node = Node {
            child,
            address: NOWHERE,
            ops: NOWHERE,
            ready: Duration::ZERO,
        };
        let mut lines = BufReader::new(stdout).lines();
        let secured;
        node.address = loop {
            let Some(line) = lines.next() else {
                bail!(
                    "the node does not start: {}",
                    std::fs::read_to_string(&log)?
                );
            };
            let line = line?;
            if let Some(rest) = line.strip_prefix("ksnode serves ") {
                let (url, ops) = rest.split_once(' ').context("one address alone")?;
                let (scheme, address) = url.split_once("://").context("no URL")?;
                secured = scheme == "https";
                let (_, ops) = ops.split_once("://").context("no metrics")?;
                node.ops = ops.trim_end_matches(')').parse()?;
                break address.parse()?;
            }
        };
        // The pipe stays open: further output must not end the node.
        std::thread::spawn(move || lines.for_each(drop));
        if !secured {
            get(node.address, "/")?;
        }
        node.ready = began.elapsed();
        Ok(node)
    }

    /// Registers these users in the stopped node's database through the library: the same rows, sealed in the same
    /// way, without the network.
    pub fn fill(&self, users: Range<u64>) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(fill(&self.config()?, users))
    }

    fn config(&self) -> anyhow::Result<Config> {
        let environment = Environment::new(self.variables.clone(), self.folder.clone());
        let overrides = Overrides {
            config_file: Some(self.folder.join("ksnode.toml")),
            ..Overrides::default()
        };
        Ok(load(&overrides, &environment)?.config)
    }
}

async fn fill(config: &Config, users: Range<u64>) -> anyhow::Result<()> {
    let clock = SystemClock::shared();
    let Opened { store, keys, .. } = ksnode::node::open(config, &clock).await?;
    let shares = KeyShares::new(store.clone(), Arc::new(keys.ring), clock);
    let mut registers = JoinSet::new();
    for number in users {
        if registers.len() >= FILLING {
            registers
                .join_next()
                .await
                .context("no register under way")???;
        }
        let shares = shares.clone();
        registers.spawn(async move {
            let (user, wallets) = (users::user_id(number)?, users::wallets(number).typed()?);
            anyhow::Ok(shares.register(&user, wallets, None).await?)
        });
    }
    while let Some(done) = registers.join_next().await {
        done??;
    }
    store.close().await;
    Ok(())
}

/// What a server answers to a GET in clear.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "GET {path} failed");
    Ok(answer)
}

/// A running node. Killed when dropped.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
    /// Where its metrics are.
    ops: SocketAddr,
    /// From its start to its first answer.
    pub ready: Duration,
}

impl Node {
    /// Another server in the place of a node.
    pub fn adopt(child: Child, address: SocketAddr) -> Self {
        Self {
            child,
            address,
            ops: NOWHERE,
            ready: Duration::ZERO,
        }
    }

    /// What one of its metrics says.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let metrics = get(self.ops, "/metrics")?;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.context("no such metric")?.parse()?)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the node ended with {status}");
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a closed database for the comparison, so that both write into the same pages.
pub fn copy_database(home: &Home, folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let copy = folder.join("raw.db");
    std::fs::copy(home.database(), &copy)?;
    File::open(&copy)?.sync_all()?;
    Ok(copy)
}
