//! What the kernel knows of a process. Linux alone tells it this way; elsewhere there is nothing to show.

use std::time::Duration;

/// Kernel ticks a second in `/proc`, the same on every architecture of Linux (`USER_HZ`).
const TICKS: u64 = 100;

/// Processor time that a process has used, with all its threads, to a hundredth of a second.
pub fn processor_time(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may hold spaces; what follows its closing parenthesis begins with field 3 (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

/// Memory in KiB that is the process' own, shared pages counted by share.
pub fn proportional_kib(id: u32) -> Option<u64> {
    value(&format!("/proc/{id}/smaps_rollup"), "Pss:")
}

/// The most memory in KiB that the process ever had resident.
pub fn peak_resident_kib(id: u32) -> Option<u64> {
    value(&format!("/proc/{id}/status"), "VmHWM:")
}

/// Bytes that the process has had written to disks.
pub fn written_bytes(id: u32) -> Option<u64> {
    value(&format!("/proc/{id}/io"), "write_bytes:")
}

fn value(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
