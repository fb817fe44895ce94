//! Where a node of the Docker suite is read from: its live Postgres, or a `pg_dump -Fc` file.
//!
//! Both give the same: lines of COPY's text format, one table after the other, in the order in which they are needed. So
//! a file needs no scratch database, and nothing is held in memory. An enum and not a trait: there are two, and what they
//! have in common is [`Rows`].

mod dump;
mod live;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::OkoError;
use super::copy_text::fields;
use super::rows::{Generation, Kind};
use crate::service::postgres::Target;
use dump::Dump;
use live::Live;

/// The longest line that is read: notes (`aux`) have no limit in the suite, memory has.
const LONGEST_LINE: u64 = 64 << 20;

/// What the operator names.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The suite's Postgres; it may be in use.
    Live(Target),
    /// A backup of the suite.
    Dump(PathBuf),
}

/// An open source: what it gives is one state of the suite, whatever happens there meanwhile.
#[derive(Debug)]
pub struct Source {
    reader: Reader,
    place: String,
    generation: Generation,
    both: bool,
}

#[derive(Debug)]
enum Reader {
    Live(Live),
    Dump(Dump),
}

impl Source {
    /// Opens it and finds out which generation it is: the second, when its tables are there, since today's suite reads
    /// no others; `wanted` overrides that.
    ///
    /// # Errors
    /// [`OkoError::Postgres`], [`OkoError::NoProgram`], [`OkoError::Dump`], [`OkoError::NoSuite`].
    pub async fn open(origin: &Origin, wanted: Option<Generation>) -> Result<Self, OkoError> {
        let (reader, place) = match origin {
            Origin::Live(target) => {
                let live = Live::open(target).await?;
                let place = live.place();
                (Reader::Live(live), place)
            }
            Origin::Dump(path) => {
                let dump = Dump::open(path).await?;
                (Reader::Dump(dump), path.display().to_string())
            }
        };
        let mut found = Vec::new();
        for generation in [Generation::Second, Generation::First] {
            if reader.has_all(generation).await? {
                found.push(generation);
            }
        }
        let generation = match (wanted, found.first()) {
            (Some(wanted), _) if found.contains(&wanted) => wanted,
            (None, Some(&first)) => first,
            _ => return Err(OkoError::NoSuite { place }),
        };
        Ok(Self {
            reader,
            place,
            generation,
            both: found.len() > 1,
        })
    }

    /// Which schema is read.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether the tables of the other generation are there too.
    pub fn has_both(&self) -> bool {
        self.both
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub(super) async fn count(&self, kind: Kind) -> Result<u64, OkoError> {
        if let Reader::Live(live) = &self.reader {
            return live.count(kind.table(self.generation)).await;
        }
        let mut rows = self.rows(kind).await?;
        let mut count = 0_u64;
        while rows.next_line().await? {
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// The rows of a table, in no order.
    ///
    /// # Errors
    /// [`OkoError::NoColumn`], [`OkoError::Postgres`], [`OkoError::Dump`].
    pub(super) async fn rows(&self, kind: Kind) -> Result<Rows, OkoError> {
        let table = kind.table(self.generation);
        let rows = match &self.reader {
            Reader::Live(live) => live.rows(kind, table).await?,
            Reader::Dump(dump) => dump.rows(table).await?,
        };
        // A table without rows has no header in a dump.
        let missing = kind.columns().iter().find(|&&column| {
            let email = column == "user_auth_id" && rows.has("email");
            let optional = ["auth_type", "aux", "rotated_at"].contains(&column);
            !(rows.has(column) || email || optional || rows.columns.is_empty())
        });
        match missing {
            Some(column) => Err(OkoError::NoColumn {
                place: self.place.clone(),
                table,
                column,
            }),
            None => Ok(rows),
        }
    }
}

impl Reader {
    async fn has_all(&self, generation: Generation) -> Result<bool, OkoError> {
        for kind in Kind::ALL {
            let table = kind.table(generation);
            let there = match self {
                Self::Live(live) => live.has(table).await?,
                Self::Dump(dump) => dump.has(table),
            };
            if !there {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The rows of one table as they stream in.
pub(super) struct Rows {
    columns: Vec<String>,
    lines: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
    end: End,
}

/// What follows the last row.
enum End {
    /// Nothing; errors of the connection are put into words by it.
    Live(live::Failed),
    /// The program has to have ended well.
    Dump(Box<dump::Running>),
}

impl Rows {
    /// The names of the columns.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }

    /// The next row; `None` after the last, once it is certain that it was the last.
    ///
    /// # Errors
    /// [`OkoError::Postgres`], [`OkoError::Dump`].
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Option<Vec<u8>>>>, OkoError> {
        let there = self.next_line().await?;
        Ok(there.then(|| fields(&self.line)))
    }

    async fn next_line(&mut self) -> Result<bool, OkoError> {
        let read = read_line(&mut self.lines, &mut self.line).await;
        let there = match read {
            Ok(there) => there,
            Err(error) => return Err(self.end.failed(error)),
        };
        match &mut self.end {
            End::Live(_) => Ok(there),
            End::Dump(running) if !there => Err(running.cut_off().await),
            End::Dump(running) if self.line == b"\\." => {
                running.finish(&mut self.lines).await?;
                Ok(false)
            }
            End::Dump(_) => Ok(true),
        }
    }
}

impl End {
    fn failed(&self, error: io::Error) -> OkoError {
        match self {
            Self::Live(failed) => failed.in_words(error),
            Self::Dump(running) => running.failed(error.to_string()),
        }
    }
}

/// Reads a line without its end. False: there is none any more.
async fn read_line(
    lines: &mut Pin<Box<dyn AsyncBufRead + Send>>,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    let read = lines.take(LONGEST_LINE).read_until(b'\n', line).await?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(true);
    }
    match u64::try_from(read) {
        Ok(0) => Ok(false),
        Ok(length) if length < LONGEST_LINE => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::other("a row is longer than 64 MiB")),
    }
}
