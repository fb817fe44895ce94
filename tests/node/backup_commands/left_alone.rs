//! Files that stay as they are: the last good backup that is there, and the live database.

use crate::operator::{age, backup, holds, listed, name, printed, refused, register};
use crate::support::Setup;

#[test]
fn the_last_good_backup_that_is_there_outlives_its_days() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path())
        .env("KSNODE_BACKUP__AT", "")
        .env("KSNODE_BACKUP__KEEP_DAYS", "1");
    let node = setup.start();
    register(&node, 1..=1);
    let [old, last, gone] = [(); 3].map(|()| backup(&setup));
    assert!(node.stop().success());
    age(&setup, 10);
    std::fs::remove_file(&gone).unwrap();
    let _node = setup.start();
    printed(&setup.run(&["backup", "prune"]));
    assert!(last.is_file() && !old.exists());
    let listed = listed(&setup);
    for (path, status) in [(&old, "DELETED"), (&last, "COMPLETED"), (&gone, "DELETED")] {
        let path = path.to_str().unwrap();
        let entry = listed.iter().find(|entry| entry["path"] == path).unwrap();
        assert_eq!(entry["status"], status, "{path}");
    }
    printed(&setup.run(&["backup", "verify", name(&last)]));
}

/// Who closes a file of it in the node's process takes SQLite's locks away.
#[test]
fn the_live_database_is_no_backup_under_whatever_name() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let database = setup.data("ksnode.db");
    let hard = backup(&setup).with_file_name("hard.db");
    std::fs::hard_link(&database, &hard).unwrap();
    let try_all = |names: &[&str]| {
        for &name in names {
            for arguments in [
                &["backup", "verify", name, "--json"][..],
                &["restore", name, "--dry-run", "--json"],
                &["restore", name, "--yes", "--json"],
            ] {
                let texts = [
                    "is the live database of this node",
                    "`ksnode backup create`",
                ];
                refused(&setup.run(arguments), 1, &texts);
            }
        }
    };
    let (database, log) = (database.to_str().unwrap(), setup.data("ksnode.db-wal"));
    try_all(&[database, log.to_str().unwrap(), "hard.db"]);
    holds(&node, 1..=2);
    assert!(node.stop().success());
    try_all(&[database, "hard.db"]);
    std::fs::remove_file(&hard).unwrap();
    holds(&setup.start(), 1..=2);
}
