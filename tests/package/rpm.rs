//! The rpm, installed by rpm itself. The machine is a Debian whose rpm knows none of its packages, so what it depends on
//! is not looked for.

use crate::install::{is_installed_and_quiet, serves_as_the_readme_says};
use crate::instances::instance;
use crate::machine::Machine;
use crate::node::{Node, stand_in};
use crate::packages;

#[test]
fn the_rpm_installs_upgrades_and_goes_as_the_deb_does() {
    let machine = Machine::boot();
    let (current, next) = (packages::current(), packages::next());
    let (current, next) = (machine.take(&current.rpm), machine.take(&next.rpm));
    let installed = machine.run(&format!("rpm -i --nodeps {current}"));
    assert!(installed.success(), "{}", installed.said());
    is_installed_and_quiet(&machine, &installed.said());
    let node = Node::of(&machine);
    node.accept_users();
    node.start();
    serves_as_the_readme_says(&node);
    node.register(1);

    let process = node.process();
    machine.ok(&format!("rpm -U --nodeps {next}"));
    assert_ne!(node.process(), process);
    node.serves([1]);
    node.register(2);
    machine.ok(&format!("rpm -U --nodeps --oldpackage {current}"));
    assert_eq!(node.property("ActiveState"), "active");
    node.serves([1, 2]);

    machine.ok("rpm -e ksnode");
    assert!(!machine.path("/usr/bin/ksnode").exists());
    assert_eq!(machine.ok("ss --no-header --listening --tcp"), "");
    assert!(machine.path("/var/lib/ksnode/ksnode.db").exists());
    assert_ne!(machine.ok("ls /var/backups/ksnode"), "");
    machine.ok(&format!("rpm -i --nodeps {current}"));
    node.start();
    node.serves([1, 2]);
}

#[test]
fn a_rollback_that_fails_starts_again_what_was_stopped() {
    let machine = Machine::boot();
    let (current, next) = (packages::current(), packages::next());
    let (current, next) = (machine.take(&current.rpm), machine.take(&next.rpm));
    machine.ok(&format!("rpm -i --nodeps {current}"));
    let node = Node::of(&machine);
    node.accept_users();
    node.start();
    node.register(1);
    let other = instance(&machine, "a", 4301);
    machine.ok(&format!("rpm -U --nodeps {next}"));
    // It does not run, and its database cannot be taken back.
    machine.ok("systemctl stop ksnode@a");
    stand_in(&machine, "'--instance a rollback'*) exit 1 ;;");
    let process = node.process();
    let refused = machine.run(&format!("rpm -U --nodeps --oldpackage {current}"));
    assert!(!refused.success());
    assert!(
        refused
            .said()
            .contains("the database of ksnode@a.service could not be taken back"),
        "{}",
        refused.said()
    );
    assert_ne!(node.process(), process);
    assert_eq!(node.property("ActiveState"), "active");
    node.serves([1]);
    assert_eq!(other.property("ActiveState"), "inactive");
}
