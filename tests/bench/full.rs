//! Everything in one report: `--report`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::calls::{Round, measure as measure_calls};
use crate::part::{Part, Table, count, figure};
use crate::plots::{self, Axis, BLUE, GREEN, GREY, ORANGE, Point, Series};
use crate::report::{Line, Report};
use crate::requests::Call;
use crate::{Flags, LARGE, backups, profile, replica, tls};

/// Gets and checks come first: registers make the database larger.
const READS: [Call; 3] = [Call::Liveness, Call::Check, Call::Get];
const WRITES: [Call; 1] = [Call::Register];
/// Where the other parts are measured, and sizes of databases are compared.
const CONNECTIONS: usize = 64;
/// Connections beside a backup: busy, and not so that registers wait for each other alone.
const BACKUP_CONNECTIONS: usize = 16;

/// Measures everything and writes the report and its plots into `target`.
pub fn measure(flags: &Flags, folder: &Path, target: &Path) -> anyhow::Result<Part> {
    let (began, load) = (Instant::now(), load_average());
    let databases = sweep(flags, folder)?;
    let reference = databases
        .last()
        .context("no sizes of databases to be measured")?;
    let usual = usual(flags);
    let plots = target.join("plots");
    std::fs::create_dir_all(&plots)?;
    draw(&plots, &databases, reference, usual)?;
    let mut sections = vec![("Calls", calls(&databases, reference, usual))];
    for (number, (title, measure)) in PARTS.into_iter().enumerate() {
        // Short: a node's socket has to have room in the path.
        let place = folder.join(number.to_string());
        std::fs::create_dir_all(&place)?;
        let part = measure(&for_part(flags, usual), &place).unwrap_or_else(|error| missing(&error));
        std::fs::remove_dir_all(&place)?;
        sections.push((title, part));
    }
    let mut text = opening(flags, load, began.elapsed());
    let mut json = json!({"machine": machine()});
    for (title, part) in sections {
        text += &format!("\n## {title}\n\n{}", part.text);
        json[title] = part.json;
    }
    let file = target.join("REPORT.md");
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Part { text, json })
}

type Measure = fn(&Flags, &Path) -> anyhow::Result<Part>;

const PARTS: [(&str, Measure); 4] = [
    (
        "Where the time goes, and what it cannot be less than",
        profile::measure,
    ),
    ("TLS", tls::measure),
    ("Backups", |flags, folder| {
        let flags = Flags {
            connections: vec![BACKUP_CONNECTIONS],
            seconds: flags.seconds * 5.0,
            ..flags.clone()
        };
        backups::measure(&flags, folder)
    }),
    ("Replica and take-over", replica::measure),
];

/// A part that this machine cannot measure is told and takes nothing from the others.
fn missing(error: &anyhow::Error) -> Part {
    Part {
        text: format!("Not measured: {error:#}\n"),
        json: Value::Null,
    }
}

fn for_part(flags: &Flags, connections: usize) -> Flags {
    Flags {
        connections: vec![connections],
        ..flags.clone()
    }
}

/// The number of connections at which databases are compared: 64, or the nearest below that was measured.
fn usual(flags: &Flags) -> usize {
    let few = flags
        .connections
        .iter()
        .filter(|&&connections| connections <= CONNECTIONS);
    few.max().copied().unwrap_or(CONNECTIONS)
}

/// A new database of each size.
fn sweep(flags: &Flags, folder: &Path) -> anyhow::Result<Vec<Report>> {
    let rounds = [&READS[..], &WRITES[..]].map(|calls| Round {
        calls,
        connections: &flags.connections,
    });
    let mut databases = Vec::new();
    for &users in &flags.sizes {
        eprintln!("{} users", count(users));
        let place = folder.join(users.to_string());
        databases.push(measure_calls(
            flags,
            &place,
            users,
            &rounds,
            users <= LARGE,
        )?);
        std::fs::remove_dir_all(&place)?;
    }
    Ok(databases)
}

fn calls(databases: &[Report], reference: &Report, usual: usize) -> Part {
    let mut sizes = Table::new([
        "users",
        "check, a second",
        "p99 ms",
        "get, a second",
        "p99 ms",
        "register, a second",
        "p99 ms",
        "the same rows through rusqlite, a second",
    ]);
    for database in databases {
        let of = |call| {
            let line = database.line(call, usual);
            let of = |value: fn(&Line) -> f64| figure(line.map_or(f64::NAN, value));
            [of(|line| line.per_second), of(|line| line.p99)]
        };
        let [check, get, register] =
            [Call::Check, Call::Get, Call::Register].map(|call| of(Some(call)));
        let [raw, _] = of(None);
        let [one, two] = check;
        let [three, four] = get;
        let [five, six] = register;
        sizes.row([count(database.users), one, two, three, four, five, six, raw]);
    }
    let text = format!(
        "![Rates and times over connections](plots/over-connections.svg)\n\n\
         ![Rates and times over users](plots/over-users.svg)\n\n\
         At {usual} connections, over the number of users in the database (registers add to it while they are measured, gets \
         and checks come before them):\n\n{sizes}\n\
         With {} users:\n\n{}",
        count(reference.users),
        reference.table(),
    );
    Part {
        text,
        json: databases
            .iter()
            .map(|database| database.part().json)
            .collect(),
    }
}

fn draw(
    plots: &Path,
    databases: &[Report],
    reference: &Report,
    usual: usize,
) -> anyhow::Result<()> {
    let lines = [
        ("GET /", GREY, Call::Liveness),
        ("check", BLUE, Call::Check),
        ("get", GREEN, Call::Get),
        ("register", ORANGE, Call::Register),
    ];
    let over_connections = lines.map(|(name, color, call)| Series {
        name,
        color,
        points: reference
            .lines
            .iter()
            .filter(|line| line.call == Some(call))
            .map(|line| point(line.connections as f64, line))
            .collect(),
    });
    let axis = axis("connections", &over_connections);
    let title = format!("{} users", count(reference.users));
    plots::draw(
        &plots.join("over-connections.svg"),
        &title,
        &axis,
        &over_connections,
    )?;
    let over_users = lines.map(|(name, color, call)| Series {
        name,
        color,
        points: databases
            .iter()
            .filter_map(|database| {
                Some(point(
                    database.users as f64,
                    database.line(Some(call), usual)?,
                ))
            })
            .collect(),
    });
    let axis = self::axis("users in the database", &over_users);
    let title = format!("{usual} connections");
    plots::draw(&plots.join("over-users.svg"), &title, &axis, &over_users)
}

fn point(at: f64, line: &Line) -> Point {
    Point {
        at,
        per_second: line.per_second,
        p50: line.p50,
        p99: line.p99,
    }
}

fn axis<'a>(name: &'a str, series: &[Series]) -> Axis<'a> {
    let points = series.iter().flat_map(|series| series.points.iter());
    let mut marks: Vec<f64> = points.map(|point| point.at).collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    Axis { name, marks }
}

fn opening(flags: &Flags, load: f64, took: Duration) -> String {
    format!(
        "# Benchmark\n\n\
         Made by `{}`, which took {:.0} minutes. A smaller one: `--report --quick`.\n\n\
         {}. When it began, {load:.1} other tasks wanted to run on average. The generator of load runs on the same processors, and \
         so does Postgres: figures mean something as ratios within one run. Requests are for both curves, from Telegram users, in \
         clear over loopback unless something else is said; every figure is of real connections to a release build.\n",
        command(flags),
        took.as_secs_f64() / 60.0,
        machine(),
    )
}

/// What makes this report again: `--users` is of backups and replica.
fn command(flags: &Flags) -> String {
    let list = |numbers: Vec<String>| numbers.join(",");
    let connections = flags.connections.iter().map(ToString::to_string).collect();
    let sizes = flags.sizes.iter().map(ToString::to_string).collect();
    let users = flags.users.map(|users| format!(" --users {users}"));
    format!(
        "cargo bench --bench node -- --report --seconds {} --connections {} --sizes {}{}",
        flags.seconds,
        list(connections),
        list(sizes),
        users.unwrap_or_default(),
    )
}

/// What it was measured on, as far as the kernel tells.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("a processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let memory = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1));
    let gib = memory
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib / 1024.0 / 1024.0);
    let system = read("/proc/sys/kernel/osrelease");
    let (major, _) = system.trim().split_once('-').unwrap_or((system.trim(), ""));
    format!("{model}, {cores} virtual cores, {gib:.0} GiB of memory, Linux {major}")
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|load| load.parse().ok());
    first.unwrap_or(f64::NAN)
}
