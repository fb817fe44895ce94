//! Files that only their recipients read, and that nobody changes unnoticed.

mod identities;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use super::super::digest::digest;
use super::super::testing::{unwatched, watched};
use super::super::{Progress, Step};
use super::*;

/// A folder with the file `plain`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(content: &[u8]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("plain", content);
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.at(name), content).unwrap();
        self.at(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap()
    }

    /// Writes an identity as age-keygen does.
    fn identity(&self, name: &str, identity: &Identity) -> PathBuf {
        let text = format!(
            "# created: 2026-01-01T00:00:00Z\n# public key: {}\n{}\n\n",
            identity.to_public(),
            identity.to_string().expose_secret()
        );
        self.write(name, text)
    }

    fn encrypt(&self, recipients: &Recipients) -> Result<Sealed, BackupError> {
        encrypt(
            &self.at("plain"),
            &self.at("sealed"),
            recipients,
            &unwatched(),
        )
    }

    fn decrypt(&self, identity: &Path) -> Result<(), BackupError> {
        decrypt(
            &self.at("sealed"),
            &self.at("opened"),
            identity,
            &unwatched(),
        )
    }

    /// The error of a decryption, which leaves nothing behind.
    fn refusal(&self, identity: &Path) -> BackupError {
        let error = self.decrypt(identity).unwrap_err();
        assert!(!self.at("opened").exists());
        error
    }
}

fn to(identities: &[&Identity]) -> Recipients {
    let texts: Vec<String> = identities
        .iter()
        .map(|identity| identity.to_public().to_string())
        .collect();
    Recipients::parse(&texts).unwrap().unwrap()
}

/// An encrypted file of this content, and the file of its identity.
fn sealed(content: &[u8]) -> (Folder, PathBuf) {
    let folder = Folder::with(content);
    let identity = Identity::generate();
    folder.encrypt(&to(&[&identity])).unwrap();
    let file = folder.identity("identity", &identity);
    (folder, file)
}

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[test]
fn every_recipient_reads_what_was_written() {
    // Around the chunks of the format, 64 KiB each.
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000] {
        let folder = Folder::with(&content(length));
        let (one, other) = (Identity::generate(), Identity::generate());
        let sealed = folder.encrypt(&to(&[&one, &other])).unwrap();
        assert_eq!(
            digest(&folder.at("sealed")).unwrap(),
            (sealed.bytes, sealed.digest)
        );
        for identity in [&one, &other] {
            let file = folder.identity("identity", identity);
            folder.decrypt(&file).unwrap();
            assert_eq!(folder.read("opened"), folder.read("plain"));
            std::fs::remove_file(folder.at("opened")).unwrap();
        }
    }
}

#[test]
fn files_are_private_and_new() {
    let (folder, identity) = sealed(b"rows");
    folder.decrypt(&identity).unwrap();
    for name in ["sealed", "opened"] {
        let mode = folder.at(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let encrypted = folder.read("sealed");
    for error in [
        folder.encrypt(&to(&[&Identity::generate()])).unwrap_err(),
        folder.decrypt(&identity).unwrap_err(),
    ] {
        assert!(
            matches!(&error, BackupError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists),
            "{error}"
        );
    }
    assert_eq!(folder.read("sealed"), encrypted);
    assert_eq!(folder.read("opened"), b"rows");
}

#[test]
fn the_plaintext_is_not_in_the_file() {
    let (folder, _) = sealed(&b"needle".repeat(1000));
    let encrypted = folder.read("sealed");
    assert!(!encrypted.windows(6).any(|window| window == b"needle"));
}

#[test]
fn a_source_that_cannot_be_read_leaves_nothing() {
    let folder = Folder::with(b"");
    let recipients = to(&[&Identity::generate()]);
    for source in [folder.at("none"), folder.0.path().to_owned()] {
        let error = encrypt(&source, &folder.at("sealed"), &recipients, &unwatched()).unwrap_err();
        assert!(
            matches!(&error, BackupError::Io { path, .. } if *path == source),
            "{error}"
        );
        assert!(!folder.at("sealed").exists());
    }
}

#[test]
fn an_error_of_the_target_names_the_target() {
    let folder = Folder::with(b"rows");
    let error = encrypt(
        &folder.at("plain"),
        &folder.at("none/sealed"),
        &to(&[&Identity::generate()]),
        &unwatched(),
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&folder.at("none/sealed").display().to_string()),
        "{error}"
    );
}

#[test]
fn a_cut_file_is_damaged_wherever_it_was_cut() {
    let (folder, identity) = sealed(&content(200_000));
    let whole = folder.read("sealed");
    let chunk = 65_552;
    let body = whole.len() - (200_000 + 4 * 16);
    let mut lengths: Vec<usize> = (25..whole.len()).step_by(997).collect();
    lengths.extend([
        body - 16,
        body - 1,
        body,
        body + 1,
        body + chunk,
        body + 2 * chunk,
        whole.len() - 1,
    ]);
    for length in lengths {
        folder.write("sealed", &whole[..length]);
        let error = folder.refusal(&identity);
        assert!(
            matches!(error, BackupError::Damaged { .. }),
            "{length}: {error}"
        );
    }
    folder.write("sealed", [&whole[..], b"x"].concat());
    assert!(matches!(
        folder.refusal(&identity),
        BackupError::Damaged { .. }
    ));
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let (folder, identity) = sealed(&content(70_000));
    let whole = folder.read("sealed");
    let body = whole.len() - (70_000 + 2 * 16);
    for position in (0..body).chain((body..whole.len()).step_by(499)) {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        folder.write("sealed", &changed);
        let error = folder.refusal(&identity);
        let expected = match error {
            BackupError::Damaged { .. } => true,
            // A changed magic is another kind of file, a changed line for us looks like one for somebody else.
            BackupError::NotABackup { .. } => position < MAGIC.len(),
            BackupError::Identity { .. } => position < body,
            _ => false,
        };
        assert!(expected, "{position}: {error}");
    }
}

#[test]
fn kinds_of_files_are_known_by_their_first_bytes() {
    let (folder, identity) = sealed(b"rows");
    assert!(is_encrypted(&folder.at("sealed")).unwrap());
    assert!(!is_encrypted(&folder.at("plain")).unwrap());
    folder.write("plain", "");
    assert!(!is_encrypted(&folder.at("plain")).unwrap());
    assert!(is_encrypted(&folder.at("none")).is_err());

    folder.write("sealed", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n");
    assert!(is_encrypted(&folder.at("sealed")).unwrap());
    assert!(matches!(
        folder.refusal(&identity),
        BackupError::Armored { .. }
    ));
    folder.write("sealed", "SQLite format 3\0");
    assert!(matches!(
        folder.refusal(&identity),
        BackupError::NotABackup { .. }
    ));
    folder.write("sealed", "age-encryption.org/v2\n-> X25519 a\n");
    let error = folder.refusal(&identity);
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let length = 9 << 20;
    let folder = Folder::with(&content(length));
    let identity = Identity::generate();
    let file = folder.identity("identity", &identity);
    let steps = Arc::new(Mutex::new(Vec::<Step>::new()));
    let kept = Arc::clone(&steps);
    let progress = Progress::new(move |step| kept.lock().unwrap().push(step));
    let watch = watched(&progress);
    encrypt(
        &folder.at("plain"),
        &folder.at("sealed"),
        &to(&[&identity]),
        &watch,
    )
    .unwrap();
    decrypt(&folder.at("sealed"), &folder.at("opened"), &file, &watch).unwrap();
    let steps = steps.lock().unwrap();
    for (phase, total) in [
        (Phase::Encrypt, u64::try_from(length).unwrap()),
        (
            Phase::Decrypt,
            folder.at("sealed").metadata().unwrap().len(),
        ),
    ] {
        let told: Vec<&Step> = steps.iter().filter(|step| step.phase == phase).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told.iter().all(|step| step.total == total));
        assert!(
            told.is_sorted_by(|one, other| one.done < other.done),
            "{told:?}"
        );
        assert_eq!((told[0].done, told[3].done), (0, total));
    }
}

#[test]
fn recipients_are_none_some_or_an_error_that_shows_no_secret() {
    assert!(Recipients::parse(&[]).unwrap().is_none());
    let identity = Identity::generate();
    let recipient = identity.to_public().to_string();
    let parsed = Recipients::parse(std::slice::from_ref(&recipient))
        .unwrap()
        .unwrap();
    assert_eq!(format!("{parsed:?}"), format!("[{recipient:?}]"));
    let secret = identity.to_string().expose_secret().to_owned();
    let error = Recipients::parse(&[recipient, secret.clone()])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("backup.age_recipients: number 2 is no age1… recipient: "),
        "{error}"
    );
    assert!(!error.contains(&secret[20..40]));
}
