//! The newest log records in memory, for whoever looks at the node and not at its terminal.
//!
//! What is kept passed the filter of the log, and nothing is written anywhere: it ends with the process. Bounds are records
//! and bytes, for two kinds apart: a busy node logs a line a request, which would push out the one warning that matters. Of
//! request lines a few a second are kept, whichever come first: to keep them all would cost each request its formatting a
//! second time, and the newest five hundred of ten thousand a second are a twentieth of a second, which nobody can use. How
//! many were passed over is told. The daily files of `log.dir` have every line.
//!
//! It is kept for the process and not handed around, as what is counted is.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::gate::Gate;
use crate::clock::{SharedClock, Timestamp};

/// The target of the line that each request logs.
pub const REQUESTS: &str = "ksnode::request";

/// Records of either kind that are kept, and their bytes.
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 256 * 1024;
const OTHER_RECORDS: usize = 2000;
const OTHER_BYTES: usize = 1024 * 1024;
/// Bytes of a text or of a field's value; what is longer is cut.
const TEXT_BYTES: usize = 4096;
/// What a record costs beside its texts, roughly.
const RECORD_BYTES: usize = 128;

/// A log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counts up from 1 over all records that were kept.
    pub number: u64,
    /// When it was logged.
    pub at: Timestamp,
    /// How bad it is.
    pub level: Level,
    /// Which part of the program logged it.
    pub target: &'static str,
    /// Its text.
    pub message: String,
    /// Its fields and their values, those of the spans around it first.
    pub fields: Vec<(&'static str, String)>,
}

impl Recorded {
    /// Roughly what it costs.
    fn bytes(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields.map(|(_, value)| value.len() + 32).sum();
        RECORD_BYTES + self.message.len() + fields
    }

    /// `text` is in lower case.
    fn contains(&self, text: &str) -> bool {
        let has = |value: &str| value.to_lowercase().contains(text);
        has(&self.message)
            || has(self.target)
            || self
                .fields
                .iter()
                .any(|(name, value)| has(value) || has(name))
    }
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Search {
    /// As bad as this, or worse.
    pub least: Level,
    /// With this in text, target or a field, whatever the case; empty for all.
    pub text: String,
    /// The lines of requests as well.
    pub requests: bool,
    /// Older than the record of this number: the next page.
    pub before: Option<u64>,
    /// So many at most.
    pub limit: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The records, newest first.
    pub records: Vec<Arc<Recorded>>,
    /// There are older ones that fit: [`Search::before`] for them.
    pub older: Option<u64>,
    /// Lines of requests that were not kept, since the process began to log.
    pub passed_over: u64,
}

/// Records up to bounds.
#[derive(Debug)]
pub(super) struct Recent {
    /// A std mutex: held to add one or to copy pointers, never across an await.
    kept: Mutex<Kept>,
    /// For the lines of requests.
    gate: Gate,
}

#[derive(Debug)]
struct Kept {
    newest: u64,
    requests: Shelf,
    others: Shelf,
}

#[derive(Debug)]
struct Shelf {
    records: VecDeque<Arc<Recorded>>,
    bytes: usize,
    most_records: usize,
    most_bytes: usize,
}

impl Shelf {
    const fn new(most_records: usize, most_bytes: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            most_records,
            most_bytes,
        }
    }

    fn add(&mut self, record: Recorded) {
        self.bytes = self.bytes.saturating_add(record.bytes());
        self.records.push_back(Arc::new(record));
        while self.bytes > self.most_bytes || self.records.len() > self.most_records {
            let Some(oldest) = self.records.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }
}

impl Recent {
    pub(super) const fn new() -> Self {
        Self {
            kept: Mutex::new(Kept {
                newest: 0,
                requests: Shelf::new(REQUEST_RECORDS, REQUEST_BYTES),
                others: Shelf::new(OTHER_RECORDS, OTHER_BYTES),
            }),
            gate: Gate::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut record: Recorded) {
        let mut kept = self.lock();
        kept.newest = kept.newest.saturating_add(1);
        record.number = kept.newest;
        if record.target == REQUESTS {
            kept.requests.add(record);
        } else {
            kept.others.add(record);
        }
    }

    fn search(&self, search: &Search) -> Found {
        let text = search.text.to_lowercase();
        let before = search.before.unwrap_or(u64::MAX);
        let fits = |record: &Recorded| {
            record.number < before && record.level <= search.least && record.contains(&text)
        };
        // Compared outside the lock, which whoever logs waits for.
        let mut records = self.all(search.requests);
        records.retain(|record| fits(record));
        records.sort_unstable_by_key(|record| std::cmp::Reverse(record.number));
        let more = records.len() > search.limit;
        records.truncate(search.limit);
        let last = records.last().map(|record| record.number);
        Found {
            records,
            older: last.filter(|_| more),
            passed_over: self.gate.refused(),
        }
    }

    fn all(&self, requests: bool) -> Vec<Arc<Recorded>> {
        let kept = self.lock();
        let shelves = [
            Some(&kept.others),
            Some(&kept.requests).filter(|_| requests),
        ];
        let shelves = shelves.into_iter().flatten();
        shelves.flat_map(|shelf| &shelf.records).cloned().collect()
    }
}

/// The process's own.
static RECENT: Recent = Recent::new();

/// The newest records that fit.
pub fn recent(search: &Search) -> Found {
    RECENT.search(search)
}

/// Keeps what passes the filter of the log.
#[derive(Debug)]
pub(super) struct Recording {
    recent: &'static Recent,
    clock: SharedClock,
}

impl Recording {
    pub(super) fn new(clock: SharedClock) -> Self {
        let recent = &RECENT;
        Self { recent, clock }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recording {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let target = metadata.target();
        if target == REQUESTS && !self.recent.gate.admits(self.clock.monotonic()) {
            return;
        }
        let mut texts = Texts::default();
        for span in context.event_scope(event).into_iter().flatten() {
            // Whichever way the terminal's layer writes them: they are written once and kept with the span.
            let extensions = span.extensions();
            let text = extensions.get::<FormattedFields<DefaultFields>>();
            let text = text.map(|fields| fields.fields.as_str());
            let json = extensions.get::<FormattedFields<JsonFields>>();
            let json = json.map(|fields| fields.fields.as_str());
            if let Some(fields) = text.or(json).filter(|fields| !fields.is_empty()) {
                texts.fields.push((span.name(), cut(plain(fields))));
            }
        }
        event.record(&mut texts);
        self.recent.add(Recorded {
            number: 0,
            at: self.clock.now(),
            level: *metadata.level(),
            target,
            message: texts.message,
            fields: texts.fields,
        });
    }
}

/// A record's text and fields.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Texts {
    fn put(&mut self, field: &Field, value: String) {
        let value = cut(value);
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // What fails to write itself is shown as far as it came.
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }
}

/// Without the colours of a terminal, each of which is `ESC [ … m`.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut plain, part| {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
        plain
    })
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::fmt as lines;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    /// What is logged by `work`, into a memory of its own.
    fn logged(clock: &Arc<ManualClock>, work: impl FnOnce()) -> &'static Recent {
        let recent: &'static Recent = Box::leak(Box::new(Recent::new()));
        let clock = clock.clone();
        let subscriber = tracing_subscriber::registry()
            .with(lines::layer().with_writer(std::io::sink))
            .with(Recording { recent, clock });
        tracing::subscriber::with_default(subscriber, work);
        recent
    }

    fn everything() -> Search {
        Search {
            least: Level::TRACE,
            text: String::new(),
            requests: true,
            before: None,
            limit: 10_000,
        }
    }

    fn messages(found: &Found) -> Vec<&str> {
        let records = found.records.iter();
        records.map(|record| record.message.as_str()).collect()
    }

    #[test]
    fn a_record_is_kept_with_its_fields_and_those_of_its_spans() {
        let clock = ManualClock::shared();
        let recent = logged(&clock, || {
            let span = tracing::info_span!("request", id = "5-1");
            let _entered = span.entered();
            tracing::warn!(path = "/p", count = 3, error = %"no room", "it is {}", "full");
        });
        let found = recent.search(&everything());
        let [record] = found.records.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((record.number, record.at), (1, clock.now()));
        assert_eq!((record.level, record.target), (Level::WARN, module_path!()));
        assert_eq!(record.message, "it is full");
        let fields: Vec<_> = record
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ("request", "id=\"5-1\""),
                ("path", "/p"),
                ("count", "3"),
                ("error", "no room")
            ]
        );
    }

    #[test]
    fn they_are_found_by_level_and_text_and_page() {
        let recent = logged(&ManualClock::shared(), || {
            tracing::debug!("fine print");
            tracing::info!(folder = "/Backups", "a copy begins");
            tracing::warn!("a copy is late");
            tracing::error!("a copy failed");
            tracing::info!(target: REQUESTS, path = "/", "a copy of a request");
        });
        let search = |change: fn(&mut Search)| {
            let mut search = everything();
            change(&mut search);
            recent.search(&search)
        };
        let warnings = search(|search| search.least = Level::WARN);
        assert_eq!(messages(&warnings), ["a copy failed", "a copy is late"]);
        let backups = search(|search| search.text = "bACKUps".into());
        assert_eq!(messages(&backups), ["a copy begins"]);
        let first = search(|search| {
            search.text = "copy".into();
            search.requests = false;
            search.limit = 2;
        });
        assert_eq!(messages(&first), ["a copy failed", "a copy is late"]);
        let second = recent.search(&Search {
            text: "copy".into(),
            requests: false,
            limit: 2,
            before: first.older,
            ..everything()
        });
        assert_eq!(messages(&second), ["a copy begins"]);
        assert_eq!(second.older, None);
        assert_eq!(search(|_| {}).records.len(), 5);
    }

    #[test]
    fn requests_push_out_no_warning_and_no_more_than_a_few_a_second_are_kept() {
        let clock = ManualClock::shared();
        let recent = logged(&clock, || {
            tracing::warn!("look at this");
            for _ in 0..100 {
                for _ in 0..100 {
                    tracing::info!(target: REQUESTS, path = "/");
                }
                clock.advance(Duration::from_secs(1));
            }
        });
        let found = recent.search(&everything());
        assert_eq!(found.records.len(), 1 + REQUEST_RECORDS);
        assert_eq!(messages(&found).last(), Some(&"look at this"));
        let kept = 10_000 - found.passed_over;
        assert!((1000..=2500).contains(&kept), "{kept}");
    }

    #[test]
    fn memory_is_bounded_by_records_and_by_bytes() {
        let long = "x".repeat(10_000);
        let recent = logged(&ManualClock::shared(), || {
            for _ in 0..OTHER_RECORDS + 10 {
                tracing::info!("short");
            }
        });
        let found = recent.search(&everything());
        assert_eq!(found.records.len(), OTHER_RECORDS);
        assert_eq!(
            found.records.last().unwrap().number,
            11,
            "the oldest ones went"
        );
        let recent = logged(&ManualClock::shared(), || {
            for _ in 0..1000 {
                tracing::info!(long, "{long}");
            }
        });
        let found = recent.search(&everything());
        let bytes: usize = found.records.iter().map(|record| record.bytes()).sum();
        assert!(
            (OTHER_BYTES / 2..=OTHER_BYTES).contains(&bytes),
            "{bytes} bytes"
        );
        assert!(found.records[0].message.ends_with("x…"));
    }
}
