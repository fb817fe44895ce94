//! The next release is installed, and this one again, while clients use the node.

use crate::load;
use crate::machine::Machine;
use crate::node::{Node, install_deb, stand_in};
use crate::packages;

/// The newest schema of the database that the installed program reads.
fn schema(machine: &Machine) -> u64 {
    let answer = machine.ok("ksnode upgrade-check --json");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    answer["schema"].as_u64().unwrap()
}

fn version(machine: &Machine) -> String {
    machine.ok("dpkg-query -W -f '${Version} ${db:Status-Status}' ksnode")
}

#[test]
fn an_upgrade_loses_no_request_and_a_downgrade_loses_no_share() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    let (process, before, old) = (node.process(), schema(&machine), version(&machine));
    let next = packages::next();
    let (_, seen) = load::during(&node, 1000, || install_deb(&machine, &next));
    println!(
        "upgrade under load: {} requests, {} failed, the longest took {} ms",
        seen.answered,
        seen.failed.len(),
        seen.longest.as_millis()
    );
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert_ne!(node.process(), process);
    assert_eq!(schema(&machine), before + 1);
    assert_ne!(version(&machine), old);
    let mut users = seen.registered;
    users.push(1);
    node.register(2);
    users.push(2);
    node.serves(users.iter().copied());
    // A migration is preceded by a backup.
    machine.ok("ls /var/backups/ksnode | grep before-migration");

    let printed = install_deb(&machine, &packages::current());
    assert_eq!(version(&machine), old, "{printed}");
    assert_eq!(schema(&machine), before);
    assert_eq!(node.property("ActiveState"), "active");
    node.serves(users.iter().copied());
    node.register(3);
    // And forward once more.
    install_deb(&machine, &next);
    node.serves([1, 2, 3]);
}

#[test]
fn an_upgrade_of_a_stopped_node_does_not_start_it() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    machine.ok("systemctl stop ksnode");
    install_deb(&machine, &packages::next());
    assert_eq!(node.property("ActiveState"), "inactive");
    // A stopped node is rolled back as well: its data may have been migrated before.
    node.start();
    machine.ok("systemctl stop ksnode");
    install_deb(&machine, &packages::current());
    assert_eq!(node.property("ActiveState"), "inactive");
    node.start();
    node.serves([1]);
}

#[test]
fn a_node_that_waits_to_be_started_again_is_stopped_for_a_rollback() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    install_deb(&machine, &packages::next());
    machine.write(
        "/etc/systemd/system/ksnode.service.d/late.conf",
        "[Service]\nRestartSec=1h\n",
    );
    machine.ok("systemctl daemon-reload");
    machine.ok(&format!("kill -KILL {}", node.process()));
    machine.until("systemctl show --value -p ActiveState ksnode | grep -qx activating");
    // How the service is when its database is taken back.
    stand_in(
        &machine,
        "*rollback*) systemctl show --value -p ActiveState ksnode >/root/state ;;",
    );
    install_deb(&machine, &packages::current());
    assert_eq!(machine.read("/root/state").trim(), "inactive");
    assert_eq!(node.property("ActiveState"), "active");
    node.serves([1]);
}

#[test]
fn a_package_that_cannot_take_the_data_is_refused_and_the_node_goes_on() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    let (process, old) = (node.process(), version(&machine));
    // A release of some years later, which has forgotten how to read today's schema.
    let deb = machine.take(&packages::current().deb);
    machine.ok(&format!(
        "dpkg-deb -R {deb} later
         sed -i -E 's/--version [^ ]+ --schema [0-9]+ --oldest-schema [0-9]+/--version 9.0.0 --schema 901 --oldest-schema 900/' \
             later/DEBIAN/preinst
         grep -q -- '--oldest-schema 900' later/DEBIAN/preinst
         sed -i 's/^Version: .*/Version: 9.0.0-1/' later/DEBIAN/control
         dpkg-deb -b later later.deb"
    ));
    let (outcome, seen) = load::during(&node, 1000, || machine.run("dpkg -i later.deb"));
    assert!(!outcome.success());
    let said = outcome.said();
    assert!(
        said.contains("not installed, nothing was changed"),
        "{said}"
    );
    for part in ["9.0.0", "900", "901"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert_eq!(version(&machine), old);
    assert_eq!(node.process(), process);
    node.serves([1]);
    assert_eq!(machine.ok("dpkg --audit"), "");
}

#[test]
fn a_restart_loses_no_request() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    let (_, seen) = load::during(&node, 1000, || {
        for _ in 0..3 {
            machine.ok("systemctl restart ksnode");
        }
    });
    println!(
        "three restarts under load: {} requests, {} failed, the longest took {} ms",
        seen.answered,
        seen.failed.len(),
        seen.longest.as_millis()
    );
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    node.serves(seen.registered);
}
