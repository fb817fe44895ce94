//! Doors for fuzzers: every parser of bytes from outside, each as a function that takes any bytes and must come back.
//!
//! This is no part of the program: it is there in tests, and when `tests/fuzz/run` builds (`--cfg fuzzing`). The parsers are private
//! to their rooms and stay so. A whole node could be fed over a socket instead; that finds less in the same time, since
//! each try then goes through a network and a rate limit.
//!
//! `tests/fuzz/run` goes on for as long as one likes, guided by what code is reached. The test here, which is a part of all
//! tests, reads the same corpora and changes what is in them without that guidance for a moment.

use std::path::{Path, PathBuf};

use crate::config::{Environment, Overrides, load_text};
use crate::tls::{Certificate, Pem};
use crate::{admin, backup, control, http, identity, oko};

/// A parser, and the name of its corpus.
type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 15] = [
    ("bodies-v1", http::fuzzing::bodies_v1),
    ("bodies-v2", http::fuzzing::bodies_v2),
    ("heads", http::fuzzing::heads),
    ("id-tokens", identity::fuzzing::id_token),
    ("jwks", identity::fuzzing::jwks),
    ("telegram", identity::fuzzing::telegram),
    ("forms", admin::fuzzing::forms),
    ("origins", origins),
    ("control", control::fuzzing::lines),
    ("config", config),
    ("certificates", certificates),
    ("backups", backup::fuzzing::backups),
    ("encrypted", backup::fuzzing::encrypted),
    ("identities", backup::fuzzing::identities),
    ("oko", oko::fuzzing::rows),
];

/// The parser of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    let mut targets = TARGETS.into_iter();
    targets
        .find(|(known, _)| *known == name)
        .map(|(_, read)| read)
}

fn origins(bytes: &[u8]) {
    admin::fuzzing::origins(&http::fuzzing::headers(bytes));
}

/// A configuration file, and behind a zero byte lines of `NAME=value` for the environment.
fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // Files that it names are read, and such may never end.
    if ["/dev", "/proc", "/sys", ".."]
        .iter()
        .any(|path| text.contains(path))
    {
        return;
    }
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.into()));
    let environment = Environment::new(variables, PathBuf::from("/nowhere"));
    let path = Path::new("/nowhere/ksnode.toml");
    if let Err(error) = load_text(path, file, &Overrides::default(), &environment) {
        let _ = error.to_string();
    }
}

/// A chain, and behind a zero byte the key; both in one text when there is none.
fn certificates(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let chain = parts.next().unwrap_or_default();
    let key = parts.next().unwrap_or(chain);
    let named = |what, text| Pem { what, text };
    if let Err(error) = Certificate::from_pem(named("chain", chain), named("key", key)) {
        let _ = error.to_string();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;

    /// What a parser is given at most.
    const BYTES: usize = 100_000;

    /// Random numbers that are the same each time (xorshift64*): what fails once fails again.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
            usize::try_from(number).unwrap() % limit.max(1)
        }

        /// A little of everything that happens to bytes.
        fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
            for _ in 0..=self.below(4) {
                let at = self.below(bytes.len() + 1);
                let end = (at + self.below(9)).min(bytes.len());
                let byte = u8::try_from(self.below(256)).unwrap();
                match self.below(6) {
                    0 => bytes.insert(at, byte),
                    1 => drop(bytes.drain(at..end)),
                    2 => bytes.truncate(at),
                    3 => {
                        let again = bytes[at..end].repeat(1 + self.below(20));
                        bytes.splice(at..at, again);
                    }
                    4 => {
                        let other = &others[self.below(others.len())];
                        let from = self.below(other.len());
                        bytes.splice(at..end, other[from..].iter().copied());
                    }
                    _ => bytes[at..end].fill(byte),
                }
            }
            bytes.truncate(BYTES);
        }
    }

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
            .join(name);
        let mut paths: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }

    #[test]
    fn every_parser_comes_back_whatever_it_is_given() {
        let seconds =
            std::env::var("KSNODE_FUZZ_SECONDS").map_or(1.0, |text| text.parse().unwrap());
        for (name, read) in TARGETS {
            let seeds = corpus(name);
            assert!(!seeds.is_empty(), "{name} has no corpus");
            seeds.iter().for_each(|seed| read(seed));
            let mut chance = Chance(0x6b73_6e6f_6465);
            let clock = SystemClock::shared();
            let begun = clock.monotonic();
            let mut tries = 0;
            while clock.monotonic() - begun < Duration::from_secs_f64(seconds) {
                let mut bytes = seeds[chance.below(seeds.len())].clone();
                chance.change(&mut bytes, &seeds);
                let told = std::panic::catch_unwind(|| read(&bytes));
                assert!(told.is_ok(), "{name} {}", bytes.escape_ascii());
                tries += 1;
            }
            println!("{name}: {} seeds, {tries} changes of them", seeds.len());
        }
    }

    /// A seed that nobody can read any more shows nothing of what lies behind the first check.
    #[test]
    fn the_encrypted_seed_opens() {
        use crate::backup::fuzzing::opens;
        assert!(corpus("encrypted").iter().any(|seed| opens(seed)));
    }
}
