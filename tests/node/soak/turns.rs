//! What happens to the node beside its clients: almost half a day in each turn.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::{document, listed, made, printed, said};
use crate::postgres::Postgres;
use crate::replica::{stands, verified, whole};
use crate::support::{Setup, wait_for};
use crate::wall_clock::WallClock;

/// How far each turn sets the clock on.
const STEP: Duration = Duration::from_secs(11 * 3600);
/// Of these the last turn may be in its middle.
const LEAST_TURNS: u32 = 6;
/// The longest that the turns of a long run are.
const LONGEST: Duration = Duration::from_secs(300);

pub struct Turns<'a> {
    setup: &'a Setup,
    clock: &'a WallClock,
    turned: u32,
    rotated: u32,
    stopped: u32,
    compared: u32,
}

impl<'a> Turns<'a> {
    pub fn new(setup: &'a Setup, clock: &'a WallClock) -> Self {
        Self {
            setup,
            clock,
            turned: 0,
            rotated: 0,
            stopped: 0,
            compared: 0,
        }
    }

    /// One turn, so that what is made once is made before anything is measured.
    pub fn warm_up(&mut self, postgres: &mut Postgres) {
        self.turn(postgres, Duration::ZERO);
    }

    /// A turn of a run that is so long.
    pub fn turn(&mut self, postgres: &mut Postgres, run: Duration) {
        let until = Instant::now() + (run / LEAST_TURNS).min(LONGEST);
        self.save();
        self.rotate();
        self.stop(postgres);
        assert!(verified(self.setup) > 0);
        self.compared += 1;
        self.clock.advance(STEP);
        self.turned += 1;
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    fn save(&self) {
        let path = made(&undisturbed(self.setup, &["backup", "create", "--json"]));
        let name = path.file_name().unwrap().to_str().unwrap();
        undisturbed(self.setup, &["backup", "verify", name, "--json"]);
    }

    /// A new share key, and all shares under it.
    fn rotate(&mut self) {
        printed(&self.setup.run(&["key", "rotate", "share"]));
        self.rotated += 1;
        let begun = Instant::now();
        while !self.node()["resealing"].is_null() {
            assert!(
                begun.elapsed() < Duration::from_secs(900),
                "{}",
                self.node()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn stop(&mut self, postgres: &mut Postgres) {
        postgres.stop();
        stands(self.setup, "away");
        postgres.run();
        whole(self.setup);
        self.stopped += 1;
    }

    /// `ksnode status` as JSON.
    fn node(&self) -> Value {
        let output = self.setup.run(&["status", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["node"].clone()
    }
}

impl fmt::Display for Turns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} steps of the clock, {} rotations, {} stops of Postgres, {} comparisons of every row, {} backups kept",
            self.turned,
            self.rotated,
            self.stopped,
            self.compared,
            finished(self.setup).len()
        )
    }
}

/// What a command tells of backups. Each step of the clock may bring the backup of a day, and each minute the check of one;
/// there is one such work at a time, and whoever comes second is told to wait.
pub fn undisturbed(setup: &Setup, command: &[&str]) -> Value {
    wait_for("the end of another backup or check", || {
        let output = setup.run(command);
        let waits = said(&output).contains("is under way; wait until it is done");
        (!waits).then(|| document(&output))
    })
}

/// The names of the backups that count, newest first.
pub fn finished(setup: &Setup) -> Vec<String> {
    let listed = listed(setup);
    let finished = listed.iter().filter(|item| item["status"] == "COMPLETED");
    finished
        .map(|item| {
            let path = item["path"].as_str().unwrap();
            path.rsplit('/').next().unwrap().to_owned()
        })
        .collect()
}
