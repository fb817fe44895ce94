use std::fs::Permissions;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::self_signed::testing::pair;
use super::*;
use crate::clock::{Clock, ManualClock};

struct Folder {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: ManualClock::shared(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaced by renaming, as careful programs do: the file is another one each time.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    fn write_pair(&self, (certificate, key): &(String, String)) {
        self.write("chain.pem", certificate);
        self.write("key.pem", key);
    }

    fn start(&self) -> (Reloading, Certificates) {
        Reloading::start(self.files()).unwrap()
    }

    fn files(&self) -> Files {
        Files {
            files: CertificateFiles {
                certificate: self.path("chain.pem"),
                key: self.path("key.pem"),
                key_is_credential: false,
            },
            domains: vec![],
            allow_readable: false,
            clock: self.clock.clone(),
        }
    }
}

#[test]
fn a_new_pair_is_used_once_it_has_settled() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], 0, 90));
    let (mut reloading, certificates) = folder.start();
    let new = pair(&["b.example"], 0, 90);
    folder.write("chain.pem", &new.0);
    reloading.look();
    folder.write("key.pem", &new.1);
    reloading.look();
    // Between the two no mismatch was reported, and nothing was installed before the second look at the same.
    assert_eq!(certificates.facts().names, ["a.example"]);
    assert_eq!(certificates.facts().failures, 0);
    reloading.look();
    assert_eq!(certificates.facts().names, ["b.example"]);
    let attempt = certificates.facts().last_attempt;
    folder.clock.advance(RETRY * 2);
    reloading.look();
    assert_eq!(
        certificates.facts().last_attempt,
        attempt,
        "unchanged files are left alone"
    );
}

#[test]
fn a_chain_that_was_completed_is_served() {
    let folder = Folder::new();
    let (alone, key) = pair(&["a.example"], 0, 90);
    folder.write_pair(&(alone.clone(), key));
    let (mut reloading, certificates) = folder.start();
    folder.write("chain.pem", &(alone + &pair(&["issuer"], 0, 90).0));
    let completed = folder.files().load().unwrap();
    assert_eq!(completed.fingerprint, certificates.facts().fingerprint);
    assert!(!certificates.serves(&completed));
    reloading.reload();
    assert!(certificates.serves(&completed));
}

#[test]
fn a_broken_pair_keeps_the_old_one_until_it_is_mended() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], 0, 90));
    let (mut reloading, certificates) = folder.start();
    let broken: [&dyn Fn(); 4] = [
        &|| folder.write("key.pem", &pair(&["a.example"], 0, 90).1),
        &|| folder.write("chain.pem", "half a certif"),
        &|| std::fs::remove_file(folder.path("key.pem")).unwrap(),
        &|| {
            folder.write_pair(&pair(&["b.example"], 0, 90));
            std::fs::set_permissions(folder.path("key.pem"), Permissions::from_mode(0o644))
                .unwrap();
        },
    ];
    for (failures, damage) in (1..).zip(broken) {
        damage();
        reloading.look();
        reloading.look();
        let facts = certificates.facts();
        assert_eq!(
            (facts.names.as_slice(), facts.failures),
            (&["a.example".to_owned()][..], failures)
        );
        assert!(facts.last_error.is_some());
        assert_eq!(facts.next_attempt, Some(folder.clock.now().plus(RETRY)));
    }
    // A mode is mended without the file being written.
    std::fs::set_permissions(folder.path("key.pem"), Permissions::from_mode(0o600)).unwrap();
    reloading.look();
    reloading.look();
    let facts = certificates.facts();
    assert_eq!(facts.names, ["b.example"]);
    assert!(facts.last_error.is_none() && facts.next_attempt.is_none());
}

#[test]
fn a_broken_pair_is_tried_again_after_a_while() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], 0, 90));
    let (mut reloading, certificates) = folder.start();
    folder.write("chain.pem", "");
    reloading.reload();
    reloading.look();
    assert_eq!(certificates.facts().failures, 1);
    folder.clock.advance(RETRY);
    reloading.look();
    assert_eq!(certificates.facts().failures, 2);
}

#[test]
fn an_expired_pair_replaces_none_that_is_good() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], 0, 90));
    let (mut reloading, certificates) = folder.start();
    folder.write_pair(&pair(&["b.example"], -91, 90));
    reloading.reload();
    let facts = certificates.facts();
    assert_eq!(facts.names, ["a.example"]);
    assert!(
        facts
            .last_error
            .as_ref()
            .unwrap()
            .contains("2025-10-02T00:00:00.000Z"),
        "{facts:?}"
    );
    // When the old one is no better, the newer of the operator's wishes counts.
    folder.clock.advance(Duration::from_secs(91 * 86_400));
    reloading.reload();
    assert_eq!(certificates.facts().names, ["b.example"]);
}

#[test]
fn an_expired_pair_is_served_at_the_start() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], -91, 90));
    let (_, certificates) = folder.start();
    assert!(certificates.facts().days_left(folder.clock.now()) < 0);
}

#[test]
fn a_key_that_others_read_is_refused() {
    let folder = Folder::new();
    folder.write_pair(&pair(&["a.example"], 0, 90));
    std::fs::set_permissions(folder.path("key.pem"), Permissions::from_mode(0o640)).unwrap();
    let mut files = folder.files();
    let error = files.load().unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    files.allow_readable = true;
    files.load().unwrap();
}
