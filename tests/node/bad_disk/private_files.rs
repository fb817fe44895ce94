//! Small files that count: the administrator's password, the certificate that the node makes.

use super::{Rule, stopped};
use crate::admin::{Client, set_password};
use crate::io_errors::inject;
use crate::operator::{holds, printed, refused, said};
use crate::support::Setup;

/// How a file is replaced; its renaming does not go through the C library.
const STEPS: [Rule<'static>; 4] = [
    ("create", "/.ksnode-", "ENOSPC"),
    ("write", "/.ksnode-", "ENOSPC"),
    ("flush", "/.ksnode-", "EIO"),
    ("flush", "/share/ksnode$", "EIO"),
];

/// Nothing is left of an attempt.
fn assert_tidy(setup: &Setup) {
    let names = crate::operator::names(&setup.data(""));
    assert!(
        names.iter().all(|name| !name.starts_with(".ksnode-")),
        "{names:?}"
    );
}

#[test]
fn a_password_that_cannot_be_kept_is_the_old_one() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let node = setup.start();
    printed(&set_password(&setup, "the old password\n"));
    for rule in STEPS {
        disk.fails(rule);
        let output = set_password(&setup, "the new password\n");
        println!("{rule:?}: {}", said(&output));
        refused(&output, 1, &["admin-password-hash", "(os error", "disk"]);
        disk.is_mended();
        assert_tidy(&setup);
        Client::logged_in(&node, "the old password");
    }
    printed(&set_password(&setup, "the new password\n"));
    Client::logged_in(&node, "the new password");
}

#[test]
fn a_certificate_that_cannot_be_kept_is_not_served() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let setup = setup.env("KSNODE_TLS__MODE", "self-signed");
    for rule in STEPS {
        disk.fails(rule);
        let output = setup.fail();
        println!("{rule:?}: {}", said(&output));
        refused(&output, 1, &["tls-self-signed.pem", "(os error", "disk"]);
        disk.is_mended();
        assert_tidy(&setup);
    }
    // The last rule fails after the file has its name, and the next start takes it as it is.
    std::fs::remove_file(setup.data("tls-self-signed.pem")).unwrap();
    let renaming = inject("rename,renameat,renameat2", "EIO", &[]);
    let output = setup.run_traced(&renaming, &["serve"]);
    refused(&output, 1, &["tls-self-signed.pem", "(os error 5)", "disk"]);
    assert_tidy(&setup);
    assert!(setup.start().stop().success());
    let setup = setup.without("KSNODE_TLS__MODE");
    holds(&setup.start(), 1..=3);
}
