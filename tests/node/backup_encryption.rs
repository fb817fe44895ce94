//! Backups that this machine can write and not read.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use memchr::memmem;

use crate::operator::{
    backup, document, holds, inflate, listed, name, names, printed, refused, register, restore,
    shares,
};
use crate::support::Setup;

/// What every SQLite database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

struct Keys {
    recipient: String,
    /// The file of the secret half, which an operator keeps elsewhere.
    identity: PathBuf,
}

impl Keys {
    fn new(home: &Path, name: &str) -> Self {
        let identity = Identity::generate();
        let path = home.join(name);
        std::fs::write(&path, identity.to_string().expose_secret()).unwrap();
        Self {
            recipient: identity.to_public().to_string(),
            identity: path,
        }
    }

    fn identity(&self) -> &str {
        self.identity.to_str().unwrap()
    }
}

fn setup(home: &Path, recipients: &[&Keys]) -> Setup {
    let recipients: Vec<&str> = recipients.iter().map(|keys| &*keys.recipient).collect();
    Setup::new(home)
        .env("KSNODE_BACKUP__AGE_RECIPIENTS", &recipients.join(","))
        .env("KSNODE_BACKUP__DIR", home.join("b").to_str().unwrap())
}

#[test]
fn nothing_in_the_folder_can_be_read_at_any_time() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::new(home.path(), "identity");
    let setup = setup(home.path(), &[&keys]);
    assert!(setup.start().stop().success());
    inflate(&setup, 24 << 20);
    let node = setup.start();
    register(&node, 1..=5);
    let folder = home.path().join("b");
    std::fs::create_dir(&folder).unwrap();
    let done = AtomicBool::new(false);
    let (mut seen, mut looks) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            backup(&setup);
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            looks += 1;
            for name in names(&folder) {
                // It may have got its name just now.
                let Ok(bytes) = std::fs::read(folder.join(&name)) else {
                    continue;
                };
                assert!(memmem::find(&bytes, MAGIC).is_none(), "{name}");
                seen.push(name);
            }
        }
    });
    assert!(looks > 3, "{looks}");
    assert!(seen.iter().any(|name| name.ends_with(".partial")));
    assert!(seen.iter().all(|name| name.contains(".db.age")), "{seen:?}");
    let path = listed(&setup)[0]["path"].as_str().unwrap().to_owned();
    assert_eq!(names(&folder), [name(Path::new(&path))]);
    assert!(path.ends_with(".db.age"));
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(memmem::find(&bytes, MAGIC).is_none());
    // Not on the way either.
    assert!(
        !names(&setup.data(""))
            .iter()
            .any(|name| name.contains("partial"))
    );
}

#[test]
fn verified_by_digest_without_the_identity_and_in_full_with_it() {
    let home = tempfile::tempdir().unwrap();
    let [keys, second, other] = ["one", "two", "other"].map(|name| Keys::new(home.path(), name));
    let setup = setup(home.path(), &[&keys, &second]);
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    let entry = listed(&setup).remove(0);
    assert_eq!(entry["encrypted"], true);
    let verify = |more: &[&str]| {
        let named = ["backup", "verify", name(&path), "--json"];
        setup.run(&[&named, more].concat())
    };
    for more in [
        &[][..],
        &["--age-identity", keys.identity()],
        &["--age-identity", second.identity()],
    ] {
        let verified = document(&verify(more))["verified"].clone();
        assert_eq!(verified["sha256"], entry["sha256"]);
        assert_eq!(verified["encrypted"], true);
        assert_eq!(verified["holds"]["users"], 2);
    }
    let wrong = verify(&["--age-identity", other.identity()]);
    refused(
        &wrong,
        1,
        &[other.identity(), "holds no identity", name(&path)],
    );
    // That says nothing of the backup.
    assert_eq!(listed(&setup)[0]["status"], "COMPLETED");

    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let copy = path.with_file_name("copy.db.age");
    std::fs::write(&copy, &bytes).unwrap();
    let of_copy = ["backup", "verify", "copy.db.age", "--json"];
    let identity = ["--age-identity", keys.identity()];
    refused(
        &setup.run(&of_copy),
        1,
        &["copy.db.age is encrypted", "--age-identity"],
    );
    let in_full = setup.run(&[&of_copy[..], &identity].concat());
    refused(&in_full, 1, &["copy.db.age is damaged"]);
    std::fs::write(&path, &bytes).unwrap();
    refused(
        &verify(&[]),
        1,
        &["is damaged", "has changed since it was made"],
    );
    let damaged = listed(&setup).remove(0);
    assert_eq!(damaged["status"], "FAILED");
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);
}

#[test]
fn restored_with_the_identity_alone() {
    let home = tempfile::tempdir().unwrap();
    let [keys, other] = ["one", "other"].map(|name| Keys::new(home.path(), name));
    let recipient = home.path().join("recipient");
    std::fs::write(&recipient, &keys.recipient).unwrap();
    let setup = setup(home.path(), &[&keys]);
    let node = setup.start();
    register(&node, 1..=2);
    let (path, then) = (backup(&setup), shares(&setup));
    register(&node, 3..=3);
    let try_all = || {
        let now = shares(&setup);
        for (identity, says) in [
            (None, "is encrypted; name the file of the age identity"),
            (Some(other.identity()), "holds no identity"),
            (recipient.to_str(), "line 1 is a recipient"),
            (Some("/nowhere"), "/nowhere: cannot be read"),
        ] {
            refused(&restore_with(&setup, &path, identity), 1, &[says]);
        }
        assert_eq!(shares(&setup), now);
        let restored = document(&restore_with(&setup, &path, Some(keys.identity())));
        assert_eq!(shares(&setup), then);
        let safety = PathBuf::from(restored["restore"]["safety"].as_str().unwrap());
        printed(&restore_with(&setup, &safety, Some(keys.identity())));
        assert_eq!(shares(&setup), now);
    };
    try_all();
    holds(&node, 1..=3);
    assert!(node.stop().success());
    try_all();
    holds(&setup.start(), 1..=3);
    let all = names(path.parent().unwrap());
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(all.iter().all(|name| name.ends_with(".db.age")), "{all:?}");
}

fn restore_with(setup: &Setup, path: &Path, identity: Option<&str>) -> Output {
    let mut arguments = vec!["restore", name(path), "--yes", "--json"];
    arguments.extend(
        identity
            .into_iter()
            .flat_map(|path| ["--age-identity", path]),
    );
    setup.run(&arguments)
}

/// A backup of before encryption was configured, and one of after it was given up.
#[test]
fn plain_and_encrypted_ones_live_side_by_side() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::new(home.path(), "identity");
    let encrypting = setup(home.path(), &[&keys]);
    let plain = setup(home.path(), &[]);
    assert!(plain.start().stop().success());
    let first = backup(&plain);
    let second = backup(&encrypting);
    for setup in [&plain, &encrypting] {
        restore(setup, &first);
        printed(&restore_with(setup, &second, Some(keys.identity())));
    }
    let flags: Vec<bool> = listed(&plain)
        .iter()
        .map(|entry| entry["encrypted"].as_bool().unwrap())
        .collect();
    // Newest first: what each restore saved is as its time's configuration wanted it.
    assert_eq!(flags, [true, true, false, false, true, false]);
}

#[test]
fn recipients_that_cannot_be_used_keep_the_node_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::new(home.path(), "identity");
    let secret = std::fs::read_to_string(&keys.identity).unwrap();
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJa5";
    for wrong in ["age1", ssh, &secret, &format!("{},age1x", keys.recipient)] {
        let setup = Setup::new(home.path()).env("KSNODE_BACKUP__AGE_RECIPIENTS", wrong);
        let output = setup.fail();
        refused(&output, 78, &["backup.age_recipients"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(&secret), "{said}");
        assert!(!setup.data("ksnode.db").exists());
        refused(
            &setup.run(&["backup", "create"]),
            78,
            &["backup.age_recipients"],
        );
    }
}
