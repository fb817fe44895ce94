//! Campaigns of kills: many rounds, each with a moment of its own, told by a seed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// SplitMix64: a few lines, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Up to `longest`, to the microsecond.
    pub fn time(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.throw(longest.as_micros() as u64 + 1))
    }
}

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The rounds and the dice of a campaign, which are printed.
pub fn campaign(default_rounds: u64) -> (u64, Dice) {
    let rounds = number("KSNODE_KILL_ROUNDS", default_rounds);
    let seed = number("KSNODE_KILL_SEED", u64::from(std::process::id()));
    println!("KSNODE_KILL_ROUNDS={rounds} KSNODE_KILL_SEED={seed}");
    (rounds, Dice(seed))
}

/// As long as a look at a folder takes: whoever looks all the time takes a core from what he waits for.
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// A sign of how far an operation is: a file in a folder whose name has this part and this end.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    pub part: &'static str,
    pub end: &'static str,
    /// Whether it is waited for until it is gone again.
    pub gone: bool,
}

/// When a kill comes.
#[derive(Debug)]
pub enum Moment {
    After(Duration),
    /// So long after a sign in this folder.
    Sign(PathBuf, Sign, Duration),
}

impl Moment {
    /// Waits for it, at longest until the operation is `over`.
    pub fn wait(&self, over: impl Fn() -> bool) {
        match self {
            Self::After(time) => wait(*time, over),
            Self::Sign(folder, sign, time) => {
                let before = names(folder);
                let seen = || {
                    names(folder)
                        .iter()
                        .any(|name| sign.is(name) && !before.contains(name))
                };
                while !seen() && !over() {
                    std::thread::sleep(BETWEEN_LOOKS);
                }
                while sign.gone && seen() && !over() {
                    std::thread::sleep(BETWEEN_LOOKS);
                }
                wait(*time, over);
            }
        }
    }
}

impl Sign {
    fn is(&self, name: &str) -> bool {
        name.contains(self.part) && name.ends_with(self.end)
    }
}

/// Turns instead of sleeping: some of these times are a few microseconds.
fn wait(time: Duration, over: impl Fn() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < time && !over() {
        if time - begun.elapsed().min(time) > Duration::from_millis(2) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The names in a folder, which may not be there.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.collect()
}
