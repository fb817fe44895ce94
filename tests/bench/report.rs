//! What was measured of a node's calls.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Measured;
use crate::part::{Part, Table, count, figure, shown};
use crate::process;
use crate::requests::Call;

/// One line of the table.
pub struct Line {
    /// `None`: the raw comparison.
    pub call: Option<Call>,
    pub connections: usize,
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub longest: f64,
    /// Processor time a request in microseconds, of the node and of the generator of load.
    pub node: Option<f64>,
    pub generator: Option<f64>,
}

impl Line {
    /// The line of what was measured while node and generator used that much processor time.
    pub fn new(
        call: Option<Call>,
        connections: usize,
        measured: &Measured,
        node: Option<Duration>,
        generator: Option<Duration>,
    ) -> Self {
        let latencies = &measured.latencies;
        let requests = u32::try_from(latencies.len()).map_or(f64::from(u32::MAX), f64::from);
        let milliseconds = |nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1.0);
        Self {
            call,
            connections,
            per_second: requests / measured.elapsed.as_secs_f64(),
            p50: milliseconds(latencies.value_at_quantile(0.5)),
            p99: milliseconds(latencies.value_at_quantile(0.99)),
            longest: milliseconds(latencies.max()),
            node: node.map(each),
            generator: generator.map(each),
        }
    }

    /// The line of `run` against the process `server`.
    pub async fn of(
        call: Option<Call>,
        connections: usize,
        server: u32,
        run: impl Future<Output = anyhow::Result<Measured>>,
    ) -> anyhow::Result<Self> {
        let used = || [server, std::process::id()].map(process::processor_time);
        let before = used();
        let measured = run.await?;
        let after = used();
        let [node, generator] = [0, 1].map(|which: usize| {
            let (after, before) = after[which].zip(before[which])?;
            after.checked_sub(before)
        });
        Ok(Self::new(call, connections, &measured, node, generator))
    }

    fn name(&self) -> &'static str {
        self.call.map_or("raw register", Call::name)
    }

    fn json(&self) -> Value {
        json!({
            "call": self.name(),
            "connections": self.connections,
            "per_second": self.per_second,
            "p50_ms": self.p50,
            "p99_ms": self.p99,
            "max_ms": self.longest,
            "node_cpu_us": self.node,
            "generator_cpu_us": self.generator,
        })
    }
}

/// Memory in MiB at some moments; nothing where the kernel does not tell.
#[derive(Default)]
pub struct Memory {
    pub ready: Option<f64>,
    pub most_under_load: Option<f64>,
    pub after_load: Option<f64>,
    pub peak_resident: Option<f64>,
}

/// The measurements of one database.
pub struct Report {
    pub users: u64,
    /// Time to the first answer, in seconds: of a node that makes its database, and of one that finds it.
    pub first_ready: f64,
    pub ready: f64,
    pub lines: Vec<Line>,
    pub memory: Memory,
    /// The most MiB that the write-ahead log had, from the filling of the database on.
    pub log: f64,
}

/// A figure with its aim.
struct Figure {
    name: String,
    value: Option<f64>,
    aim: f64,
    /// Whether more is better.
    at_least: bool,
}

impl Report {
    pub fn line(&self, call: Option<Call>, connections: usize) -> Option<&Line> {
        self.lines
            .iter()
            .find(|line| line.call == call && line.connections == connections)
    }

    /// Requests a second of `call`, when it was measured.
    pub fn per_second(&self, call: Option<Call>, connections: usize) -> Option<f64> {
        Some(self.line(call, connections)?.per_second)
    }

    fn most_connections(&self) -> usize {
        self.lines
            .iter()
            .map(|line| line.connections)
            .max()
            .unwrap_or(0)
    }

    fn figures(&self) -> Vec<Figure> {
        let most = self.most_connections();
        let ratio = |call: Call, base: Option<Call>, connections: usize| {
            let base_name = base.map_or("raw register", Call::name);
            let value = self.per_second(Some(call), connections);
            Figure {
                name: format!("{} / {base_name}, {connections} connections", call.name()),
                value: value
                    .zip(self.per_second(base, connections))
                    .map(|(one, other)| one / other),
                aim: 0.5,
                at_least: true,
            }
        };
        let p99 = |call| Some(self.line(call, 16)?.p99);
        let at_most = |name: &str, value, aim| Figure {
            name: name.to_owned(),
            value,
            aim,
            at_least: false,
        };
        vec![
            ratio(Call::Get, Some(Call::Liveness), most),
            ratio(Call::Check, Some(Call::Liveness), most),
            ratio(Call::Register, None, most),
            at_most(
                "p99 of register / raw register, 16 connections",
                p99(Some(Call::Register))
                    .zip(p99(None))
                    .map(|(one, other)| one / other),
                2.0,
            ),
            at_most("MiB after load", self.memory.after_load, 60.0),
            at_most("seconds until ready", Some(self.ready), 0.5),
            at_most("MiB of the write-ahead log", Some(self.log), 128.0),
        ]
    }

    /// The table and the figures.
    pub fn part(&self) -> Part {
        let memory = &self.memory;
        let text = format!(
            "{} users in the database\n\n{}\nReady after {:.2} s (first start {:.2} s). MiB: {} ready, {} under load, {} after \
             load, {} resident at most.\n\n{}",
            count(self.users),
            self.table(),
            self.ready,
            self.first_ready,
            shown(memory.ready),
            shown(memory.most_under_load),
            shown(memory.after_load),
            shown(memory.peak_resident),
            table_of(&self.figures()),
        );
        Part {
            text,
            json: self.json(),
        }
    }

    /// A row for each call and number of connections.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            "",
            "connections",
            "a second",
            "p50 ms",
            "p99 ms",
            "longest ms",
            "node's CPU µs",
            "generator's CPU µs",
        ]);
        for line in &self.lines {
            table.row([
                line.name().to_owned(),
                line.connections.to_string(),
                figure(line.per_second),
                figure(line.p50),
                figure(line.p99),
                figure(line.longest),
                shown(line.node),
                shown(line.generator),
            ]);
        }
        table
    }

    fn json(&self) -> Value {
        let memory = &self.memory;
        let lines: Vec<Value> = self.lines.iter().map(Line::json).collect();
        let figures: Vec<Value> = self.figures().iter().map(Figure::json).collect();
        json!({
            "users": self.users,
            "first_ready_s": self.first_ready,
            "ready_s": self.ready,
            "memory_mib": {
                "ready": memory.ready,
                "most_under_load": memory.most_under_load,
                "after_load": memory.after_load,
                "peak_resident": memory.peak_resident,
            },
            "write_ahead_log_mib": self.log,
            "lines": lines,
            "figures": figures,
        })
    }
}

/// Figures beside their aims.
fn table_of(figures: &[Figure]) -> Table {
    let mut table = Table::new(["", "measured", "aim", ""]);
    for figure in figures {
        table.row(figure.cells());
    }
    table
}

impl Figure {
    fn met(&self) -> Option<bool> {
        self.value.map(|value| {
            if self.at_least {
                value >= self.aim
            } else {
                value <= self.aim
            }
        })
    }

    fn cells(&self) -> [String; 4] {
        let sign = if self.at_least { "≥" } else { "≤" };
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        [
            self.name.clone(),
            shown(self.value),
            format!("{sign} {}", self.aim),
            verdict.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "aim": self.aim, "met": self.met()})
    }
}

/// Gets from the small database over those from the large one, at each number of connections.
pub fn compare(small: &Report, large: &Report) -> Part {
    let gets = small
        .lines
        .iter()
        .filter(|line| line.call == Some(Call::Get));
    let figures = gets.filter_map(|line| {
        let value = line.per_second / large.per_second(Some(Call::Get), line.connections)?;
        Some(Figure {
            name: format!(
                "get, {} / {} users, {} connections",
                count(small.users),
                count(large.users),
                line.connections
            ),
            value: Some(value),
            aim: 1.3,
            at_least: false,
        })
    });
    let figures: Vec<Figure> = figures.collect();
    Part {
        text: table_of(&figures).to_string(),
        json: figures.iter().map(Figure::json).collect(),
    }
}
