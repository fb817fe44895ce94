//! What a node costs: printed, not judged, for the table in the README.

use crate::machine::Machine;
use crate::node::Node;
use crate::packages;

#[test]
fn figures() {
    let machine = Machine::boot();
    let node = Node::installed(&machine);
    let size = |path| std::fs::metadata(path).unwrap().len() as f64 / 1e6;
    let packages = packages::current();
    println!(
        "deb {:.1} MB, rpm {:.1} MB",
        size(&packages.deb),
        size(&packages.rpm)
    );
    let installed = machine.ok("dpkg-query -W -f '${Installed-Size}' ksnode");
    println!(
        "installed {:.1} MB",
        installed.parse::<f64>().unwrap() * 1024.0 / 1e6
    );
    println!("ready {} ms after its start", node.start_time().as_millis());
    println!(
        "memory (PSS) {:.1} MiB after its start",
        node.memory() as f64 / 1_048_576.0
    );
    for user in 0..500 {
        node.register(user);
    }
    println!(
        "memory (PSS) {:.1} MiB after 500 users",
        node.memory() as f64 / 1_048_576.0
    );
    machine.ok("systemctl restart ksnode");
    println!(
        "ready {} ms after its restart",
        node.start_time().as_millis()
    );
}
