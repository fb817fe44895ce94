//! Taking over a node of today's Docker suite, and giving one back.
//!
//! [`import`] reads the suite's database (live, or a dump of it), decrypts with the suite's secret, and writes users,
//! wallets, shares and the server's key pairs into this node's database under this node's keys, with the ids and times that
//! they have. [`export`] writes the same tables back, under a secret of the suite's kind. What this node's own tables have
//! no place for is kept beside them, sealed (`imported`), so that an export of an import is what came in.
//!
//! The formats are api.md's, "The database of a node in today's Docker suite".
//!
//! **Google users of the first generation.** That schema knows a Google user by the email address; the second one, today's
//! clients and this node know him as `google_<sub>`, and nothing in the database tells the one from the other. The suite
//! itself never moved them: its second generation began with empty tables. So the address is kept as the identifier, as
//! it stands, of the `auth_type` google: nothing is lost, an export gives it back, and the report says how many are known
//! that way. [`Subjects`], a list of addresses with their `sub` from whoever has one (the network's API server does), gives
//! them the name under which they are found. To look a caller up by his address as well was rejected: `check`, which comes
//! before any login, names the user without one.

mod copy_text;
mod encryption;
mod error;
mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod import;
mod imported;
mod report;
mod reseal;
mod rows;
mod source;
mod subjects;

pub use copy_text::Micros;
pub use encryption::{SealError, SuiteSecret};
pub use error::OkoError;
pub use export::{Destination, ExportReport, export};
pub use import::{ImportOptions, Step, Stopped, abandon, import};
pub use imported::{IMPORT_LOGGED, IMPORT_TABLES, is_unfinished, open_all};
pub use report::{Report, Skipped, Tally};
pub use reseal::Reseal;
pub use rows::{Generation, Kind};
pub use source::{Origin, Source};
pub use subjects::Subjects;
