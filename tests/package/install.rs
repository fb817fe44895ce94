//! A fresh installation of the deb, and the three steps to a node that is served.

use crate::client;
use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

/// Owner, group and mode of what an installation leaves.
pub const PLACES: [(&str, &str); 6] = [
    ("/etc/ksnode", "ksnode:ksnode 750"),
    ("/etc/ksnode/secret", "ksnode:ksnode 600"),
    ("/var/lib/ksnode", "ksnode:ksnode 700"),
    (
        "/var/lib/ksnode/initial-admin-password",
        "ksnode:ksnode 600",
    ),
    ("/var/backups/ksnode", "ksnode:ksnode 700"),
    ("/var/log/ksnode", "ksnode:ksnode 700"),
];

#[test]
fn a_fresh_installation_is_complete_and_serves_nobody() {
    let machine = Machine::boot();
    let printed = install_deb(&machine, &packages::current());
    is_installed_and_quiet(&machine, &printed);
    let files = machine.ok("dpkg-query -L ksnode");
    for file in [
        "/usr/share/man/man1/ksnode.1.gz",
        "/usr/share/doc/ksnode/ksnode.toml",
    ] {
        assert!(files.lines().any(|line| line == file), "{file} in {files}");
    }
    assert_eq!(machine.ok("dpkg --verify ksnode"), "");
}

/// What both packages leave: everything there, nothing running, no secret told to the package manager's log.
pub fn is_installed_and_quiet(machine: &Machine, printed: &str) {
    assert_eq!(
        machine.ok("getent passwd ksnode | cut -d: -f6,7"),
        "/var/lib/ksnode:/usr/sbin/nologin"
    );
    for (path, expected) in PLACES {
        assert_eq!(
            machine.ok(&format!("stat -c '%U:%G %a' {path}")),
            expected,
            "{path}"
        );
    }
    machine.ok("ksnode config check");
    let password = machine.read("/var/lib/ksnode/initial-admin-password");
    let password = password.trim();
    assert!(password.len() >= 16, "{password:?}");
    assert!(!printed.contains(password), "{printed}");
    assert!(
        printed.contains("/var/lib/ksnode/initial-admin-password"),
        "{printed}"
    );
    // A second set-up keeps all of it, and tells no password.
    let again = machine.ok("ksnode init --system");
    assert!(!again.contains(password), "{again}");
    assert_eq!(
        machine
            .read("/var/lib/ksnode/initial-admin-password")
            .trim(),
        password
    );
    assert_eq!(
        machine.run("systemctl is-active ksnode").stdout.trim(),
        "inactive"
    );
    assert_eq!(
        machine.run("systemctl is-enabled ksnode").stdout.trim(),
        "disabled"
    );
    assert_eq!(machine.ok("ss --no-header --listening --tcp --udp"), "");
}

#[test]
fn the_service_becomes_ready_and_gives_shares_to_their_owner() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    serves_as_the_readme_says(&node);
    let listening = machine.ok("ss --no-header --listening --tcp --numeric | awk '{print $4}'");
    for address in listening.lines() {
        assert!(address.starts_with("127.0.0.1:"), "{listening}");
    }
    assert_eq!(
        machine.ok("ps -o user= -p $(systemctl show --value -p MainPID ksnode)"),
        "ksnode"
    );
}

/// README's "Try it", with curl and a token that the program signs.
pub fn serves_as_the_readme_says(node: &Node<'_>) {
    let said = node.machine.ok(r#"
        repeat() { printf "$1%.0s" $(seq "$2"); }
        secp256k1=02$(repeat aa 32)
        ed25519=$(repeat bb 32)
        bearer="Authorization: Bearer $(ksnode token telegram --id 7)"
        curl -sS -w '\n' http://127.0.0.1:4201/
        curl -sS -w '\n' -H "$bearer" --json @- http://127.0.0.1:4201/keyshare/v2/register <<END
        {"auth_type": "telegram", "wallets": {
          "secp256k1": {"public_key": "$secp256k1", "share": "$(repeat 11 64)"},
          "ed25519": {"public_key": "$ed25519", "share": "$(repeat 22 64)"}}}
END
        curl -sS -w '\n' -H "$bearer" --json @- http://127.0.0.1:4201/keyshare/v2 <<END
        {"auth_type": "telegram", "wallets": {"secp256k1": "$secp256k1", "ed25519": "$ed25519"}}
END
        "#);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["Ok", r#"{"success":true}"#]);
    assert!(lines[2].contains(&"11".repeat(64)), "{said}");
    assert!(lines[2].contains(&"22".repeat(64)), "{said}");
}

#[test]
fn three_steps_lead_to_a_node_at_443_and_80() {
    let mut machine = Machine::boot();
    install_deb(&machine, &packages::current());
    let init = machine.run("sudo ksnode init --domain node.example.org --contact mail@example.org");
    // It says what is missing: there is no name server here, so the name does not lead to this machine.
    assert!(init.said().contains("node.example.org"), "{}", init.said());
    let config = machine.ok("ksnode config show --json");
    for value in ["node.example.org", "mail@example.org", "acme", ":443"] {
        assert!(config.contains(value), "{value} in {config}");
    }
    machine.ok("sudo systemctl enable --now ksnode");
    serves_publicly(&machine);
    commands_of_root_leave_no_files_of_root(&machine);
    machine.reboot();
    machine.until("systemctl is-active ksnode");
    serves_publicly(&machine);
}

fn serves_publicly(machine: &Machine) {
    let sockets = machine.ok("ss --no-header --listening --tcp --numeric --processes");
    for port in [":443 ", ":80 "] {
        let line = sockets.lines().find(|line| line.contains(port));
        let line = line.unwrap_or_else(|| panic!("{port} in {sockets}"));
        assert!(line.contains("\"ksnode\""), "{line}");
    }
    assert_eq!(
        machine.ok("ps -o user= -p $(systemctl show --value -p MainPID ksnode)"),
        "ksnode"
    );
    assert_eq!(machine.ok("curl -sS --insecure https://127.0.0.1/"), "Ok");
    let redirect = machine.ok(
        "curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' --resolve node.example.org:80:127.0.0.1 \
         http://node.example.org/status",
    );
    assert!(
        redirect.ends_with(" https://node.example.org/status"),
        "{redirect}"
    );
    assert!(redirect.starts_with("30"), "{redirect}");
    let status = machine.run("sudo ksnode status");
    for part in ["443", "certificate", "backup"] {
        assert!(status.stdout.contains(part), "{part} in {}", status.said());
    }
    let doctor = machine.run("sudo ksnode doctor");
    assert!(
        doctor.said().contains("node.example.org"),
        "{}",
        doctor.said()
    );
    assert_ne!(doctor.code, Some(101), "{}", doctor.said());
}

fn commands_of_root_leave_no_files_of_root(machine: &Machine) {
    machine.ok("sudo ksnode backup create");
    machine.ok("sudo systemctl stop ksnode");
    machine.ok("sudo ksnode backup create");
    machine.ok("sudo ksnode key list");
    assert_eq!(
        machine.ok(
            "find /etc/ksnode /var/lib/ksnode /var/backups/ksnode /var/log/ksnode ! \\( -user ksnode -group ksnode \\)"
        ),
        ""
    );
    machine.ok("sudo systemctl start ksnode");
    let node = Node::of(machine);
    assert_eq!(node.property("ActiveState"), "active");
}

#[test]
fn the_administrators_first_password_is_gone_after_its_first_use() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    let file = "/var/lib/ksnode/initial-admin-password";
    let password = machine.read(file).trim().to_owned();
    let backup = |password: &str| {
        let body = serde_json::json!({"password": password});
        node.ask(|port| client::post(port, "/pg_dump/v1/backup", "none", &body))
            .status
    };
    assert_eq!(backup("a wrong one"), 401);
    assert!(machine.path(file).exists());
    assert_eq!(backup(&password), 200);
    assert!(!machine.path(file).exists());
    assert_eq!(backup(&password), 200);
    assert!(
        machine
            .read("/var/lib/ksnode/admin-password-hash")
            .starts_with("$argon2id$")
    );
}
