//! Backup files that this machine can write and not read.
//!
//! The format is age's (age-encryption.org/v1), binary, to X25519 recipients: the operator keeps the secret half
//! elsewhere, and any age program opens the file. Encryption follows verification, so nothing is encrypted that does
//! not restore, and the digest is that of the encrypted bytes, so that a copy can be compared without the identity.
//!
//! Left out: passphrases, of recipients and of identity files (a restore on a server asks nobody), plugins, SSH keys,
//! and age's text form, which a database's size makes no sense of. Each is told apart in an error.

mod identity;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek};
use std::path::Path;

use age::x25519::Recipient;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};

use super::copy::create_private;
use super::digest::{Digesting, End, copy};
use super::pace::Steady;
use super::progress::Watch;
use super::{BackupError, Phase};

/// What a binary age file begins with.
const MAGIC: &[u8] = b"age-encryption.org/";
/// What an age file in text form begins with.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// What is read of an encrypted file at once: a chunk of the format and its tag.
const BUFFER: usize = (64 << 10) + 16;

/// Bytes between two words about the progress.
const STRIDE: u64 = 4 << 20;

/// Whom backups are encrypted to: at least one.
#[derive(Clone)]
pub(super) struct Recipients(Vec<Recipient>);

impl Recipients {
    /// The recipients that the configuration names; `None` when it names none.
    ///
    /// # Errors
    /// [`BackupError::Recipients`]; the text is not quoted, as it may be a secret key in the wrong place.
    pub(super) fn parse(texts: &[String]) -> Result<Option<Self>, BackupError> {
        let parsed = texts.iter().enumerate().map(|(index, text)| {
            text.parse().map_err(|error| {
                let number = index.saturating_add(1);
                BackupError::Recipients(format!("number {number} is no age1… recipient: {error}"))
            })
        });
        let recipients = parsed.collect::<Result<Vec<Recipient>, _>>()?;
        Ok((!recipients.is_empty()).then_some(Self(recipients)))
    }
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(ToString::to_string))
            .finish()
    }
}

/// An encrypted file that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Its size.
    pub(super) bytes: u64,
    /// SHA-256 of it, as it was written.
    pub(super) digest: [u8; 32],
}

/// Encrypts `source` to a new file `target` (mode 0600), flushed to the disk. Its folder's entry is not flushed, and
/// `source` stays.
///
/// # Errors
/// [`BackupError::Io`], also when `target` exists already; [`BackupError::Recipients`]. A file that was begun is
/// removed.
pub(super) fn encrypt(
    source: &Path,
    target: &Path,
    recipients: &Recipients,
    watch: &Watch,
) -> Result<Sealed, BackupError> {
    let read_failed = |error| BackupError::io(source, error);
    let write_failed = |error| BackupError::io(target, error);
    let mut input = File::open(source).map_err(read_failed)?;
    let total = input.metadata().map_err(read_failed)?.len();
    let known = recipients
        .0
        .iter()
        .map(|known| -> &dyn age::Recipient { known });
    let encryptor = Encryptor::with_recipients(known)
        .map_err(|error| BackupError::Recipients(refusal(&error)))?;
    let new = NewFile::create(target)?;
    // The library tells in the words of programmers that a header cannot be written. Through memory it can, and the disk's
    // own error comes with the first chunk.
    let sink = Digesting::new(Steady::new(&new.file, watch.rhythm()));
    let mut output = encryptor
        .wrap_output(BufWriter::with_capacity(BUFFER, sink))
        .map_err(write_failed)?;
    let mut told = Told::begin(watch, Phase::Encrypt, total)?;
    copy(
        &mut input,
        &mut output,
        |done| told.upto(done),
        |end, error| match end {
            End::Source => read_failed(error),
            End::Target => write_failed(error),
        },
    )?;
    let sink = output.finish().map_err(write_failed)?.into_inner();
    let sink = sink.map_err(|error| write_failed(error.into_error()))?;
    let (_, bytes, digest) = sink.finish();
    new.keep()?;
    told.all()?;
    Ok(Sealed { bytes, digest })
}

/// Why there is no encryption. The library's own texts come in the reader's language; logs are in one.
fn refusal(error: &EncryptError) -> String {
    match error {
        EncryptError::Io(error) => error.to_string(),
        _ => "the recipients cannot be used together".to_owned(),
    }
}

/// Decrypts `source` with the identities in `identity_file` to a new file `target` (mode 0600), flushed to the disk.
/// `target` is complete and authentic when this returns without error. The progress counts towards the size of `source`.
///
/// # Errors
/// [`BackupError::Identity`] for what is wrong with the identity's file, [`BackupError::Damaged`] for a `source` that was
/// cut or changed, [`BackupError::NotABackup`] and [`BackupError::Armored`] for another kind of file,
/// [`BackupError::Io`], also when `target` exists already. A file that was begun is removed.
pub(super) fn decrypt(
    source: &Path,
    target: &Path,
    identity_file: &Path,
    watch: &Watch,
) -> Result<(), BackupError> {
    let identities = identity::read(identity_file)?;
    let read_failed = |error| BackupError::io(source, error);
    let mut input = File::open(source).map_err(read_failed)?;
    let total = input.metadata().map_err(read_failed)?.len();
    match form(&mut input).map_err(read_failed)? {
        Form::Binary => input.rewind().map_err(read_failed)?,
        Form::Armored => {
            return Err(BackupError::Armored {
                path: source.to_owned(),
            });
        }
        Form::Other => {
            return Err(BackupError::NotABackup {
                path: source.to_owned(),
            });
        }
    }
    let known = identities
        .iter()
        .map(|known| -> &dyn age::Identity { known });
    let mut plain = Decryptor::new_buffered(BufReader::with_capacity(BUFFER, input))
        .and_then(|decryptor| decryptor.decrypt(known))
        .map_err(|error| not_opened(source, identity_file, error))?;
    let new = NewFile::create(target)?;
    let mut told = Told::begin(watch, Phase::Decrypt, total)?;
    copy(
        &mut plain,
        &mut Steady::new(&new.file, watch.rhythm()),
        |done| told.upto(done),
        |end, error| match end {
            End::Source => unreadable(source, error),
            End::Target => BackupError::io(target, error),
        },
    )?;
    new.keep()?;
    told.all()
}

/// Why the header does not open. Of the recipients a header tells nothing, so a changed line of the right one looks like
/// one for somebody else.
fn not_opened(source: &Path, identity_file: &Path, error: DecryptError) -> BackupError {
    let what = match error {
        DecryptError::Io(error) => return unreadable(source, error),
        DecryptError::NoMatchingKeys | DecryptError::ExcessiveWork { .. } => {
            return BackupError::Identity {
                path: identity_file.to_owned(),
                what: format!(
                    "holds no identity that {} is encrypted to",
                    source.display()
                ),
            };
        }
        DecryptError::UnknownFormat => "it is of an age format that this program does not know",
        _ => "the header of its encryption was changed",
    };
    BackupError::Damaged {
        path: source.to_owned(),
        what: what.to_owned(),
    }
}

/// Why its bytes do not come: what age says of bytes that are not those that were written, or the disk.
fn unreadable(source: &Path, error: io::Error) -> BackupError {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early",
        io::ErrorKind::InvalidData => "its encrypted bytes were changed or cut off",
        _ => return BackupError::io(source, error),
    };
    BackupError::Damaged {
        path: source.to_owned(),
        what: what.to_owned(),
    }
}

/// Whether the file is an encrypted one, by its first bytes; also in age's text form, which [`decrypt`] refuses by name.
///
/// # Errors
/// What opening or reading it says.
pub(super) fn is_encrypted(path: &Path) -> io::Result<bool> {
    Ok(form(&mut File::open(path)?)? != Form::Other)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Armored,
    Other,
}

/// Reads the beginning of a file.
fn form(input: &mut impl Read) -> io::Result<Form> {
    let mut head = Vec::with_capacity(ARMOR.len());
    input
        .take(ARMOR.len().try_into().unwrap_or(u64::MAX))
        .read_to_end(&mut head)?;
    Ok(form_of(&head))
}

fn form_of(head: &[u8]) -> Form {
    if head.starts_with(MAGIC) {
        Form::Binary
    } else if head.starts_with(ARMOR) {
        Form::Armored
    } else {
        Form::Other
    }
}

/// A file that did not exist before, and does not when this is dropped without [`NewFile::keep`].
#[derive(Debug)]
struct NewFile<'a> {
    path: &'a Path,
    file: File,
    kept: bool,
}

impl<'a> NewFile<'a> {
    fn create(path: &'a Path) -> Result<Self, BackupError> {
        let file = create_private(path)?;
        Ok(Self {
            path,
            file,
            kept: false,
        })
    }

    /// Flushes the file to the disk and leaves it there.
    fn keep(mut self) -> Result<(), BackupError> {
        self.file
            .sync_all()
            .map_err(|error| BackupError::io(self.path, error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = std::fs::remove_file(self.path) {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished file could not be removed");
        }
    }
}

/// Tells the progress every few MiB.
struct Told<'a> {
    watch: &'a Watch,
    phase: Phase,
    total: u64,
    next: u64,
}

impl<'a> Told<'a> {
    fn begin(watch: &'a Watch, phase: Phase, total: u64) -> Result<Self, BackupError> {
        watch.tell(phase, 0, total)?;
        Ok(Self {
            watch,
            phase,
            total,
            next: STRIDE,
        })
    }

    /// `done` bytes are done. The end is told by [`Told::all`], once the file is on the disk.
    fn upto(&mut self, done: u64) -> Result<(), BackupError> {
        if done < self.next {
            return Ok(());
        }
        self.next = done.saturating_add(STRIDE);
        self.watch
            .tell(self.phase, done.min(self.total), self.total)
    }

    fn all(&self) -> Result<(), BackupError> {
        self.watch.tell(self.phase, self.total, self.total)
    }
}
