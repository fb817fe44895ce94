//! The end of what a command says.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that are kept.
const KEPT: usize = 4 << 10;

/// Lines that are told.
const LINES: usize = 3;

/// Characters of a line that are told.
const WIDTH: usize = 200;

/// The last 4 KiB of an output; the rest is read and forgotten, so that its writer never waits.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    /// Reads to the end. May be abandoned at any time: what was read until then is here.
    pub(super) async fn read(&mut self, output: &mut (impl AsyncRead + Unpin)) {
        let mut block = vec![0; KEPT];
        // An output that cannot be read has ended: the command's exit tells the rest.
        while let Ok(read @ 1..) = output.read(&mut block).await {
            self.keep(block.get(..read).unwrap_or_default());
        }
    }

    fn keep(&mut self, block: &[u8]) {
        self.0.extend(block);
        let excess = self.0.len().saturating_sub(KEPT);
        self.0.drain(..excess);
    }

    /// The last lines that are not blank, to be put behind a sentence: in one line, without control characters.
    pub(super) fn said(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(LINES)
            .map(plain)
            .collect();
        if lines.is_empty() {
            return String::new();
        }
        lines.reverse();
        format!("; it said: {}", lines.join(" | "))
    }
}

/// A line without what would move a terminal's cursor; of a long one the end.
fn plain(line: &str) -> String {
    let line = line.trim();
    let excess = line.chars().count().saturating_sub(WIDTH);
    line.chars()
        .skip(excess)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: impl AsRef<[u8]>) -> String {
        let mut tail = Tail::default();
        tail.keep(text.as_ref());
        tail.said()
    }

    #[test]
    fn the_last_lines_are_told_in_one() {
        assert_eq!(said(""), "");
        assert_eq!(said("\n \n"), "");
        assert_eq!(said("one"), "; it said: one");
        assert_eq!(said("1\n2\n\n3\n 4 \r\n\n"), "; it said: 2 | 3 | 4");
        assert_eq!(said("a\u{1b}[2Jb\tc"), "; it said: a [2Jb c");
        assert_eq!(said([b'a', 0xff]), "; it said: a\u{fffd}");
        let long = "x".repeat(300) + "end";
        assert_eq!(said(&long).len(), "; it said: ".len() + WIDTH);
        assert!(said(&long).ends_with("xend"));
    }

    #[tokio::test]
    async fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        let text = "0123456789".repeat(100_000) + "\nend";
        tail.read(&mut text.as_bytes()).await;
        assert_eq!(tail.0.len(), KEPT);
        assert!(tail.said().ends_with("789 | end"));
    }
}
