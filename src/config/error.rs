//! What can be wrong with a configuration, said in one line.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// A configuration file; lines count from 1.
    File {
        /// The file's absolute path.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name, with its dashes.
    Flag(&'static str),
    /// The file that another key names: this key.
    Key(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {} line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Key(key) => f.write_str(key),
        }
    }
}

/// What is wrong with a value and how to mend it, before it is known which key it belongs to.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) wrong: String,
    pub(crate) mend: String,
}

impl Wrong {
    pub(crate) fn new(wrong: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            mend: mend.into(),
        }
    }
}

/// One thing that is wrong. Its text is one line and tells the key, where its value came from, what is wrong
/// and what mends it; never a secret.
#[derive(Debug)]
pub struct Problem {
    /// The key, or what stands for it (a variable's name, a file).
    pub key: String,
    /// Where the value came from.
    pub source: Source,
    /// What is wrong.
    pub wrong: String,
    /// What mends it.
    pub mend: String,
}

impl Problem {
    pub(crate) fn new(key: impl Into<String>, source: Source, wrong: Wrong) -> Self {
        Self {
            key: key.into(),
            source,
            wrong: wrong.wrong,
            mend: wrong.mend,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = format!(
            "{} ({}): {}; {}",
            self.key, self.source, self.wrong, self.mend
        );
        // A path or a key may contain a line break; a log line must not.
        for character in line.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// The configuration cannot be used. Holds everything that was found, so that one run of `ksnode config check`
/// shows it all; its own text is one line: the first problem, and how many more there are.
///
/// A list instead of an enum: nobody treats one of these errors differently from another, and each is meant
/// for the same reader.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.line())]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// An error of these problems, which must not be none.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// An error of one problem, for those who read a source of values of their own.
    pub fn single(key: &str, source: Source, wrong: &str, mend: &str) -> Self {
        Self::new(vec![Problem::new(key, source, Wrong::new(wrong, mend))])
    }

    /// Everything that is wrong, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn line(&self) -> String {
        let first = self
            .problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        match self.problems.len() {
            0 | 1 => first,
            all => format!(
                "{first} (and {} more: see `ksnode config check`)",
                all.saturating_sub(1)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(key: &str) -> Problem {
        Problem::new(
            key,
            Source::Flag("--listen"),
            Wrong::new("is\nwrong", "write it right"),
        )
    }

    #[test]
    fn is_one_line_whatever_it_quotes() {
        let error = ConfigError::new(vec![problem("a\u{7}"), problem("b")]);
        assert_eq!(
            error.to_string(),
            "a\\u{7} (flag --listen): is\\nwrong; write it right (and 1 more: see `ksnode config check`)"
        );
    }
}
