//! A node that cannot start says so on one line: what is wrong, where, and what mends it. It ends with a code that is
//! not 0 and leaves what it found as it was.

mod databases;

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
