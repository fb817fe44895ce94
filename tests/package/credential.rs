//! The encryption secret comes from the service manager.

use crate::machine::Machine;
use crate::node::Node;

#[test]
fn the_secret_is_read_from_the_credential() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    // The service gets it in a folder that nobody else sees, and where others have no rights.
    let process = node.process();
    let environment = machine.ok(&format!("tr '\\0' '\\n' < /proc/{process}/environ"));
    let folder = environment
        .lines()
        .find_map(|line| line.strip_prefix("CREDENTIALS_DIRECTORY="));
    let folder = folder.expect("a folder of credentials");
    machine.ok(&format!("cmp {folder}/secret /etc/ksnode/secret"));
    assert_ne!(
        machine
            .run(&format!("setpriv --reuid=nobody cat {folder}/secret"))
            .code,
        Some(0)
    );
    // What only root may read: so it is not the service that reads the file.
    machine.ok("install -m 600 -o root /etc/ksnode/secret /root/secret; rm /etc/ksnode/secret");
    machine.write(
        "/etc/systemd/system/ksnode.service.d/secret.conf",
        "[Service]\nLoadCredential=\nLoadCredential=secret:/root/secret\n",
    );
    machine.ok("systemctl daemon-reload; systemctl restart ksnode");
    node.serves([1]);
}

#[test]
fn the_secret_may_be_encrypted_on_the_disk() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    machine.ok("systemd-creds encrypt --name=secret /etc/ksnode/secret /etc/ksnode/secret.cred");
    machine.write(
        "/etc/systemd/system/ksnode.service.d/secret.conf",
        "[Service]\nLoadCredential=\nLoadCredentialEncrypted=secret:/etc/ksnode/secret.cred\n",
    );
    machine.ok("rm /etc/ksnode/secret; systemctl daemon-reload; systemctl restart ksnode");
    node.serves([1]);
}

#[test]
fn a_wrong_secret_is_told_and_harms_nothing() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    node.register(1);
    machine.ok("cp -p /etc/ksnode/secret /root/secret; echo another > /etc/ksnode/secret");
    assert_ne!(
        machine.run("timeout 20 systemctl restart ksnode").code,
        Some(0)
    );
    let journal = machine.journal("ksnode");
    assert!(journal.contains("secret"), "{journal}");
    machine.ok("systemctl stop ksnode; cp -p /root/secret /etc/ksnode/secret");
    node.start();
    node.serves([1]);
}
