//! The machines themselves: what every other test builds on.

use crate::machine::Machine;

#[test]
fn machines_boot_run_services_and_do_not_see_each_other() {
    let (one, other) = (Machine::boot(), Machine::boot());
    one.write(
        "/etc/systemd/system/trivial.service",
        "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'systemd-notify --ready; sleep infinity'\n",
    );
    one.ok("systemctl start trivial");
    assert_eq!(one.ok("systemctl is-active trivial"), "active");
    assert_eq!(other.run("systemctl is-active trivial").code, Some(3));
    assert!(!other.path("/etc/systemd/system/trivial.service").exists());
    assert!(one.journal("trivial").contains("Started trivial.service"));
    assert_eq!(one.run("echo said; echo besides >&2; exit 7").code, Some(7));
    assert!(one.ok("ip -brief address show lo").contains("127.0.0.1/8"));
    assert_eq!(one.ok("ip -brief link | wc -l"), "1");
}

#[test]
fn a_machine_is_gone_with_its_test() {
    let begun = std::thread::spawn(|| {
        let machine = Machine::boot();
        machine.ok("systemd-run --quiet sleep 12345");
        let inside = machine.path("/");
        // As a test that fails does.
        std::panic::resume_unwind(Box::new(inside));
    });
    let inside = begun.join().unwrap_err();
    let inside = inside.downcast::<std::path::PathBuf>().unwrap();
    assert!(!inside.exists(), "{}", inside.display());
}

#[test]
fn a_machine_without_systemd_runs_commands() {
    let machine = Machine::without_systemd();
    assert_eq!(machine.run("test -d /run/systemd/system").code, Some(1));
    assert_eq!(machine.ok("id -u"), "0");
}

#[test]
fn a_command_in_a_machine_has_no_power_over_this_one() {
    for machine in [Machine::boot(), Machine::without_systemd()] {
        let capabilities = |process| {
            machine.ok(&format!(
                "grep -E 'Cap(Prm|Eff|Bnd)' /proc/{process}/status"
            ))
        };
        assert_eq!(capabilities("self"), capabilities("1"));
        // Bit 16 loads modules, 25 sets the clock.
        let own = machine.ok("sed -n 's/CapBnd:[[:space:]]*//p' /proc/self/status");
        let own = u64::from_str_radix(&own, 16).unwrap();
        assert_eq!(own & (1 << 16 | 1 << 25), 0, "{own:x}");
    }
}
