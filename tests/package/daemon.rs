//! A machine without systemd: the package installs, and the node runs as a daemon of its own.

use crate::client;
use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

const START: &str = "ksnode serve --daemon --pid-file /run/ksnode.pid";

#[test]
fn a_node_runs_as_a_daemon_where_there_is_no_systemd() {
    let machine = Machine::without_systemd();
    let printed = install_deb(&machine, &packages::current());
    assert!(printed.contains(START), "{printed}");
    let node = Node::of(&machine);
    node.accept_users();
    // It comes back when it serves.
    machine.ok(START);
    assert_eq!(node.ask(|port| client::get(port, "/")).body, "Ok");
    node.register(1);
    let process = machine.read("/run/ksnode.pid").trim().to_owned();
    assert_eq!(
        machine.ok(&format!("ps -o user=,comm= -p {process}")),
        "ksnode   ksnode"
    );
    assert_eq!(
        machine.ok(
            "find /etc/ksnode /var/lib/ksnode /var/backups/ksnode /var/log/ksnode ! -user ksnode"
        ),
        ""
    );

    let second = machine.run(START);
    assert!(!second.success());
    assert!(second.stderr.contains(&process), "{}", second.said());
    assert_eq!(machine.read("/run/ksnode.pid").trim(), process);
    node.serves([1]);
    let status = machine.run("ksnode status");
    assert!(status.stdout.contains(&process), "{}", status.said());

    machine.ok("ksnode stop");
    assert_eq!(machine.run(&format!("kill -0 {process}")).code, Some(1));
    assert!(!machine.path("/run/ksnode.pid").exists());
    // A pid file that a power cut left does not stand in its way.
    machine.write("/run/ksnode.pid", "1\n");
    machine.ok(START);
    node.serves([1]);
    machine.ok("ksnode stop");
    assert_ne!(machine.run("ksnode stop").code, Some(101));
}
