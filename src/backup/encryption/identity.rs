//! The file with the secret halves, as age-keygen writes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use age::x25519::Identity;
use zeroize::Zeroizing;

use super::{BackupError, Form, form_of};

/// More is no file of identities.
const LIMIT: u64 = 1 << 20;

/// The identities in the file at `path`, at least one: a line each, between comments (`#`) and blank lines.
///
/// # Errors
/// [`BackupError::Identity`], with the number of a line and never with its text.
pub(super) fn read(path: &Path) -> Result<Vec<Identity>, BackupError> {
    let wrong = |what: String| BackupError::Identity {
        path: path.to_owned(),
        what,
    };
    let bytes = content(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if form_of(&bytes) != Form::Other {
        return Err(wrong(
            "is protected by a passphrase; open it first with `age --decrypt` into a private file"
                .to_owned(),
        ));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not a text".to_owned()))?;
    let lines = text.lines().map(str::trim).enumerate();
    let identities = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let number = index.saturating_add(1);
            line.parse()
                .map_err(|_| wrong(format!("line {number} is {}", kind(line))))
        })
        .collect::<Result<Vec<Identity>, BackupError>>()?;
    if identities.is_empty() {
        return Err(wrong(
            "holds no identity (a line that begins with AGE-SECRET-KEY-1)".to_owned(),
        ));
    }
    Ok(identities)
}

/// What a line is that is no identity.
fn kind(line: &str) -> &'static str {
    if line.starts_with("age1") {
        "a recipient, which encrypts; name the file with the secret half, AGE-SECRET-KEY-1…"
    } else if line.starts_with("AGE-PLUGIN-") {
        "an identity of a plugin; open the backup with `age --decrypt` and restore what comes out"
    } else {
        "no age X25519 identity (AGE-SECRET-KEY-1…)"
    }
}

/// All of the file, in one piece of memory that is wiped.
fn content(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 1 MiB",
        ));
    }
    // One byte more, so that the end is found without a larger piece.
    let capacity = usize::try_from(length).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}
