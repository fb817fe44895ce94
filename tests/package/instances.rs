//! Several nodes on one machine.

use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

#[test]
fn three_nodes_live_side_by_side() {
    let machine = Machine::boot();
    let plain = Node::installed(&machine);
    let a = instance(&machine, "a", 4301);
    let b = instance(&machine, "b", 4401);
    for (node, user) in [(&plain, 1), (&a, 2), (&b, 3)] {
        node.register(user);
        node.serves([user]);
        for other in [1, 2, 3] {
            assert_eq!(knows(node, other), other == user, "{} {other}", node.unit());
        }
        let status = node.command("status");
        assert!(
            status.stdout.contains(&node.port.to_string()),
            "{}",
            status.said()
        );
    }
    let secrets = machine.ok(
        "sha256sum /etc/ksnode/secret /etc/ksnode/a/secret /etc/ksnode/b/secret | cut -d' ' -f1 | sort -u | wc -l",
    );
    assert_eq!(secrets, "3");
    assert_eq!(
        machine.ok("stat -c '%U %a' /var/lib/ksnode-a /var/backups/ksnode-b | sort -u"),
        "ksnode 700"
    );

    // One stops; the others do not notice. A backup of one is in its folder alone.
    machine.ok("systemctl stop ksnode@a");
    plain.serves([1]);
    b.serves([3]);
    let made = b.command("backup create");
    assert!(made.success(), "{}", made.said());
    assert_ne!(machine.ok("ls /var/backups/ksnode-b"), "");
    assert_eq!(machine.ok("ls /var/backups/ksnode"), "");
    a.start();
    a.serves([2]);

    // An upgrade restarts all of them, and asks all of them before.
    let before = [&plain, &a, &b].map(Node::process);
    install_deb(&machine, &packages::next());
    for (node, (user, process)) in [&plain, &a, &b]
        .into_iter()
        .zip([1, 2, 3].into_iter().zip(before))
    {
        assert_ne!(node.process(), process, "{}", node.unit());
        node.serves([user]);
    }
    install_deb(&machine, &packages::current());
    for (node, user) in [(&plain, 1), (&a, 2), (&b, 3)] {
        node.serves([user]);
    }
}

/// Makes a node of this name at ports of its own, and starts it.
pub fn instance<'m>(machine: &'m Machine, name: &'static str, port: u16) -> Node<'m> {
    let node = Node {
        machine,
        name,
        port,
    };
    let made = node.command(&format!("init --listen 127.0.0.1:{port}"));
    assert!(made.success(), "{}", made.said());
    node.accept_users();
    node.start();
    node
}

fn knows(node: &Node<'_>, user: u64) -> bool {
    let body = serde_json::json!({
        "auth_type": "telegram",
        "user_auth_id": format!("telegram_{user}"),
        "wallets": {"ed25519": crate::users::public_key("ed25519", user)},
    });
    let answer = node.ask(|port| crate::client::post(port, "/keyshare/v2/check", "none", &body));
    answer.json()["data"]["ed25519"]["exists"]
        .as_bool()
        .unwrap()
}
