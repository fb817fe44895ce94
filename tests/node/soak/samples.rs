//! What is measured of the node and its folders.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::load::Load;
use crate::operator::names;
use crate::support::{Node, Setup};

/// Figures of one moment; sizes in bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    pub seconds: u64,
    pub requests: u64,
    pub users: u64,
    /// Resident.
    pub memory: u64,
    pub files: u64,
    pub threads: u64,
    pub database: u64,
    pub wal: u64,
    pub backups: u64,
    pub logs: u64,
    pub log_files: u64,
    /// All else in the data folder.
    pub other: u64,
}

pub struct Sampler {
    process: PathBuf,
    data: PathBuf,
    logs: PathBuf,
}

impl Sampler {
    pub fn new(node: &Node, setup: &Setup) -> Self {
        Self {
            process: format!("/proc/{}", node.child.id()).into(),
            data: setup.data(""),
            logs: node.log.with_file_name("logs"),
        }
    }

    /// Takes samples while `turn` is repeated for so long.
    pub fn during(&self, length: Duration, load: &Load<'_>, mut turn: impl FnMut()) -> Vec<Sample> {
        /// Ends the samples also when a turn panics.
        struct Until<'a>(&'a AtomicBool);
        impl Drop for Until<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = AtomicBool::new(false);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let samples = scope.spawn(|| {
                let mut samples = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    samples.push(self.sample(begun.elapsed().as_secs(), load));
                    std::thread::sleep((length / 400).max(Duration::from_millis(250)));
                }
                samples
            });
            let until = Until(&over);
            while begun.elapsed() < length {
                turn();
            }
            drop(until);
            samples.join().unwrap()
        })
    }

    fn sample(&self, seconds: u64, load: &Load<'_>) -> Sample {
        let size = |name: &str| self.data.join(name).metadata().map_or(0, |file| file.len());
        let status = std::fs::read_to_string(self.process.join("status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap()
                .split_whitespace()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let (database, wal) = (size("ksnode.db"), size("ksnode.db-wal"));
        Sample {
            seconds,
            requests: load.requests(),
            users: load.users(),
            memory: field("VmRSS:") * 1024,
            files: names(&self.process.join("fd")).len() as u64,
            threads: field("Threads:"),
            database,
            wal,
            backups: all(&self.data.join("backups")),
            logs: all(&self.logs),
            log_files: names(&self.logs).len() as u64,
            other: all(&self.data).saturating_sub(database + wal),
        }
    }
}

/// The bytes of all files in a folder, where some may be on their way.
fn all(folder: &Path) -> u64 {
    let names = names(folder).into_iter();
    let files = names.filter_map(|name| folder.join(name).metadata().ok());
    files
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

/// Where a figure goes. A leak lifts its floor: derivations of keys take 64 MiB for moments, requests take descriptors.
pub struct Trend {
    /// The floor of the first quarter of the time.
    pub first: u64,
    /// That of the last.
    pub last: u64,
    /// How much it grows in an hour, by the line that fits all of it best.
    pub hourly: f64,
}

impl Trend {
    pub fn of(samples: &[Sample], of: fn(&Sample) -> u64) -> Self {
        let quarter = samples.len().div_ceil(4);
        let floor = |samples: &[Sample]| samples.iter().map(of).min().unwrap();
        let hours = |sample: &Sample| sample.seconds as f64 / 3600.0;
        let count = samples.len() as f64;
        let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (time, figure) = (mean(&hours), mean(&|sample| of(sample) as f64));
        let both = mean(&|sample| (hours(sample) - time) * (of(sample) as f64 - figure));
        let spread = mean(&|sample| (hours(sample) - time).powi(2));
        Self {
            first: floor(&samples[..quarter]),
            last: floor(&samples[samples.len() - quarter..]),
            hourly: both / spread,
        }
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} ({:+.0} an hour)",
            self.first, self.last, self.hourly
        )
    }
}

/// Some twenty of them, to be read.
pub fn table(samples: &[Sample]) -> String {
    let mut table =
        "seconds requests users memory files threads database wal backups logs other\n".to_owned();
    let kibibytes = |bytes: u64| bytes / 1024;
    for sample in samples.iter().step_by(samples.len().div_ceil(20)) {
        writeln!(
            table,
            "{} {} {} {}K {} {} {}K {}K {}K {}K/{} {}K",
            sample.seconds,
            sample.requests,
            sample.users,
            kibibytes(sample.memory),
            sample.files,
            sample.threads,
            kibibytes(sample.database),
            kibibytes(sample.wal),
            kibibytes(sample.backups),
            kibibytes(sample.logs),
            sample.log_files,
            kibibytes(sample.other),
        )
        .unwrap();
    }
    table
}
