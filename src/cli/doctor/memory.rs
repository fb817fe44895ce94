//! Memory that is left.

use super::Case;
use crate::cli::finding::Finding;
use crate::cli::text::size;

const AREA: &str = "memory";
/// A start derives a key in 64 MiB, and a node with work has some 100 MiB.
const SHORT: u64 = 256 << 20;
const GONE: u64 = 96 << 20;

pub(super) fn look(_: &Case) -> Vec<Finding> {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else {
        return Vec::new();
    };
    available(&text).map(judge).into_iter().collect()
}

/// `MemAvailable` of `/proc/meminfo` (proc_meminfo(5)), in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

fn judge(bytes: u64) -> Finding {
    let what = format!("{} are available", size(bytes));
    let mend =
        "ps -eo rss,comm --sort=-rss | head, and end what is not needed or take a larger machine";
    if bytes < GONE {
        Finding::wrong(AREA, what).mend(mend)
    } else if bytes < SHORT {
        Finding::warning(AREA, what).mend(mend)
    } else {
        Finding::ok(AREA, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::Level;

    #[test]
    fn little_memory_is_told() {
        let text = "MemTotal: 8000000 kB\nMemAvailable:     123456 kB\n";
        assert_eq!(available(text), Some(123_456 * 1024));
        assert_eq!(available("MemTotal: 1 kB"), None);
        assert_eq!(judge(available(text).unwrap()).level, Level::Warning);
        assert_eq!(judge(1 << 30).level, Level::Ok);
        assert_eq!(judge(1 << 20).level, Level::Wrong);
    }
}
