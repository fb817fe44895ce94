//! The package goes, and what of the node stays.

use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

#[test]
fn removal_leaves_the_data_and_installing_again_serves_it() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    machine.ok("systemctl enable ksnode");
    node.register(1);
    machine.ok("dpkg -r ksnode");
    assert!(!machine.path("/usr/bin/ksnode").exists());
    assert_eq!(
        machine.run("systemctl is-active ksnode").stdout.trim(),
        "inactive"
    );
    assert_eq!(machine.ok("ss --no-header --listening --tcp"), "");
    assert!(machine.path("/var/lib/ksnode/ksnode.db").exists());
    install_deb(&machine, &packages::current());
    assert_eq!(
        machine.run("systemctl is-enabled ksnode").stdout.trim(),
        "disabled"
    );
    node.start();
    node.serves([1]);
}

#[test]
fn purging_leaves_a_backup_that_restores_on_a_fresh_installation() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    machine.ok("cp -p /etc/ksnode/secret /root/kept-elsewhere");
    let purged = machine.run("dpkg -P ksnode");
    assert!(purged.success(), "{}", purged.said());
    assert!(!machine.path("/var/lib/ksnode").exists());
    let backup = machine.ok("ls -t /var/backups/ksnode/* | head -n 1");
    assert!(
        purged.said().contains(&backup),
        "{backup} in {}",
        purged.said()
    );
    // The user stays, so that nobody else gets its number, and with it these files.
    assert_eq!(machine.ok("stat -c %U /var/backups/ksnode"), "ksnode");

    // What a new machine has: the file and the secret.
    let fresh = Machine::boot();
    install_deb(&fresh, &packages::current());
    for (file, to) in [
        (backup.as_str(), "/root/backup.db"),
        ("/root/kept-elsewhere", "/root/kept-elsewhere"),
    ] {
        std::fs::copy(machine.path(file), fresh.path(to)).unwrap();
    }
    fresh.ok(
        "install -o ksnode -g ksnode -m 600 backup.db /var/backups/ksnode/from-before.db
         install -o ksnode -g ksnode -m 600 kept-elsewhere /etc/ksnode/secret-from-before
         ksnode restore from-before.db --secret-file /etc/ksnode/secret-from-before --yes",
    );
    let restored = Node::of(&fresh);
    restored.accept_users();
    restored.start();
    restored.serves([1]);

    // And on the machine itself, where the secret was left too.
    install_deb(&machine, &packages::current());
    machine.ok(&format!("ksnode restore {backup} --yes"));
    node.accept_users();
    node.start();
    node.serves([1]);
}

#[test]
fn purging_deletes_nothing_that_no_backup_holds() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    machine.ok("dpkg -r ksnode");
    machine.ok("rm /var/backups/ksnode/*");
    let purged = machine.run("dpkg -P ksnode");
    assert!(
        machine.path("/var/lib/ksnode/ksnode.db").exists(),
        "{}",
        purged.said()
    );
    assert!(
        purged.said().contains("/var/lib/ksnode is kept"),
        "{}",
        purged.said()
    );
    install_deb(&machine, &packages::current());
    node.accept_users();
    node.start();
    node.serves([1]);
}

#[test]
fn purging_deletes_the_nodes_own_files_alone() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    // Not by the key's name alone: [log] has one of that name too.
    let config = node.config();
    machine.ok(&format!(
        "sed -i 's|^#dir = \"/var/backups/ksnode\"|dir = \"/var/lib/ksnode/backups\"|' {config}
         systemctl restart ksnode"
    ));
    for user in [1, 2] {
        node.register(user);
        machine.ok("ksnode backup create");
    }
    let backups = machine.ok("ls /var/lib/ksnode/backups");
    assert_eq!(backups.lines().count(), 2, "{backups}");
    machine.ok("cp -p /etc/ksnode/secret /var/lib/ksnode/secret");
    // Of somebody else, and named like that of a node.
    machine.write("/var/lib/ksnode-backups/file", "mine");
    let purged = machine.run("dpkg -P ksnode");
    assert!(purged.success(), "{}", purged.said());
    assert_eq!(machine.ok("ls -A /var/lib/ksnode"), "backups\nsecret");
    let left = machine.ok("ls /var/lib/ksnode/backups");
    for backup in backups.lines() {
        assert!(
            left.lines().any(|name| name == backup),
            "{backup} in {left}"
        );
    }
    // The one of the removal.
    assert_eq!(left.lines().count(), 3, "{left}");
    assert_eq!(machine.read("/var/lib/ksnode-backups/file"), "mine");
    assert!(
        purged.said().contains("/var/lib/ksnode stays"),
        "{}",
        purged.said()
    );
    assert!(
        !purged.said().contains("/var/lib/ksnode-backups"),
        "{}",
        purged.said()
    );
}

#[test]
fn a_removal_that_is_refused_leaves_every_node_as_it_was() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    machine.ok("systemctl enable ksnode");
    // Another one, which its unit has not started.
    machine.ok("ksnode --instance a init --listen 127.0.0.1:4301");
    machine.ok("ksnode --instance a serve --daemon --pid-file /var/lib/ksnode-a/ksnode.pid");
    let process = node.process();
    let refused = machine.run("dpkg -r ksnode");
    assert!(!refused.success());
    assert!(
        refused.said().contains("ksnode --instance a stop"),
        "{}",
        refused.said()
    );
    assert_eq!(node.process(), process);
    assert_eq!(machine.ok("systemctl is-enabled ksnode"), "enabled");
    machine.ok("ksnode --instance a stop; dpkg -r ksnode");
}
