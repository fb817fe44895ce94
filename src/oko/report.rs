//! What an import did, in counts and names.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::rows::{Generation, Kind};

/// What became of the rows of one table. `read` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Came from the suite.
    pub read: u64,
    /// Were written.
    pub imported: u64,
    /// Were here, with an older state of their status, times or notes.
    pub updated: u64,
    /// Were here.
    pub already_there: u64,
    /// Were not taken over; each is named.
    pub skipped: u64,
}

/// A row that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Of which table.
    pub kind: Kind,
    /// Its id in the suite.
    pub id: String,
    /// Why.
    pub why: String,
}

/// The outcome of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Imported,
    Updated,
    There,
}

/// The report of an import.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing was written.
    pub dry_run: bool,
    /// Where it came from.
    pub source: String,
    /// Which of the suite's schemas.
    pub generation: Generation,
    /// By table.
    pub tables: BTreeMap<Kind, Tally>,
    /// Every row that was not taken over.
    pub skipped: Vec<Skipped>,
    /// What the operator should know besides.
    pub notices: Vec<String>,
    /// The node's public key, in hex.
    pub public_key: String,
    /// The backup of what was here before.
    pub backup: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
    /// Key derivations, which are what an import takes its time for.
    pub derivations: u64,
}

impl Report {
    pub(super) fn new(dry_run: bool, source: &str, generation: Generation) -> Self {
        Self {
            dry_run,
            source: source.to_owned(),
            generation,
            tables: Kind::ALL
                .map(|kind| (kind, Tally::default()))
                .into_iter()
                .collect(),
            skipped: Vec::new(),
            notices: Vec::new(),
            public_key: String::new(),
            backup: None,
            milliseconds: 0,
            derivations: 0,
        }
    }

    /// The counts of a table.
    pub fn of(&self, kind: Kind) -> Tally {
        self.tables.get(&kind).copied().unwrap_or_default()
    }

    /// Whether everything was taken over.
    pub fn is_complete(&self) -> bool {
        self.skipped.is_empty()
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    pub(super) fn note(&mut self, kind: Kind, outcome: Outcome) {
        let tally = self.tables.entry(kind).or_default();
        let count = match outcome {
            Outcome::Imported => &mut tally.imported,
            Outcome::Updated => &mut tally.updated,
            Outcome::There => &mut tally.already_there,
        };
        *count = count.saturating_add(1);
        tally.read = tally.read.saturating_add(1);
    }

    pub(super) fn skip(&mut self, kind: Kind, id: impl ToString, why: impl ToString) {
        let tally = self.tables.entry(kind).or_default();
        tally.read = tally.read.saturating_add(1);
        tally.skipped = tally.skipped.saturating_add(1);
        self.skipped.push(Skipped {
            kind,
            id: id.to_string(),
            why: why.to_string(),
        });
    }
}
