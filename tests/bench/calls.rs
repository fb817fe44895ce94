//! The calls of one running node, measured one after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ksnode::clock::{Clock, SystemClock, Timestamp};
use tokio::runtime::Runtime;

use crate::load::{Load, Order};
use crate::log_size::LogSize;
use crate::node::{Home, Node, copy_database};
use crate::process;
use crate::raw::Raw;
use crate::report::{Line, Memory, Report};
use crate::requests::{Call, Requests};
use crate::users::Numbers;
use crate::{Flags, block_on};

/// Users who take part in gets, checks and reshares, drawn from all of them.
const SAMPLE: usize = 50_000;
/// Registers of a warm-up.
const WARM_REGISTERS: u64 = 50_000;

/// Which calls, and at how many connections, all in this order.
pub struct Round<'a> {
    pub calls: &'a [Call],
    pub connections: &'a [usize],
}

/// Everything about a database with that many users. Without `beside` its registers are compared with nothing, and no
/// second copy of the database is made.
pub fn measure(
    flags: &Flags,
    folder: &Path,
    users: u64,
    rounds: &[Round<'_>],
    beside: bool,
) -> anyhow::Result<Report> {
    let home = Home::new(flags.node.clone(), folder.join("node"), &flags.set)?;
    let first = home.start()?;
    let first_ready = first.ready.as_secs_f64();
    first.stop()?;
    let log = LogSize::watch(&home.database());
    home.fill(0..users)?;
    let raw = match beside {
        true => Some(Raw::new(copy_database(&home, &folder.join("raw"))?)),
        false => None,
    };
    let (mut bench, runtime) = Bench::start(flags, &home, users)?;
    bench.raw = raw;
    let ready = bench.node.ready.as_secs_f64();
    let mut lines = Vec::new();
    for round in rounds {
        lines.extend(runtime.block_on(bench.run(round))?);
    }
    Ok(Report {
        users,
        first_ready,
        ready,
        lines,
        memory: bench.end()?,
        log: log.most()?,
    })
}

/// Measurements of one node.
pub struct Bench {
    time: Duration,
    warm_up: Duration,
    now: Timestamp,
    pub node: Node,
    raw: Option<Raw>,
    users: u64,
    /// The first number that nobody is registered under.
    next_user: u64,
    memory: Memory,
}

impl Bench {
    /// Starts the node on its filled database.
    pub fn start(flags: &Flags, home: &Home, users: u64) -> anyhow::Result<(Self, Runtime)> {
        let node = home.start()?;
        let bench = Self {
            time: flags.time(),
            warm_up: flags.warm_up(),
            now: SystemClock::new().now(),
            raw: None,
            users,
            next_user: users,
            memory: Memory {
                ready: mebibytes(process::proportional_kib(node.id())),
                ..Memory::default()
            },
            node,
        };
        Ok((bench, crate::runtime()?))
    }

    async fn run(&mut self, round: &Round<'_>) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for &connections in round.connections {
            for &call in round.calls {
                lines.push(self.call(call, connections).await?);
                if call == Call::Register
                    && let Some(raw) = &mut self.raw
                {
                    raw.run(connections, self.warm_up).await?;
                    let measured = raw.run(connections, self.time).await?;
                    lines.push(Line::new(None, connections, &measured, None, None));
                }
                self.note_memory();
            }
        }
        Ok(lines)
    }

    /// Measures a call.
    pub async fn call(&mut self, call: Call, connections: usize) -> anyhow::Result<Line> {
        if call == Call::Register {
            self.register(connections).await
        } else {
            self.repeat(call, connections).await
        }
    }

    /// Measures a call that the same user may make again.
    async fn repeat(&self, call: Call, connections: usize) -> anyhow::Result<Line> {
        let requests = Requests::new(call, self.sample(), self.now);
        let load = self.load(call, connections, requests, Order::Random);
        let warm_up = Load {
            time: self.warm_up,
            ..load.clone()
        };
        warm_up.run().await?;
        self.observe(call, &load).await
    }

    /// Measures registers, each of a user who is new.
    pub async fn register(&mut self, connections: usize) -> anyhow::Result<Line> {
        let call = Call::Register;
        let requests = self.new_users(WARM_REGISTERS);
        let mut warm_up = self.load(call, connections, requests, once());
        warm_up.time = self.warm_up;
        let warm = warm_up.run().await?;
        // Enough requests for the whole time, should it go somewhat faster; otherwise the measurement ends sooner.
        let rate = warm.latencies.len() as f64 / warm.elapsed.as_secs_f64();
        let enough = rate * self.time.as_secs_f64() * 1.3 + 1000.0;
        let requests = self.new_users(enough as u64);
        let load = self.load(call, connections, requests, once());
        self.observe(call, &load).await
    }

    /// Registers so many users who are new, however long it takes.
    pub fn register_all(&mut self, count: u64, connections: usize) -> anyhow::Result<()> {
        let requests = self.new_users(count);
        let mut load = self.load(Call::Register, connections, requests, once());
        load.time = Duration::from_secs(3600);
        block_on(load.run()).map(drop)
    }

    fn load(&self, call: Call, connections: usize, requests: Requests, order: Order) -> Load {
        Load {
            address: self.node.address,
            connections,
            tls: None,
            requests: Arc::new(requests),
            order,
            expected: call.expected(),
            time: self.time,
        }
    }

    fn sample(&self) -> Vec<u64> {
        let mut numbers = Numbers::new(self.users);
        if usize::try_from(self.users).is_ok_and(|users| users <= SAMPLE) {
            return (0..self.users).collect();
        }
        (0..SAMPLE).map(|_| numbers.next() % self.users).collect()
    }

    fn new_users(&mut self, count: u64) -> Requests {
        let first = self.next_user;
        self.next_user += count;
        Requests::new(Call::Register, first..self.next_user, self.now)
    }

    async fn observe(&self, call: Call, load: &Load) -> anyhow::Result<Line> {
        Line::of(Some(call), load.connections, self.node.id(), load.run()).await
    }

    fn note_memory(&mut self) {
        let now = mebibytes(process::proportional_kib(self.node.id()));
        let most = &mut self.memory.most_under_load;
        *most = [*most, now].into_iter().flatten().reduce(f64::max);
    }

    /// Stops the node and tells what memory it had.
    pub fn end(self) -> anyhow::Result<Memory> {
        // The node may need a moment to notice that its connections are gone.
        std::thread::sleep(Duration::from_secs(1));
        let id = self.node.id();
        let memory = Memory {
            after_load: mebibytes(process::proportional_kib(id)),
            peak_resident: mebibytes(process::peak_resident_kib(id)),
            ..self.memory
        };
        self.node.stop()?;
        Ok(memory)
    }
}

fn once() -> Order {
    Order::Once(Arc::new(AtomicUsize::new(0)))
}

fn mebibytes(kib: Option<u64>) -> Option<f64> {
    Some(f64::from(u32::try_from(kib?).ok()?) / 1024.0)
}
