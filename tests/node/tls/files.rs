//! The operator's own certificate: mistakes at the start, and new files in a running node.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clients::{Roots, ask, curl, series};
use super::pairs::{Authority, replace};
use super::{node_of, port};
use crate::support::{Node, Setup, wait_for};

/// The certificate in `ksnode status --json`, and whether the node says it is well.
fn status(setup: &Setup) -> (Value, bool) {
    let output = setup.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let well = status["well"].as_bool().unwrap();
    assert_eq!(output.status.success(), well, "{status}");
    (status["node"]["certificate"].clone(), well)
}

#[test]
fn mistakes_keep_the_node_from_starting_and_say_what_mends_them() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path());
    let (chain, key) = (home.path().join("chain.pem"), home.path().join("key.pem"));
    let good = authority.issue(&["localhost"]);
    let fails = |expected: &str| {
        let output = setup.fail();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains(expected),
            "{error}"
        );
        assert!(!error.contains(good.key.lines().nth(1).unwrap()), "{error}");
    };
    good.write(home.path());
    replace(&key, &authority.issue(&["localhost"]).key);
    fails("do not belong together");
    good.write(home.path());
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    fails("run: chmod 600 ");
    good.write(home.path());
    replace(&chain, "-----BEGIN CERTIFICATE-----\nbroken");
    fails("chain.pem: is no PEM");
    std::fs::remove_file(&chain).unwrap();
    fails("chain.pem cannot be read: No such file");
    good.write(home.path());
    assert_eq!(setup.start().stop().code(), Some(0));
}

#[test]
fn an_expired_certificate_is_served_and_told() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path()).env("KSNODE_TLS__DOMAINS", "node.example.org");
    authority
        .issue_for(&["localhost"], -91, 90)
        .write(home.path());
    let node = setup.start();
    node.logs("the certificate has expired");
    node.logs("the certificate is not for all of tls.domains");
    assert_eq!(curl(&authority, &["--insecure", &node.url]), "Ok");
    let (certificate, well) = status(&setup);
    assert!(!well);
    assert_eq!(certificate["standing"], "expired");
    assert!(series(&node, "ksnode_tls_certificate_days_left") < 0.0);
}

#[test]
fn what_is_about_to_expire_is_told() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path());
    authority
        .issue_for(&["localhost"], -70, 90)
        .write(home.path());
    let node = setup.start();
    node.logs("less than a third of the certificate's lifetime is left");
    let (certificate, well) = status(&setup);
    assert_eq!(
        (certificate["standing"].as_str(), well),
        (Some("due"), false)
    );
    assert_eq!(certificate["days_left"], 19);
    let page = String::from_utf8(setup.run(&["status"]).stdout).unwrap();
    assert!(
        page.contains("tls:     files, for localhost, issued by Authority of the tests"),
        "{page}"
    );
    authority
        .issue_for(&["localhost"], -85, 90)
        .write(home.path());
    node.logs("less than a tenth of the certificate's lifetime is left");
}

/// Clients with new connections and clients with old ones, while certificates are replaced again and again.
#[test]
fn new_certificates_cost_no_request() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path());
    let node = setup.start();
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = |keep: bool| {
        let mut stream = Roots::of(&authority).connect(&node);
        while !done.load(Ordering::Relaxed) {
            let answer = ask(&mut stream);
            assert!(answer.ends_with("\r\n\r\nOk"), "{answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
            if !keep {
                // Without a session to resume: the handshake shows a certificate.
                stream = Roots::of(&authority).connect(&node);
            }
        }
    };
    std::thread::scope(|scope| {
        for keep in [true, true, false, false] {
            scope.spawn(move || client(keep));
        }
        let mut seen = status(&setup).0["sha256"].clone();
        for _ in 0..3 {
            authority.issue(&["localhost"]).write(home.path());
            node.signal(rustix::process::Signal::HUP);
            seen = wait_for("the new certificate", || {
                let now = status(&setup).0["sha256"].clone();
                (now != seen).then_some(now)
            });
        }
        wait_for("requests enough", || {
            (answered.load(Ordering::Relaxed) > 100).then_some(())
        });
        done.store(true, Ordering::Relaxed);
    });
}

fn served_names(authority: &Authority, node: &Node) -> bool {
    let resolve = format!("new.example:{}:127.0.0.1", port(node));
    let url = format!("https://new.example:{}/", port(node));
    let output = std::process::Command::new("curl")
        .args([
            "-q",
            "-s",
            "--noproxy",
            "*",
            "--resolve",
            &resolve,
            "--cacert",
        ])
        .arg(&authority.root)
        .arg(url)
        .output()
        .unwrap();
    output.stdout == b"Ok"
}

#[test]
fn a_change_of_the_files_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    assert!(!served_names(&authority, &node));
    authority.issue(&["new.example"]).write(home.path());
    wait_for("the new certificate", || {
        served_names(&authority, &node).then_some(())
    });
}

#[test]
fn sighup_does_not_wait() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    // Two of its looks at the files would take longer.
    let begun = Instant::now();
    authority.issue(&["new.example"]).write(home.path());
    node.signal(rustix::process::Signal::HUP);
    wait_for("the new certificate", || {
        served_names(&authority, &node).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_broken_pair_keeps_the_old_one_serving_until_it_is_mended() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let setup = node_of(&authority, home.path());
    let node = setup.start();
    assert!(status(&setup).1);
    let new = authority.issue(&["localhost", "new.example"]);
    replace(&home.path().join("chain.pem"), &new.chain);
    node.signal(rustix::process::Signal::HUP);
    node.logs("the certificate could not be replaced, the old one stays in use");
    assert!(series(&node, "ksnode_tls_certificate_failures_total") >= 1.0);
    let (certificate, well) = status(&setup);
    assert!(!well);
    let error = certificate["error"].as_str().unwrap();
    assert!(error.contains("do not belong together"), "{error}");
    assert!(certificate["next_attempt"].is_string());
    assert!(ask(&mut Roots::of(&authority).connect(&node)).ends_with("Ok"));
    replace(&home.path().join("key.pem"), &new.key);
    wait_for("the new certificate", || {
        served_names(&authority, &node).then_some(())
    });
    let (certificate, well) = status(&setup);
    assert!(well && certificate["error"].is_null(), "{certificate}");
}
