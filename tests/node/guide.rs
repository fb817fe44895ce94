//! The operator's guide says what there is: every warning of the log, commands that parse, links that lead somewhere.

use std::path::Path;

use clap::Parser;
use ksnode::cli::Cli;

const GUIDE: &str = include_str!("../../packaging/GUIDE.md");
const README: &str = include_str!("../../README.md");

/// The sources below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The string literal that begins behind a quotation mark, and what follows it.
fn literal(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text.char_indices();
    while let Some((at, character)) = rest.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => match rest.next().unwrap().1 {
                // A line goes on after its indentation.
                '\n' => {
                    let after = rest.as_str().trim_start();
                    let (end, after) = literal(after);
                    return (value + &end, after);
                }
                escaped => value.push(escaped),
            },
            other => value.push(other),
        }
    }
    panic!("a literal without an end: {text}");
}

/// The message of a call of a logging macro, which is its last literal. `text` begins behind the call's parenthesis.
fn message(mut text: &str) -> Option<String> {
    let (mut depth, mut last) = (1, None);
    while depth > 0 {
        let at = text.find(['(', ')', '"']).unwrap();
        let found = text.as_bytes()[at];
        text = &text[at + 1..];
        match found {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {
                let (value, rest) = literal(text);
                (last, text) = (Some(value), rest);
            }
        }
    }
    last
}

#[test]
fn every_warning_of_the_log_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for source in sources(&root.join("src")) {
        let (source, _) = source
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((&source, ""));
        for call in ["tracing::warn!(", "tracing::error!("] {
            for (at, _) in source.match_indices(call) {
                let text = message(&source[at + call.len()..]).unwrap();
                // Notices of the configuration are sentences of their own.
                if text == "{notice}" {
                    continue;
                }
                count += 1;
                assert!(
                    GUIDE.contains(&format!("`{text}`")),
                    "not explained: {text}"
                );
            }
        }
    }
    assert!(count > 50, "{count} warnings were found");
}

#[test]
fn every_command_that_is_shown_parses() {
    let mut count = 0;
    for text in [GUIDE, README] {
        for block in text.split("```sh\n").skip(1) {
            let (block, _) = block.split_once("```").unwrap();
            for line in block.lines() {
                let ends = [" #", " >", " &"]
                    .iter()
                    .filter_map(|end| line.find(end))
                    .min();
                let line = line[..ends.unwrap_or(line.len())].trim();
                let line = line.strip_prefix("sudo ").unwrap_or(line);
                if line == "ksnode" || line.starts_with("ksnode ") {
                    count += 1;
                    let parsed = Cli::try_parse_from(line.split_whitespace());
                    if let Err(error) = parsed {
                        panic!("{line}: {error}");
                    }
                }
            }
        }
    }
    assert!(count > 15, "{count} commands were found");
}

#[test]
fn every_link_of_the_guide_leads_to_a_heading() {
    let headings: Vec<String> = GUIDE
        .lines()
        .filter_map(|line| {
            Some(
                line.trim_start_matches('#')
                    .strip_prefix(' ')?
                    .to_lowercase(),
            )
        })
        .map(|heading| heading.replace(' ', "-").replace(['?', ','], ""))
        .collect();
    let links = GUIDE.split("](#").skip(1);
    let links: Vec<&str> = links.map(|link| link.split(')').next().unwrap()).collect();
    assert!(links.len() > 20);
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "{link}");
    }
}
