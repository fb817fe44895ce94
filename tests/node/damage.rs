//! A live database that is damaged: it is noticed, everybody is told, the good backups stay, and a restore heals it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::operator::{
    age, backup, document, has_user, holds, listed, metric, name, names, open, printed, refused,
    register, restore,
};
use crate::support::{Node, Setup, wait_for};

const PAGE: u64 = 4096;

/// A node of users 1 and 2 whose two backups are ten days old and are kept for one, started anew: the log is folded
/// into the file.
struct Patient {
    node: Node,
    home: tempfile::TempDir,
    setup: Setup,
    /// Oldest first.
    backups: [PathBuf; 2],
}

impl Patient {
    fn with(check_interval: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path())
            .env("KSNODE_BACKUP__AT", "")
            .env("KSNODE_BACKUP__KEEP_DAYS", "1")
            .env("KSNODE_BACKUP__CHECK_INTERVAL_SECONDS", check_interval);
        let node = setup.start();
        register(&node, 1..=1);
        let first = backup(&setup);
        register(&node, 2..=2);
        let second = backup(&setup);
        assert!(node.stop().success());
        age(&setup, 10);
        let node = setup.start();
        assert_well(&setup, &node);
        Self {
            home,
            setup,
            node,
            backups: [first, second],
        }
    }

    /// Changes a byte of the live database's file.
    fn flip(&self, offset: u64) {
        flip(&self.setup.data("ksnode.db"), offset);
    }

    /// Everybody can see it, and the backups stay.
    #[track_caller]
    fn assert_ill(&self, what: &str) {
        let Self { setup, node, .. } = self;
        wait_for("the damage to be noticed", || {
            (metric(node, "ksnode_database_damaged") > 0.0).then_some(())
        });
        assert_eq!(metric(node, "ksnode_backup_checked"), 0.0);
        assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);
        let page = setup.run(&["status"]);
        assert_eq!(page.status.code(), Some(1));
        let page = String::from_utf8(page.stdout).unwrap();
        assert!(page.contains("WRONG:   the database is damaged"), "{page}");
        let status = setup.run(&["status", "--json"]);
        assert_eq!(status.status.code(), Some(1));
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(status["well"], false);
        let damage = status["node"]["backup"]["damage"].as_str().unwrap();
        assert!(damage.contains("is damaged"), "{damage}");
        assert!(damage.contains(what), "{damage}");
        node.logs("ERROR");
        node.logs(what);
        // They are nine days over their time.
        setup.run(&["backup", "prune"]);
        let deleted = setup.run(&["backup", "delete", name(&self.backups[0])]);
        assert!(!deleted.status.success());
        assert!(self.backups.iter().all(|path| path.is_file()));
    }

    #[track_caller]
    fn heal(self) -> Self {
        let Self {
            home,
            setup,
            node,
            backups,
        } = self;
        let restored = restore(&setup, &backups[1]);
        assert_eq!(restored["after"]["users"], 2);
        let safety = restored["safety"].as_str().unwrap();
        assert!(Path::new(safety).is_file());
        // The running node may know a page better than the file does, and write it anew when it notes the backup.
        let status = if restored["safety_error"].is_string() {
            "FAILED"
        } else {
            "COMPLETED"
        };
        let newest = listed(&setup).remove(0);
        assert_eq!(newest["path"], safety);
        assert_eq!(newest["status"], status);
        assert_well(&setup, &node);
        holds(&node, 1..=2);
        register(&node, 3..=3);
        // The check says the same, again and again, and so does the next start.
        assert!(node.stop().success());
        let node = setup.start();
        assert_well(&setup, &node);
        Self {
            home,
            setup,
            node,
            backups,
        }
    }

    /// Only after that does retention go on.
    #[track_caller]
    fn keep_no_longer(self) {
        backup(&self.setup);
        assert!(!self.backups[0].exists());
        assert_well(&self.setup, &self.node);
    }
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[track_caller]
fn assert_well(setup: &Setup, node: &Node) {
    let status = document(&setup.run(&["status", "--json"]));
    assert_eq!(status["well"], true, "{status}");
    assert_eq!(metric(node, "ksnode_database_damaged"), 0.0);
    assert_eq!(metric(node, "ksnode_backup_checked"), 1.0);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
}

/// Where the first page of a table or index begins.
fn page_of(database: &Connection, name: &str) -> u64 {
    let root: u64 = database
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .unwrap();
    (root - 1) * PAGE
}

#[test]
fn a_flipped_byte_in_a_page_is_noticed_by_the_check() {
    for what in ["wallet", "sqlite_autoindex_wallet_1"] {
        let patient = Patient::with("1");
        let offset = page_of(&open(&patient.setup), what);
        // The kind of the page, of which there are four.
        patient.flip(offset);
        patient.assert_ill("page");
        patient.heal().keep_no_longer();
    }
}

#[test]
fn a_flipped_byte_in_the_first_page_is_noticed_by_the_check() {
    // The file's magic, and the kind of the page with the schema.
    for offset in [3, 100] {
        let patient = Patient::with("1");
        patient.flip(offset);
        patient.assert_ill("");
        patient.heal();
    }
}

#[test]
fn a_flipped_byte_in_the_history_is_noticed_by_the_check() {
    let patient = Patient::with("1");
    let database = open(&patient.setup);
    patient.flip(page_of(&database, "backup"));
    // Whoever reads it reads the file anew.
    database.execute("UPDATE reseal SET id = id", []).unwrap();
    drop(database);
    patient.assert_ill("");
    patient.heal();
}

#[test]
fn a_flipped_byte_in_a_share_is_noticed_by_the_next_backup() {
    let patient = Patient::with("1");
    let share: Vec<u8> = open(&patient.setup)
        .query_row("SELECT sealed FROM wallet WHERE id = 3", [], |row| {
            row.get(0)
        })
        .unwrap();
    let file = std::fs::read(patient.setup.data("ksnode.db")).unwrap();
    let offset = memchr::memmem::find(&file, &share).unwrap();
    patient.flip(offset as u64 + 20);
    let failed = patient.setup.run(&["backup", "create", "--json"]);
    refused(&failed, 1, &["ksnode.db is damaged", "share "]);
    // The check of the pages, which finds nothing, takes nothing back.
    patient.assert_ill("share ");
    let oldest = name(&patient.backups[0]);
    let kept = patient.setup.run(&["backup", "delete", oldest]);
    refused(&kept, 1, &["the live database is known to be damaged"]);
    let newest = listed(&patient.setup).remove(0);
    assert_eq!(newest["status"], "FAILED");
    assert!(!Path::new(newest["path"].as_str().unwrap()).exists());
    assert!(has_user(&patient.node, 1));
    patient.heal().keep_no_longer();
}

#[test]
fn a_backup_that_is_broken_or_gone_does_not_count_any_more() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let verify = |path: &Path| setup.run(&["backup", "verify", name(path), "--json"]);
    for (content, says) in [
        (Some(&b""[..]), "is empty"),
        (Some(b"text"), "is no backup"),
        (None, "there is no such backup"),
    ] {
        let path = backup(&setup);
        assert_well(&setup, &node);
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        refused(&verify(&path), 1, &[says]);
        assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);
        assert_eq!(metric(&node, "ksnode_database_damaged"), 0.0);
        let status = if content.is_some() {
            "FAILED"
        } else {
            "COMPLETED"
        };
        assert_eq!(listed(&setup)[0]["status"], status);
    }
}

/// A stopped node of users 1 and 2 that has a backup.
fn stopped() -> (tempfile::TempDir, Setup, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    assert!(node.stop().success());
    (home, setup, path)
}

#[test]
fn a_stopped_node_whose_database_cannot_be_read() {
    let (_home, setup, path) = stopped();
    let database = setup.data("ksnode.db");
    let whole = std::fs::read(&database).unwrap();
    let garbage: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    for content in [&whole[..8192], &whole[..5000], &garbage, b"short", &[]] {
        std::fs::write(&database, content).unwrap();
        let dry = printed(&setup.run(&["restore", name(&path), "--dry-run"]));
        assert!(dry.contains("users 2, shares 4"), "{dry}");
        assert_eq!(std::fs::read(&database).unwrap(), content);
        let restored = restore(&setup, &path);
        assert_eq!(restored["after"]["users"], 2);
        // What was there is kept as it was.
        assert!(restored["safety_error"].is_string(), "{restored}");
        let safety = restored["safety"].as_str().unwrap();
        // To SQLite an empty file is a database.
        assert!(content.is_empty() || std::fs::read(safety).unwrap() == *content);
        let node = setup.start();
        holds(&node, 1..=2);
        assert!(node.stop().success());
    }
}

#[test]
fn a_stopped_node_whose_database_is_gone() {
    let (_home, setup, path) = stopped();
    std::fs::remove_file(setup.data("ksnode.db")).unwrap();
    assert!(setup.data("node-id").exists());
    let restored = document(&setup.run(&["restore", name(&path), "--yes", "--json"]));
    let restored = &restored["restore"];
    assert_eq!(restored["before"], Value::Null);
    assert_eq!(restored["safety"], Value::Null);
    let node = setup.start();
    holds(&node, 1..=2);
    // It knows what it was made from.
    let listed = listed(&setup);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["path"], path.to_str().unwrap());
    assert_eq!(listed[0]["status"], "COMPLETED");
    assert_well(&setup, &node);
}

#[test]
fn a_new_machine_with_nothing_but_the_backup_and_the_secret() {
    let (_home, old, path) = stopped();
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path())
        .env("KSNODE_BACKUP__AT", "")
        .env("KSNODE_BACKUP__KEEP_DAYS", "1");
    let brought = home.path().join(name(&path));
    std::fs::copy(&path, &brought).unwrap();
    std::fs::create_dir_all(setup.data("")).unwrap();
    std::fs::copy(old.data("secret"), setup.data("secret")).unwrap();
    let output = setup.run(&["restore", brought.to_str().unwrap(), "--yes"]);
    let text = printed(&output);
    assert!(text.contains("there is no database"), "{text}");
    assert!(text.contains("users 2, shares 4"), "{text}");
    let id = |setup: &Setup| std::fs::read(setup.data("node-id")).unwrap();
    assert_eq!(id(&setup), id(&old));
    assert_eq!(
        names(&setup.data("")),
        ["ksnode.db", "ksnode.lock", "node-id", "secret"]
    );
    let node = setup.start();
    holds(&node, 1..=2);
    assert_well(&setup, &node);
    // The secret alone makes no other node's backup this one's.
    assert!(brought.is_file());
    // Nor is what the operator has brought the node's to delete.
    assert!(node.stop().success());
    age(&setup, 10);
    let _node = setup.start();
    let own = backup(&setup);
    printed(&setup.run(&["backup", "prune"]));
    assert!(brought.is_file() && own.is_file());
    let listed = listed(&setup);
    let brought = brought.to_str().unwrap();
    let known = listed.iter().find(|entry| entry["path"] == brought);
    assert_eq!(known.unwrap()["status"], "COMPLETED");
}

/// A backup proves that the secret's file opens it.
#[test]
fn a_secret_file_that_was_exchanged_is_told_as_such() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=1);
    let first = backup(&setup);
    let file = setup.data("secret");
    let secret = std::fs::read(&file).unwrap();
    std::fs::write(&file, "the secret of another node").unwrap();
    let says = "the encryption secret is not the one this database was made with; set secret_file";
    refused(&setup.run(&["backup", "create", "--json"]), 1, &[says]);
    let status = setup.run(&["status", "--json"]);
    assert_eq!(status.status.code(), Some(1));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let health = &status["node"]["backup"];
    assert_eq!(health["damage"], Value::Null, "{health}");
    let failure = health["failure"].as_str().unwrap();
    assert!(failure.contains(says), "{failure}");
    assert_eq!(metric(&node, "ksnode_database_damaged"), 0.0);
    std::fs::write(&file, secret).unwrap();
    backup(&setup);
    assert_well(&setup, &node);
    // Nothing keeps old ones.
    printed(&setup.run(&["backup", "delete", name(&first)]));
}
