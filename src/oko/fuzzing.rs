//! Doors for fuzzers ([`crate::fuzzing`]): rows of the Docker suite's tables, as pg_dump writes them.

use super::copy_text::fields;
use super::rows::{EncryptedShare, Keypair, Record, Row, User, Wallet};

/// Lines of a table's data, each as a row of each table.
pub fn rows(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        row::<Keypair>(line);
        row::<User>(line);
        row::<Wallet>(line);
        row::<EncryptedShare>(line);
    }
}

fn row<T: Row>(line: &[u8]) {
    let names: Vec<String> = T::KIND
        .columns()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let record = Record {
        names: &names,
        values: fields(line),
    };
    if T::read(&record).is_err() {
        let _ = record.name();
    }
}
