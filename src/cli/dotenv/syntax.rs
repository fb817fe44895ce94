//! The syntax of a `.env` as Docker Compose reads it: `NAME=value`, `export`, comments, quotes.
//!
//! Our own reader, because a password must come out to the letter: dotenvy 0.15 cuts `pa$$word` to `pa` in silence,
//! refuses a backslash outside quotes, and quotes the line, secret included, in its errors. What a dollar sign
//! stands for differs from reader to reader, so a value with one is marked instead of guessed.

use zeroize::Zeroizing;

/// One `NAME=value`.
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
    /// The line of the name, counted from 1.
    pub(super) line: usize,
    /// The value holds a dollar sign that some readers would replace: neither in single quotes nor escaped.
    pub(super) dollar: bool,
}

/// The line that is no assignment, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood(pub(super) usize);

/// A value, whether it holds a dollar sign, and the text behind it.
type Value<'a> = (Zeroizing<String>, bool, &'a str);

/// Reads the whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, NotUnderstood> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_of = |rest: &str| {
        let read = text.len().saturating_sub(rest.len());
        let breaks = text
            .bytes()
            .take(read)
            .filter(|byte| *byte == b'\n')
            .count();
        breaks.saturating_add(1)
    };
    let mut assignments = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let line = line_of(rest);
        let after = if rest.starts_with('#') {
            split_line(rest).1
        } else {
            let (name, value) = name(rest).ok_or(NotUnderstood(line))?;
            let (value, dollar, after) = value_of(value).ok_or(NotUnderstood(line))?;
            assignments.push(Assignment {
                name: name.to_owned(),
                value,
                line,
                dollar,
            });
            after
        };
        rest = after.trim_start();
    }
    Ok(assignments)
}

/// The first line, and what follows its break.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// The name at the beginning, and what follows its `=`.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = match text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => text,
    };
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end_matches([' ', '\t']);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let is_name = !name.is_empty() && name.chars().all(plain);
    is_name.then_some((name, rest.trim_start_matches([' ', '\t'])))
}

fn value_of(text: &str) -> Option<Value<'_>> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'')?;
        return Some((Zeroizing::new(value.to_owned()), false, end_of_line(after)?));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, dollar, after) = double_quoted(quoted)?;
        return Some((value, dollar, end_of_line(after)?));
    }
    let (line, after) = split_line(text);
    // A `#` opens a comment only behind a space: it may be part of a password.
    let comment = line.match_indices('#').map(|(at, _)| at).find(|at| {
        line.get(..*at)
            .is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    });
    let value = comment.and_then(|at| line.get(..at)).unwrap_or(line).trim();
    Some((Zeroizing::new(value.to_owned()), value.contains('$'), after))
}

/// What follows a closed quote: nothing but a comment until the end of the line.
fn end_of_line(text: &str) -> Option<&str> {
    let (line, after) = split_line(text);
    let line = line.trim();
    (line.is_empty() || line.starts_with('#')).then_some(after)
}

/// A text up to its closing quote, escapes resolved.
fn double_quoted(text: &str) -> Option<Value<'_>> {
    // As long as the input at most, so that growing leaves no copies of a secret behind.
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut dollar = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some((value, dollar, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => {
                dollar |= other == '$';
                value.push(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, bool) {
        let mut all = parse(text).ok().unwrap();
        assert_eq!(all.len(), 1, "{text}");
        let only = all.remove(0);
        assert_eq!(only.name, "A");
        (only.value.as_str().to_owned(), only.dollar)
    }

    #[test]
    fn values_come_out_to_the_letter() {
        for (text, value) in [
            ("A=b", "b"),
            ("A =  b c  ", "b c"),
            ("export A=b\r\n", "b"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            (r"A=a\b=c", r"a\b=c"),
            ("A='b \" # $c\\'", "b \" # $c\\"),
            (r#"A="b \" \\ \$ \n \d" # comment"#, "b \" \\ $ \n \\d"),
            ("A=\"b\nc\"", "b\nc"),
            ("\u{feff}# first\n\nA=b", "b"),
        ] {
            assert_eq!(one(text), (value.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn dollar_signs_are_marked() {
        assert_eq!(one("A=pa$$word"), ("pa$$word".to_owned(), true));
        assert_eq!(one("A=\"${B}\""), ("${B}".to_owned(), true));
    }

    #[test]
    fn what_is_not_understood_is_told_by_its_line() {
        for (text, line) in [
            ("A=b\n\nC", 3),
            ("A='b", 1),
            ("A=b\nB=\"c", 2),
            ("A='b' c", 1),
            ("A B=c", 1),
            ("=b", 1),
        ] {
            assert_eq!(parse(text).err(), Some(NotUnderstood(line)), "{text}");
        }
    }

    #[test]
    fn lines_are_counted_through_quotes() {
        let all = parse("A='1\n2'\n# three\nB=4").ok().unwrap();
        assert_eq!((all[0].line, all[1].line), (1, 4));
    }
}
