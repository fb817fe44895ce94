//! What the unit's sandbox keeps the service from: a script tries it in the service's place.

use crate::machine::Machine;
use crate::node::{Node, install_deb};
use crate::packages;

/// Takes the service's place under the rest of its unit.
const IN_ITS_PLACE: &str = "[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStart=\n\
                            ExecStart=/bin/sh /usr/local/share/attempts\n";

/// What a node needs.
const NEEDED: [&str; 5] = [
    "listen below port 1024",
    "read its secret",
    "write its data",
    "write its backups",
    "write its logs",
];

#[test]
fn the_service_can_do_what_it_needs_and_nothing_else() {
    let machine = Machine::boot();
    install_deb(&machine, &packages::current());
    machine.write("/usr/local/share/attempts", include_str!("sandbox.sh"));
    // A script that can do nothing shows nothing: without the sandbox, root can.
    let free = machine.ok("CREDENTIALS_DIRECTORY=/etc/ksnode sh /usr/local/share/attempts 2>&1");
    for attempt in [
        "read the users' passwords",
        "trace a process",
        "write a program",
        "run what it wrote into memory",
        "listen below port 1024",
    ] {
        assert!(
            free.contains(&format!("attempt: {attempt}: succeeds")),
            "{free}"
        );
    }
    machine.ok("rm -f /usr/bin/written /etc/written /etc/ksnode/written /home/written");
    machine.write(
        "/etc/systemd/system/ksnode.service.d/attempts.conf",
        IN_ITS_PLACE,
    );
    machine.ok("systemctl daemon-reload; systemctl start ksnode; journalctl --sync");
    let journal = machine.journal("ksnode");
    let attempts: Vec<(&str, &str)> = journal
        .lines()
        .filter_map(|line| line.strip_prefix("attempt: ")?.rsplit_once(": "))
        .collect();
    assert_eq!(
        attempts.len(),
        include_str!("sandbox.sh").matches("\ntry \"").count()
    );
    for (attempt, outcome) in attempts {
        let needed = NEEDED.contains(&attempt);
        assert_eq!(outcome == "succeeds", needed, "{attempt}: {outcome}");
    }
}

#[test]
fn systemd_finds_little_exposure() {
    let machine = Machine::boot();
    install_deb(&machine, &packages::current());
    let found = machine.ok("systemd-analyze --no-pager security ksnode.service");
    let exposure = found.lines().last().unwrap();
    let level: f32 = exposure
        .split(' ')
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("a number in {exposure}"));
    println!("{exposure}");
    assert!(level <= 1.5, "{found}");
    let node = Node::of(&machine);
    assert_eq!(node.property("LoadState"), "loaded");
    assert_eq!(
        machine
            .run("systemd-analyze verify --man=no ksnode.service")
            .said(),
        ""
    );
}
