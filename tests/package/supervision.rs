//! What systemd does with a node that hangs, dies, or cannot run.

use crate::machine::Machine;
use crate::node::Node;

#[test]
fn a_node_that_hangs_is_killed_and_started_again() {
    let machine = Machine::boot();
    machine.write(
        "/etc/systemd/system/ksnode.service.d/soon.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    );
    let node = Node::installed(&machine);
    node.register(1);
    let process = node.process();
    machine.ok(&format!("kill -STOP {process}"));
    node.wait_for_restart(process);
    assert!(machine.journal("ksnode").contains("Watchdog timeout"));
    node.serves([1]);
}

#[test]
fn a_node_that_is_killed_is_started_again() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    let process = node.process();
    machine.ok(&format!("kill -KILL {process}"));
    node.wait_for_restart(process);
    node.serves([1]);
}

#[test]
fn a_wrong_configuration_is_told_and_not_tried_again() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    let config = node.config();
    machine.ok(&format!("sed -i '1i nonsense = 1' {config}"));
    assert_ne!(machine.run("systemctl restart ksnode").code, Some(0));
    // Not "activating", which a unit is until it is started again.
    assert_eq!(node.property("ActiveState"), "failed");
    assert_eq!(node.property("ExecMainStatus"), "78");
    assert_eq!(node.property("NRestarts"), "0");
    let journal = machine.journal("ksnode");
    assert!(journal.contains("nonsense"), "{journal}");
    machine.ok(&format!("sed -i 1d {config}"));
    node.start();
}

#[test]
fn a_stop_is_clean_and_reload_keeps_the_process() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    let process = node.process();
    machine.ok("systemctl reload ksnode");
    assert_eq!(node.process(), process);
    node.register(1);
    machine.ok("systemctl stop ksnode");
    assert_eq!(node.property("ActiveState"), "inactive");
    assert_eq!(node.property("Result"), "success");
    assert_eq!(machine.ok("ss --no-header --listening --tcp"), "");
    node.start();
    node.serves([1]);
}
