//! Doors for fuzzers ([`crate::fuzzing`]): files that are said to be backups, and those that open them.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::encryption;
use super::pace::Pace;
use super::progress::{Progress, Watch};
use super::verify::{Checked, header, open, tables};
use crate::clock::SystemClock;
use crate::store::Keychain;

/// A secret of nobody: that of the encrypted file among the seeds.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

fn watch() -> Watch {
    let progress = Progress::unwatched();
    Watch::new(
        &progress,
        CancellationToken::new(),
        Pace::Fast,
        SystemClock::shared(),
    )
}

/// Calls `read` with a file of these bytes, in memory where there is such a folder.
fn as_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let Ok(folder) = folder else {
        return;
    };
    let path = folder.path().join("file");
    if std::fs::write(&path, bytes).is_ok() {
        read(&path);
    }
}

/// A backup, up to where its keys would be derived: that takes as long as it is meant to.
pub fn backups(bytes: &[u8]) {
    as_file(bytes, |path| {
        if header(path).is_err() {
            return;
        }
        let Ok(connection) = open(path) else {
            return;
        };
        let watch = watch();
        let checked = Checked {
            path,
            connection: &connection,
            watch: &watch,
        };
        let sound = checked.schema(usize::MAX).is_ok() && checked.pages().is_ok();
        if sound && checked.taken_at().is_ok() && tables(&connection).is_ok() {
            let _ = Keychain(&connection).node_id();
        }
    });
}

/// An encrypted backup.
pub fn encrypted(bytes: &[u8]) {
    let _ = opens(bytes);
}

/// Whether it is one for the identity of the seeds.
pub fn opens(bytes: &[u8]) -> bool {
    let mut opened = false;
    as_file(bytes, |path| {
        let (identity, target) = (path.with_extension("key"), path.with_extension("db"));
        if std::fs::write(&identity, IDENTITY).is_ok() {
            let _ = encryption::is_encrypted(path);
            opened = encryption::decrypt(path, &target, &identity, &watch()).is_ok();
        }
    });
    opened
}

/// Files of identities, and recipients.
pub fn identities(bytes: &[u8]) {
    as_file(bytes, |path| {
        // The identities are read first, whatever there is to be decrypted.
        let target = path.with_extension("db");
        let _ = encryption::decrypt(path, &target, path, &watch()).is_ok();
    });
    if let Ok(text) = std::str::from_utf8(bytes) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let _ = encryption::Recipients::parse(&lines).is_ok();
    }
}
