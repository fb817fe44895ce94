//! A machine without systemd: the package installs, and the node runs as a daemon of its own.

use crate::client;
use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

/// In a folder where the node's user, which it becomes, may remove it.
const PID_FILE: &str = "/var/lib/ksnode/ksnode.pid";
const START: &str = "ksnode serve --daemon --pid-file /var/lib/ksnode/ksnode.pid \
                     --log-file /var/log/ksnode/ksnode.log";

#[test]
fn a_node_runs_as_a_daemon_where_there_is_no_systemd() {
    let machine = Machine::without_systemd();
    let printed = install_deb(&machine, &packages::current());
    assert!(printed.contains("ksnode serve --daemon"), "{printed}");
    let node = Node::of(&machine);
    node.accept_users();
    // It comes back when it serves.
    machine.ok(START);
    assert_eq!(node.ask(|port| client::get(port, "/")).body, "Ok");
    node.register(1);
    let process = machine.read(PID_FILE).trim().to_owned();
    assert_eq!(
        machine.ok(&format!("ps -o user=,comm= -p {process}")),
        "ksnode   ksnode"
    );
    // Root has opened nothing there, where the node's user may have put a link.
    assert_eq!(
        machine.ok(
            "find /etc/ksnode /var/lib/ksnode /var/backups/ksnode /var/log/ksnode ! -user ksnode"
        ),
        ""
    );

    let second = machine.run(START);
    assert!(!second.success());
    assert!(second.stderr.contains(&process), "{}", second.said());
    assert_eq!(machine.read(PID_FILE).trim(), process);
    node.serves([1]);
    let status = machine.run("ksnode status");
    assert!(status.stdout.contains(&process), "{}", status.said());

    machine.ok("ksnode stop");
    assert_eq!(machine.run(&format!("kill -0 {process}")).code, Some(1));
    assert!(!machine.path(PID_FILE).exists());
    // A pid file that a power cut left does not stand in its way.
    machine.write(PID_FILE, "1\n");
    machine.ok(&format!("chown ksnode {PID_FILE}"));
    machine.ok(START);
    node.serves([1]);
    machine.ok("ksnode stop");
    assert_ne!(machine.run("ksnode stop").code, Some(101));
}
