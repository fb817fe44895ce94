//! What a replica costs, and how fast it is filled, caught up with and gone back from; and how fast a node of the Docker suite
//! is taken over: `--replica`.
//!
//! The Postgres is the benchmark's own, on the same disk and processors. Registers with and without a replica take
//! turns, so that what else the machine does meets all of them; of several rounds the median counts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ksnode::control::{Client, Request, socket_path};
use ksnode::desk::{NodeStatus, ReplicaCompared, ReplicaState};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::calls::Bench;
use crate::node::Home;
use crate::part::{Part, Table, count, figure};
use crate::postgres::{self, ADMINISTRATOR, Postgres, USER};
use crate::report::Line;
use crate::suite::encryption::SECRET;
use crate::suite::fixture::{Generation, Suite};
use crate::suite::limit::limit;
use crate::{Flags, LARGE, SMALL, block_on};

const ROUNDS: usize = 3;
/// As a server has it: the tests' own does without both.
const SETTINGS: &str = "fsync = on\nshared_buffers = 128MB\nmax_wal_size = 1GB";
/// Users who register while Postgres is away are so many times fewer than those that it has, and each changes three rows.
const OUTAGE: u64 = 10;
const CHANGES: u64 = 3;
/// Users of the suite that is taken over.
const IMPORTED: u64 = 1_000;
/// Between two looks at how the replica stands.
const LOOK: Duration = Duration::from_millis(20);

/// When a register is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    Off,
    Local,
    Replica,
}

impl Ack {
    const ALL: [Self; 3] = [Self::Off, Self::Local, Self::Replica];

    fn name(self) -> &'static str {
        match self {
            Self::Off => "no replica",
            Self::Local => "ack = local",
            Self::Replica => "ack = replica",
        }
    }

    fn database(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::Replica => "replica_too",
        }
    }
}

/// Measures everything about it.
pub fn measure(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    let programs = postgres::installed();
    let found = Command::new(programs.join("initdb"))
        .arg("--version")
        .output();
    ensure!(
        found.is_ok(),
        "there is no Postgres: install it (Debian: postgresql), or name the folder of its programs in KSNODE_POSTGRES"
    );
    let mut server = Server(Postgres::start_with(SETTINGS));
    let version = server.0.query("SHOW server_version");
    let parts = [
        ("registers", registers(flags, folder, &server)?),
        ("whole", whole(flags, folder, &mut server)?),
        ("import", import(flags, folder, &server)?),
    ];
    let texts: Vec<&str> = parts.iter().map(|(_, part)| part.text.as_str()).collect();
    let text = format!(
        "A Postgres {version} on the same disk and processors.\n\n{}",
        texts.join("\n")
    );
    let mut json = json!({"postgres": version});
    for (name, part) in parts {
        json[name] = part.json;
    }
    Ok(Part { text, json })
}

struct Server(Postgres);

impl Server {
    /// A database of its own and its address.
    fn database(&self, name: &str) -> String {
        let sql = format!("CREATE DATABASE {name} OWNER {USER}");
        self.0.sql(ADMINISTRATOR, "postgres", &sql);
        self.0.url().replace("/replica?", &format!("/{name}?"))
    }
}

/// A node's home with a replica at `url`.
fn home(flags: &Flags, folder: PathBuf, url: &str, ack: &str) -> anyhow::Result<Home> {
    let mut variables = flags.set.clone();
    for (name, value) in [("URL", url), ("ACK", ack)] {
        variables.push((format!("KSNODE_REPLICA__{name}"), value.to_owned()));
    }
    Home::new(flags.node.clone(), folder, &variables)
}

fn ask<T: DeserializeOwned>(home: &Home, request: &Request) -> anyhow::Result<T> {
    block_on(async {
        let client = Client::connect(&socket_path(&home.data())?).await?;
        let client = client.context("the node does not listen to commands")?;
        Ok(client.ask(request, |_| {}).await?)
    })
}

/// Waits until the replica stands so.
fn wait(home: &Home, stands: impl Fn(&ReplicaState) -> bool) -> anyhow::Result<ReplicaState> {
    loop {
        let status: NodeStatus = ask(home, &Request::Status {})?;
        let state = status.replica.context("the node has no replica")?;
        ensure!(state.phase != "refused", "{:?}", state.error);
        if stands(&state) {
            return Ok(state);
        }
        std::thread::sleep(LOOK);
    }
}

fn is_followed(state: &ReplicaState) -> bool {
    state.phase == "following"
}

fn is_whole(state: &ReplicaState) -> bool {
    is_followed(state) && state.lag_changes == 0
}

/// A node with or without a replica, and what its registers measured.
struct Side {
    ack: Ack,
    home: Home,
    bench: Bench,
    lines: Vec<Line>,
}

impl Side {
    fn start(flags: &Flags, folder: &Path, server: &Server, ack: Ack) -> anyhow::Result<Self> {
        let folder = folder.join(ack.database());
        let home = match ack {
            Ack::Off => Home::new(flags.node.clone(), folder, &flags.set)?,
            Ack::Local => home(flags, folder, &server.database(ack.database()), "local")?,
            Ack::Replica => home(flags, folder, &server.database(ack.database()), "replica")?,
        };
        home.start()?.stop()?;
        home.fill(0..SMALL)?;
        let (bench, _) = Bench::start(flags, &home, SMALL)?;
        Ok(Self {
            ack,
            home,
            bench,
            lines: Vec::new(),
        })
    }

    /// Waits until there is nothing to ship: that would meet the next one's registers.
    fn settle(&self) -> anyhow::Result<()> {
        if self.ack != Ack::Off {
            wait(&self.home, is_whole)?;
        }
        Ok(())
    }
}

/// Registers without a replica, and with one that is waited for or not.
fn registers(flags: &Flags, folder: &Path, server: &Server) -> anyhow::Result<Part> {
    let connections = flags.most_connections();
    let mut sides = Vec::new();
    for ack in Ack::ALL {
        let side = Side::start(flags, folder, server, ack)?;
        side.settle()?;
        sides.push(side);
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.lines.push(block_on(side.bench.register(connections))?);
            side.settle()?;
        }
    }
    let mut measured = Vec::new();
    for side in sides {
        side.bench.end()?;
        measured.push((side.ack, middle(side.lines).context("no rounds")?));
    }
    Ok(table_of(connections, &measured))
}

/// The line whose rate is in the middle.
fn middle(mut lines: Vec<Line>) -> Option<Line> {
    lines.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
    let middle = lines.len() / 2;
    lines.into_iter().nth(middle)
}

fn table_of(connections: usize, measured: &[(Ack, Line)]) -> Part {
    let mut table = Table::new([
        "registers",
        "a second",
        "p50 ms",
        "p99 ms",
        "of those without a replica",
    ]);
    let base = measured
        .first()
        .map_or(f64::NAN, |(_, line)| line.per_second);
    let mut rows: Vec<Value> = Vec::new();
    for (ack, line) in measured {
        let (name, ratio) = (ack.name(), line.per_second / base);
        table.row([
            name.to_owned(),
            figure(line.per_second),
            figure(line.p50),
            figure(line.p99),
            figure(ratio),
        ]);
        rows.push(json!({
            "ack": name, "per_second": line.per_second, "p50_ms": line.p50, "p99_ms": line.p99, "ratio": ratio,
        }));
    }
    Part {
        text: format!(
            "{connections} connections, the median of {ROUNDS} rounds in turn:\n\n{table}"
        ),
        json: json!({"connections": connections, "rows": rows}),
    }
}

/// Seconds that it took.
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// Many users: the first contact, an outage, and the way back.
fn whole(flags: &Flags, folder: &Path, server: &mut Server) -> anyhow::Result<Part> {
    let users = flags.users.unwrap_or(LARGE);
    let folder = folder.join("whole");
    // Made before there is a replica, as the data of a node that is given one later.
    let plain = Home::new(flags.node.clone(), folder.clone(), &flags.set)?;
    plain.start()?.stop()?;
    plain.fill(0..users)?;
    let home = home(flags, folder, &server.database("whole"), "local")?;

    let began = Instant::now();
    let (mut bench, _) = Bench::start(flags, &home, users)?;
    wait(&home, is_whole)?;
    let snapshot = began.elapsed().as_secs_f64();
    let verify = timed(|| verified(&home))?;
    let new = (users / OUTAGE).max(1_000);
    let catch_up = catch_up(&home, &mut bench, server, new, flags.most_connections())?;
    verified(&home)?;
    bench.end()?;

    std::fs::remove_dir_all(home.data())?;
    let rebuild = timed(|| home.run(&["restore", "--from-replica", "--yes"]))?;
    let node = home.start()?;
    wait(&home, is_whole)?;
    verified(&home)?;
    node.stop()?;

    let changes = new * CHANGES;
    let rate = changes as f64 / catch_up;
    let mut table = Table::new(["", "s", "rows or changes a second"]);
    let mut row = |what: String, seconds: f64, rows: u64| {
        table.row([what, figure(seconds), figure(rows as f64 / seconds)]);
    };
    let (before, after) = (users * CHANGES, (users + new) * CHANGES);
    row(
        "first contact: start, snapshot".to_owned(),
        snapshot,
        before,
    );
    row("`ksnode replica verify`".to_owned(), verify, before);
    row(
        format!("{} changes after an outage", count(changes)),
        catch_up,
        changes,
    );
    row(
        "`ksnode restore --from-replica`, every row opened".to_owned(),
        rebuild,
        after,
    );
    Ok(Part {
        text: format!("{} users:\n\n{table}", count(users)),
        json: json!({
            "users": users, "snapshot_s": snapshot, "verify_s": verify, "catch_up_s": catch_up,
            "catch_up_changes": changes, "catch_up_per_second": rate, "rebuild_s": rebuild,
        }),
    })
}

/// Compares, and finds no difference.
fn verified(home: &Home) -> anyhow::Result<()> {
    let compared: ReplicaCompared = ask(home, &Request::ReplicaVerify {})?;
    ensure!(compared.equal, "the replica differs: {compared:?}");
    Ok(())
}

/// Registers while Postgres is away. Returns how many seconds it took to ship them once it was found again.
fn catch_up(
    home: &Home,
    bench: &mut Bench,
    server: &mut Server,
    new: u64,
    connections: usize,
) -> anyhow::Result<f64> {
    server.0.stop();
    wait(home, |state| state.phase == "away")?;
    bench.register_all(new, connections)?;
    wait(home, |state| state.lag_changes >= new * CHANGES)?;
    server.0.run();
    let found = wait(home, is_followed)?;
    let began = Instant::now();
    ensure!(
        found.lag_changes >= new * CHANGES,
        "it was quicker than a look"
    );
    wait(home, is_whole)?;
    Ok(began.elapsed().as_secs_f64())
}

/// A take-over beside what the machine's key derivations would let it do at most.
fn import(flags: &Flags, folder: &Path, server: &Server) -> anyhow::Result<Part> {
    let suite = Suite::plain(Generation::Second, IMPORTED);
    let url = server.database("suite");
    server.0.script("suite", &suite.sql());
    let home = Home::new(flags.node.clone(), folder.join("import"), &flags.set)?;
    home.start()?.stop()?;
    let secret = folder.join("suite-secret");
    ksnode::store::new_private_file(&secret)?;
    std::fs::write(&secret, SECRET)?;
    let secret = secret.to_str().context("a path that is no text")?;
    let before = limit();
    let arguments = [
        "import",
        "oko",
        "--from",
        &url,
        "--secret-file",
        secret,
        "--json",
    ];
    let report = home.run(&arguments)?;
    let limit = f64::midpoint(before, limit());
    let report: Value = serde_json::from_str(&report)?;
    let number = |name: &str| {
        let number = report.pointer(&format!("/import/{name}"));
        number
            .and_then(Value::as_f64)
            .context("a report without numbers")
    };
    let rate = number("derivations")? / number("milliseconds")? * 1e3;
    let share = rate / limit;
    let mut table = Table::new(["take-over of a node of the Docker suite", "a second"]);
    table.row(["shares imported".to_owned(), figure(rate)]);
    let name = "key derivations of 100,000 rounds that the machine does at most";
    table.row([name.to_owned(), figure(limit)]);
    table.row(["ratio".to_owned(), figure(share)]);
    Ok(Part {
        text: table.to_string(),
        json: json!({"shares_per_second": rate, "derivations_per_second": limit, "ratio": share}),
    })
}
