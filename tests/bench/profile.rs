//! What a get and a register spend their processor time on, and what of it is unavoidable: `--profile`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::Bench;
use crate::costs::{Costs, Recorder};
use crate::limits;
use crate::node::Home;
use crate::part::{Part, Table, count, figure};
use crate::process;
use crate::report::Line;
use crate::requests::Call;
use crate::{Flags, block_on};

/// Users in the database, where none are said.
const USERS: u64 = 100_000;
/// What is profiled.
const CALLS: [Call; 2] = [Call::Get, Call::Register];
/// Functions that are named.
const FUNCTIONS: usize = 12;
/// How often a call is profiled until perf has written something.
const ATTEMPTS: u32 = 4;
/// How long each limit is measured.
const LIMIT: Duration = Duration::from_secs(1);

/// A call's line, and what its processor time went into.
struct Profiled {
    line: Line,
    costs: Costs,
}

impl Profiled {
    /// Microseconds of the node's processor time a request.
    fn processor(&self) -> f64 {
        self.line.node.unwrap_or(f64::NAN)
    }
}

/// What the registers had written.
struct Writing {
    /// Registers that shared one commit, on average.
    group: f64,
    /// Bytes written to the disk for each register.
    bytes: f64,
}

/// Both calls' costs, beside what the machine allows.
pub fn measure(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    let users = flags.users.unwrap_or(USERS);
    let connections = flags.most_connections();
    let home = Home::new(flags.node.clone(), folder.join("node"), &flags.set)?;
    home.start()?.stop()?;
    home.fill(0..users)?;
    let (mut bench, _) = Bench::start(flags, &home, users)?;
    let mut profiled = |call| profile(&mut bench, call, connections, folder);
    let [get, register] = CALLS.map(&mut profiled);
    let ((get, _), (register, writing)) = (get?, register?);
    bench.end()?;
    let limits = limits_of(&get, &register, &writing, &home, folder)?;
    let text = format!(
        "{} users, {connections} connections. Microseconds of the node's processor time a request, by the function that was \
         running (perf, sampled):\n\n{}\nThe functions that took most:\n\n{}\n{}",
        count(users),
        split(&get, &register),
        functions(&get, &register),
        limits.text,
    );
    let of = |profiled: &Profiled| -> Value {
        let each = profiled.costs.shares.iter();
        each.map(|(cost, share)| json!({"cost": cost, "us": share * profiled.processor()}))
            .collect()
    };
    Ok(Part {
        text,
        json: json!({"users": users, "connections": connections, "get": of(&get), "register": of(&register), "limits": limits.json}),
    })
}

/// perf was seen to end with nothing written, once in six runs; such a run is repeated.
fn profile(
    bench: &mut Bench,
    call: Call,
    connections: usize,
    folder: &Path,
) -> anyhow::Result<(Profiled, Writing)> {
    let mut sampled = sample(bench, call, connections, folder);
    for _ in 1..ATTEMPTS {
        let Err(error) = &sampled else { break };
        eprintln!("{error:#}; once more");
        sampled = sample(bench, call, connections, folder);
    }
    sampled
}

fn sample(
    bench: &mut Bench,
    call: Call,
    connections: usize,
    folder: &Path,
) -> anyhow::Result<(Profiled, Writing)> {
    let file = folder.join("perf.data");
    let written = |bench: &Bench| {
        process::written_bytes(bench.node.id()).map_or(f64::NAN, |bytes| bytes as f64)
    };
    let metric = |bench: &Bench, what| {
        bench
            .node
            .metric(&format!("ksnode_store_batch_writes_{what}"))
    };
    let before = (
        written(bench),
        metric(bench, "sum")?,
        metric(bench, "count")?,
    );
    let recorder = Recorder::start(bench.node.id(), &file)?;
    let line = block_on(bench.call(call, connections))?;
    recorder.stop()?;
    let costs = Costs::of(&file)?;
    std::fs::remove_file(file)?;
    let writes = metric(bench, "sum")? - before.1;
    let writing = Writing {
        group: writes / (metric(bench, "count")? - before.2),
        bytes: (written(bench) - before.0) / writes,
    };
    Ok((Profiled { line, costs }, writing))
}

fn split(get: &Profiled, register: &Profiled) -> Table {
    let mut table = Table::new(["", "get µs", "%", "register µs", "%"]);
    let mut row = |name: &str, shares: [f64; 2]| {
        let [one, other] = shares;
        table.row([
            name.to_owned(),
            figure(one * get.processor()),
            format!("{:.0}", one * 100.0),
            figure(other * register.processor()),
            format!("{:.0}", other * 100.0),
        ]);
    };
    let mut costs: Vec<_> = register
        .costs
        .shares
        .iter()
        .chain(&get.costs.shares)
        .map(|(cost, _)| *cost)
        .collect();
    costs.sort_unstable();
    costs.dedup();
    costs.sort_by(|one, other| {
        let of = |cost| get.costs.share(cost) + register.costs.share(cost);
        of(other).total_cmp(&of(one))
    });
    for cost in costs {
        row(cost, [get.costs.share(cost), register.costs.share(cost)]);
    }
    row("together", [1.0, 1.0]);
    table
}

fn functions(get: &Profiled, register: &Profiled) -> Table {
    let mut table = Table::new(["get", "%", "register", "%"]);
    let pairs = get.costs.functions.iter().zip(&register.costs.functions);
    for ((one, share), (other, other_share)) in pairs.take(FUNCTIONS) {
        table.row([
            code(one),
            figure(share * 100.0),
            code(other),
            figure(other_share * 100.0),
        ]);
    }
    table
}

/// A name in a table: short, and with no bar.
fn code(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|letter| if letter == '|' { '/' } else { letter })
        .take(90)
        .collect();
    format!("`{name}`")
}

fn limits_of(
    get: &Profiled,
    register: &Profiled,
    writing: &Writing,
    home: &Home,
    folder: &Path,
) -> anyhow::Result<Part> {
    let blinding = limits::blinding(LIMIT)?;
    let [sealing, opening] = limits::sealing(LIMIT)?;
    let look_up = limits::look_up(&home.database(), LIMIT)?;
    let network = get.costs.network() * get.processor();
    let least = network + look_up + blinding + opening;
    let mut table = Table::new(["a get cannot do without", "µs"]);
    for (name, value) in [
        ("the kernel's sockets (from the profile)", network),
        ("finding user and wallets through SQLite alone", look_up),
        ("three values made blind (AES-SIV alone)", blinding),
        ("two shares opened (AES-SIV alone)", opening),
        ("together", least),
        ("the node's processor time", get.processor()),
    ] {
        table.row([name.to_owned(), figure(value)]);
    }
    table.row([
        "the node / the least".to_owned(),
        figure(get.processor() / least),
    ]);
    let group_bytes = (writing.group * writing.bytes).max(1.0);
    let small = limits::flushes(folder, 4096, LIMIT)?;
    let grouped = limits::flushes(folder, group_bytes as usize, LIMIT)?;
    let disk = grouped * writing.group;
    let mut registers = Table::new(["registers and the disk", ""]);
    for (name, value) in [
        ("registers that share a commit", writing.group),
        ("KiB written for each", writing.bytes / 1024.0),
        ("flushes a second, 4 KiB before each", small),
        ("flushes a second, a commit's bytes before each", grouped),
        ("registers a second that those allow", disk),
        ("registers a second", register.line.per_second),
        (
            "the node / what the disk allows",
            register.line.per_second / disk,
        ),
        ("µs of sealing two shares (AES-SIV alone)", sealing),
    ] {
        registers.row([name.to_owned(), figure(value)]);
    }
    Ok(Part {
        text: format!("{table}\n{registers}"),
        json: json!({
            "get_us": get.processor(), "get_least_us": least, "look_up_us": look_up, "blinding_us": blinding,
            "opening_us": opening, "sealing_us": sealing, "network_us": network, "group": writing.group,
            "bytes_a_register": writing.bytes, "flushes_4k": small, "flushes_group": grouped,
            "registers_per_second": register.line.per_second, "disk_registers_per_second": disk,
        }),
    })
}
