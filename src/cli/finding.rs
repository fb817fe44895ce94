//! What a look at the machine finds: how bad, what, where, and what mends it.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::config::{Problem, shell_quoted};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works now, and will not for ever, or not for everybody.
    Warning,
    /// It does not work.
    Wrong,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `ports`, `disk`, …
    pub area: &'static str,
    /// What was found, in a sentence.
    pub what: String,
    /// Where: a path, an address, a key of the configuration.
    #[serde(rename = "where")]
    pub place: Option<String>,
    /// What mends it: a command to paste, where one does.
    pub mend: Option<String>,
}

impl Finding {
    /// A finding without a place and a mend.
    pub fn new(level: Level, area: &'static str, what: impl Into<String>) -> Self {
        Self {
            level,
            area,
            what: what.into(),
            place: None,
            mend: None,
        }
    }

    /// Something that is as it should be.
    pub fn ok(area: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, area, what)
    }

    /// Something good to know.
    pub fn note(area: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Note, area, what)
    }

    /// Something that will go wrong.
    pub fn warning(area: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Warning, area, what)
    }

    /// Something that is wrong.
    pub fn wrong(area: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Wrong, area, what)
    }

    /// The same, at `place`.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same, at this path.
    pub fn on(self, path: &Path) -> Self {
        self.at(path.display().to_string())
    }

    /// The same, with its mend.
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// A mistake in the configuration.
    pub fn of_problem(area: &'static str, problem: &Problem) -> Self {
        Self::wrong(area, format!("{}: {}", problem.key, problem.wrong))
            .at(problem.source.to_string())
            .mend(problem.mend.clone())
    }
}

/// For people: a line, and one for the mend.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, area, what) = (self.level, self.area, one_line(&self.what));
        write!(f, "{level:7}  {area:13}  {what}")?;
        let shown = |place: &&String| !self.what.contains(place.as_str());
        if let Some(place) = self.place.as_ref().filter(shown) {
            write!(f, " ({})", one_line(place))?;
        }
        if let Some(mend) = &self.mend {
            write!(f, "\n{:24}mend: {}", "", one_line(mend))?;
        }
        Ok(())
    }
}

/// Paths and answers of others may hold line breaks and worse.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A command on a path that can be pasted, as root where it takes root.
pub fn command(words: &str, path: &Path) -> String {
    format!("{words} {}", shell_quoted(path))
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_mend_another() {
        let finding = Finding::wrong("folders", "nobody may enter")
            .on(Path::new("/a\nb"))
            .mend(command("chmod o+x", Path::new("/a b")));
        let text = finding.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "WRONG    folders        nobody may enter (/a\\nb)"
        );
        assert_eq!(lines[1].trim_start(), "mend: chmod o+x '/a b'");
        // What names its place already does not name it twice.
        let ok = Finding::ok("disk", "/d has room").at("/d");
        assert_eq!(ok.to_string(), "ok       disk           /d has room");
        assert_eq!(worst(&[ok, finding]), Level::Wrong);
        assert_eq!(worst(&[]), Level::Ok);
    }
}
