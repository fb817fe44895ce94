//! What a node has of the memory.

use crate::support::{Node, Setup, wait_for};

/// Bytes that its process has resident.
pub fn resident(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// Without any load. The allocator keeps what is freed and gives it back when a thread ends, as one that has had nothing to do for ten
/// seconds does.
#[test]
fn that_of_the_key_derivation_goes_back() {
    const DERIVATION: u64 = 64 << 20;
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.start().stop().success());
    let node = setup.start();
    let started = resident(&node);
    assert!(started > DERIVATION, "{started} bytes");
    wait_for("the memory to be given back", || {
        (resident(&node) < started - DERIVATION * 9 / 10).then_some(())
    });
}
