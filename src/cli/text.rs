//! Tables, and the one JSON document of a command.

use std::io::Write;

use serde_json::{Value, json};

pub use crate::desk::{size, span};

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
    fn columns_stand_below_each_other() {
        let rows = [["time", "error"], ["2026", ""], ["ä", "no room"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "time  error\n2026\nä     no room\n");
    }
}
