//! A node that cannot start says so on one line: what is wrong, where, and what mends it. It ends with a code that is
//! not 0 and leaves what it found as it was.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{Setup, get_body, register_body, share, token};

/// The exit code of a configuration that cannot be used (`EX_CONFIG` of sysexits).
const EX_CONFIG: i32 = 78;

/// Asserts the form of a refusal and that it says all of `texts`.
#[track_caller]
fn refuses_with(output: &Output, code: i32, texts: &[&str]) {
    let said = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("ksnode: "))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert_eq!(said.lines().last(), lines.first().copied(), "{said}");
    for text in texts {
        assert!(lines[0].contains(text), "{text:?} is missing: {said}");
    }
    let system = lines[0].matches("(os error").count();
    assert!(system <= 1, "it says the same twice: {said}");
    assert!(
        !std::str::from_utf8(&output.stdout)
            .unwrap()
            .contains("ksnode serves")
    );
}

#[track_caller]
fn refuses(setup: &Setup, texts: &[&str]) {
    refuses_with(&setup.fail(), 1, texts);
}

/// A home whose node has run, with user 1 in it.
fn used() -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    assert!(node.stop().success());
    (home, setup)
}

/// Asserts that the mend worked.
#[track_caller]
fn serves_again(setup: &Setup) {
    let data = setup
        .start()
        .post("/keyshare/v2", &token(1), &get_body(1))
        .data();
    assert_eq!(data["secp256k1"]["share"], share("secp256k1", 1));
}

/// Names of the database's files and hashes of what they hold.
fn database(setup: &Setup) -> Vec<(PathBuf, Option<String>)> {
    use sha2::{Digest, Sha256};
    ["ksnode.db", "ksnode.db-wal"]
        .map(|name| setup.data(name))
        .map(|path| {
            let bytes = std::fs::read(&path).ok().filter(|bytes| !bytes.is_empty());
            (path, bytes.map(|bytes| hex::encode(Sha256::digest(bytes))))
        })
        .into()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).listen(&address);
    refuses(
        &setup,
        &["server.listen", &address, "in use", "another address"],
    );
    drop(taken);
    setup.start();
}

#[test]
fn an_address_of_another_machine() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).listen("192.0.2.1:4201");
    refuses(
        &setup,
        &["server.listen", "192.0.2.1:4201", "no such address"],
    );
}

#[test]
fn a_second_node_on_the_same_folder() {
    let (_home, setup) = used();
    let first = setup.start();
    let pid = first.child.id().to_string();
    let folder = setup.data("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    refuses(
        &setup,
        &[
            folder,
            "in use by another ksnode",
            &pid,
            "stop that one",
            "data_dir",
        ],
    );
    assert_eq!(
        first.post("/keyshare/v2", &token(1), &get_body(1)).status,
        200
    );
    // However the first one ends, it leaves nothing that keeps the next one out.
    first.kill();
    serves_again(&setup);
}

#[test]
fn a_wrong_secret() {
    let (_home, setup) = used();
    let right = std::fs::read(setup.data("secret")).unwrap();
    let before = database(&setup);
    std::fs::write(setup.data("secret"), "another secret").unwrap();
    refuses(
        &setup,
        &[
            "encryption secret",
            "not the one this database was made with",
            "secret_file",
        ],
    );
    std::fs::write(setup.data("secret"), "").unwrap();
    let path = setup.data("secret");
    refuses(
        &setup,
        &[
            path.to_str().unwrap(),
            "is empty",
            "put the node's secret back",
        ],
    );
    assert_eq!(database(&setup), before);
    std::fs::write(setup.data("secret"), right).unwrap();
    serves_again(&setup);
}

#[test]
fn a_secret_that_others_can_read() {
    let (_home, setup) = used();
    let path = setup.data("secret");
    let text = path.to_str().unwrap();
    for mode in [0o640, 0o604] {
        set_mode(&path, mode);
        let mend = format!("chmod 600 {text}");
        refuses_with(
            &setup.fail(),
            EX_CONFIG,
            &[text, &format!("{mode:o}"), &mend],
        );
    }
    // The mend as it was printed.
    set_mode(&path, 0o600);
    serves_again(&setup);
    set_mode(&path, 0o644);
    serves_again(&setup.env("KSNODE_ALLOW_READABLE_SECRET", "true"));
}

#[test]
fn a_secret_that_is_missing_beside_a_database() {
    let (_home, setup) = used();
    let path = setup.data("secret");
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    refuses(
        &setup,
        &[
            "secret_file",
            path.to_str().unwrap(),
            "is missing",
            "put the secret",
            "back",
        ],
    );
    assert!(
        !path.exists(),
        "a new secret would hide that the old one is gone"
    );
    std::fs::write(&path, kept).unwrap();
    set_mode(&path, 0o600);
    serves_again(&setup);
}

#[test]
fn a_damaged_key_ring() {
    for (damage, says) in [
        (
            "UPDATE key_ring SET wrapped = zeroblob(80) WHERE purpose = 'index'",
            "index key 1 does not open",
        ),
        (
            "UPDATE key_ring SET wrapped = x'00' WHERE purpose = 'share'",
            "share key 1 does not open",
        ),
        (
            "DELETE FROM key_ring WHERE purpose = 'share'",
            "it has no share key",
        ),
        (
            "UPDATE node_key SET sealed_seed = zeroblob(64)",
            "node key 1",
        ),
    ] {
        let (_home, setup) = used();
        let connection = rusqlite::Connection::open(setup.data("ksnode.db")).unwrap();
        assert_eq!(connection.execute(damage, []).unwrap(), 1);
        drop(connection);
        refuses(&setup, &["damaged", says, "restore a backup"]);
    }
}

#[test]
fn the_database_of_another_node() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "one secret for two nodes").unwrap();
    set_mode(&secret, 0o600);
    let nodes = ["a", "b"].map(|name| {
        let own = home.path().join(name);
        std::fs::create_dir(&own).unwrap();
        let setup = Setup::new(&own).env("KSNODE_SECRET_FILE", secret.to_str().unwrap());
        let node = setup.start();
        node.post("/keyshare/v2/register", &token(1), &register_body(1))
            .data();
        assert!(node.stop().success());
        setup
    });
    let [a, b] = nodes.each_ref().map(|setup| setup.data("ksnode.db"));
    let swap = || {
        let aside = home.path().join("aside");
        std::fs::rename(&a, &aside).unwrap();
        std::fs::rename(&b, &a).unwrap();
        std::fs::rename(&aside, &b).unwrap();
    };
    swap();
    for setup in &nodes {
        let before = database(setup);
        refuses(
            setup,
            &[
                "database of another node",
                "Put the right ksnode.db back",
                "data_dir",
            ],
        );
        assert_eq!(database(setup), before);
    }
    swap();
    nodes.iter().for_each(serves_again);
}

#[test]
fn a_database_that_is_gone() {
    let (_home, setup) = used();
    std::fs::remove_file(setup.data("ksnode.db")).unwrap();
    refuses(&setup, &["ksnode.db", "restore a backup", "data_dir"]);
}

#[test]
fn a_newer_database_is_left_untouched() {
    let (_home, setup) = used();
    let connection = rusqlite::Connection::open(setup.data("ksnode.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = database(&setup);
    let path = setup.data("ksnode.db");
    refuses(
        &setup,
        &[
            path.to_str().unwrap(),
            "newer ksnode",
            "99",
            "untouched",
            "Install that version again",
        ],
    );
    assert_eq!(database(&setup), before);
}

#[test]
fn a_newer_database_that_was_killed_is_left_untouched_with_its_log() {
    let (_home, setup) = used();
    let node = setup.start();
    let connection = rusqlite::Connection::open(setup.data("ksnode.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    node.kill();
    // Gone like the node: a connection that closes would fold the log in.
    let aside = setup.data("aside");
    std::fs::create_dir(&aside).unwrap();
    for name in ["ksnode.db", "ksnode.db-wal"] {
        std::fs::copy(setup.data(name), aside.join(name)).unwrap();
    }
    drop(connection);
    for name in ["ksnode.db", "ksnode.db-wal"] {
        std::fs::copy(aside.join(name), setup.data(name)).unwrap();
    }
    let before = database(&setup);
    assert!(before[1].1.is_some(), "there is a write-ahead log");
    refuses(&setup, &["newer ksnode", "99", "untouched"]);
    assert_eq!(database(&setup), before);
}

#[test]
fn what_is_no_database_of_ksnode() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    let other = setup.data("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch("CREATE TABLE wallet (id INTEGER)")
        .unwrap();
    drop(connection);
    let texts = "Dear diary, today I met an operator. "
        .repeat(300)
        .into_bytes();
    for content in [texts, b"short".to_vec(), std::fs::read(&other).unwrap()] {
        std::fs::write(&path, &content).unwrap();
        refuses(
            &setup,
            &[
                path.to_str().unwrap(),
                "not a ksnode database",
                "untouched",
                "data_dir",
            ],
        );
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_torn_database_is_named() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..4096 + 100]).unwrap();
    refuses(&setup, &["database", "damaged", "restore a backup"]);
}

#[test]
fn a_data_folder_that_cannot_be_one() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = file.to_str().unwrap();
    refuses(
        &Setup::new(home.path()).env("KSNODE_DATA_DIR", text),
        &["data_dir", text, "folder"],
    );
    let below = format!("{text}/below");
    refuses(
        &Setup::new(home.path()).env("KSNODE_DATA_DIR", &below),
        &["data_dir", &below],
    );
    // Where nobody can write, whoever runs the test.
    let nowhere = "/proc/ksnode";
    refuses(
        &Setup::new(home.path()).env("KSNODE_DATA_DIR", nowhere),
        &["data_dir", nowhere],
    );
}

#[test]
fn a_folder_in_the_place_of_a_file() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refuses(&setup, &[path.to_str().unwrap()]);
}

#[test]
fn a_log_folder_that_cannot_be_one() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = file.to_str().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_LOG__DIR", text);
    refuses(
        &setup,
        &["log.dir", text, "create the folder", "another one"],
    );
}

#[test]
fn a_wrong_configuration_is_told_apart_by_its_code() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_SERVER__MAX_CONNECTIONS", "none");
    refuses_with(
        &setup.fail(),
        EX_CONFIG,
        &["server.max_connections", "KSNODE_SERVER__MAX_CONNECTIONS"],
    );
    let setup = Setup::new(home.path()).config("[server]\nmax_conections = 5\n");
    refuses_with(
        &setup.fail(),
        EX_CONFIG,
        &["line 2", "server.max_conections", "did you mean"],
    );
}
