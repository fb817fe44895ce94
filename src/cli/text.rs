//! Numbers as people read them, tables, and the one JSON document of a command.

use std::io::Write;
use std::time::Duration;

use indicatif::HumanBytes;
use serde_json::{Value, json};

/// A size: `12.34 MiB`.
pub fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A span of time in its two largest units: `9 h 12 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return format!("{} ms", time.subsec_millis());
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let count = rest / length;
        rest %= length;
        // After the first unit exactly one more, which may be 0 and is left out then.
        if !parts.is_empty() || count > 0 {
            parts.push((count, unit));
        }
    }
    let shown: Vec<String> = parts
        .into_iter()
        .take(2)
        .filter(|&(count, _)| count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    shown.join(" ")
}

/// Rows in columns, the first row their headings; the last column is not padded.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Prints a command's text.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    Ok(out.flush()?)
}

/// Says something beside a command's output: on standard error. One that is closed is nothing to fail for.
pub fn remark(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a command's one JSON document.
///
/// # Errors
/// Standard output cannot be written.
pub fn print_json(document: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// The outcome of a command that was asked for JSON or was not: then an error is the document, beside its text on
/// standard error.
///
/// # Errors
/// The outcome's.
pub fn with_error_as_json<T>(json: bool, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
    if let (true, Err(error)) = (json, &outcome) {
        // Standard error and the exit code tell all the same.
        let _ = print_json(&json!({"error": super::on_one_line(error)}));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 min"),
            (185, "3 min 5 s"),
            (33_120, "9 h 12 min"),
            (36_005, "10 h"),
            (3 * 86_400 + 4 * 3_600 + 59, "3 d 4 h"),
            (86_400 * 1000, "1000 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(span(Duration::from_millis(2_250)), "2 s");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(235 << 20), "235.00 MiB");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["time", "error"], ["2026", ""], ["ä", "no room"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "time  error\n2026\nä     no room\n");
    }
}
