//! A certificate that the node makes for itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Node, Setup};

fn setup(home: &Path) -> Setup {
    Setup::new(home).env("KSNODE_TLS__MODE", "self-signed")
}

/// What curl gets that was told to trust what is in `file` alone.
fn trusting(file: &Path, node: &Node) -> String {
    let output = Command::new("curl")
        .args(["-q", "-sS", "-m", "30", "--noproxy", "*", "--cacert"])
        .arg(file)
        .arg(&node.url)
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn whoever_trusts_it_does_so_after_a_restart_too() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let file = setup.data("tls-self-signed.pem");
    let node = setup.start();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let made = std::fs::read(&file).unwrap();
    assert_eq!(trusting(&file, &node), "Ok");
    node.stop();
    let node = setup.start();
    assert_eq!(trusting(&file, &node), "Ok");
    assert_eq!(std::fs::read(&file).unwrap(), made);
    node.stop();
    // For another name it is another one, which is trusted where the old one's key was.
    let node = setup.env("KSNODE_TLS__DOMAINS", "node.example.org").start();
    assert_ne!(std::fs::read(&file).unwrap(), made);
    assert!(trusting(&file, &node).contains("curl: (60)"));
}

#[test]
fn a_file_that_others_read_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    setup.start().stop();
    let file = setup.data("tls-self-signed.pem");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let error = String::from_utf8(setup.fail().stderr).unwrap();
    assert!(error.contains("run: chmod 600 "), "{error}");
}
