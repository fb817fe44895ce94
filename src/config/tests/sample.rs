//! The packaged sample: every key is in it, and what it calls a default is one.

use toml::{Table, Value};

use super::super::key;
use super::*;

const SAMPLE: &str = include_str!("../../../packaging/ksnode.toml");

/// The sample with every key set: the `#` before a key is removed, prose has a space behind its `#`.
fn uncommented() -> String {
    let line = |line: &'static str| {
        line.strip_prefix('#')
            .filter(|rest| !rest.starts_with(' '))
            .unwrap_or(line)
    };
    SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn keys(prefix: &str, table: &Table, found: &mut Vec<String>) {
    for (name, value) in table {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(table) => keys(&path, table, found),
            Value::Array(items) if path == key::OIDC => {
                keys(&path, items[0].as_table().unwrap(), found)
            }
            _ => found.push(path),
        }
    }
}

#[test]
fn has_every_key_and_no_other() {
    let mut found = Vec::new();
    keys("", &uncommented().parse().unwrap(), &mut found);
    let fields = key::OIDC_FIELDS
        .iter()
        .map(|field| format!("{}.{}", key::OIDC, field.path));
    let mut known: Vec<String> = key::KEYS
        .iter()
        .map(|key| key.path.to_owned())
        .chain(fields)
        .collect();
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn as_it_is_packaged_it_changes_nothing() {
    let machine = Machine::new();
    machine.write("etc/ksnode.toml", "");
    let empty = machine.load().unwrap();
    machine.write("etc/ksnode.toml", SAMPLE);
    let sample = machine.load().unwrap();
    for (one, other) in empty.origins.iter().zip(&sample.origins) {
        assert_eq!(
            (&one.key, &one.value, &one.source),
            (&other.key, &other.value, &other.source)
        );
    }
}

#[test]
fn its_defaults_are_the_defaults() {
    let machine = Machine::new();
    machine.write("etc/ksnode.toml", "");
    let empty = machine.load().unwrap();
    // These have no default; the sample shows an example.
    let example = |path: &str| {
        path == "telemetry.base_url"
            || path == "log.dir"
            || path == "backup.after"
            || [
                "tls.certificate",
                "tls.key",
                "tls.contact",
                "tls.directory_root",
                "replica.host",
                "replica.port",
                "replica.user",
                "replica.database",
                "replica.sslmode",
                "replica.root_certificate",
            ]
            .contains(&path)
            || key::PAIRS.iter().any(|(a, b)| [*a, *b].contains(&path))
    };
    let mut table: Table = uncommented().parse().unwrap();
    for known in key::KEYS.iter().filter(|known| example(known.path)) {
        let (section, name) = known.path.rsplit_once('.').unwrap();
        let mut at = &mut table;
        for part in section.split('.') {
            at = at.get_mut(part).unwrap().as_table_mut().unwrap();
        }
        at.remove(name);
    }
    machine.write("etc/ksnode.toml", &table.to_string());
    let sample = machine.load().unwrap();
    for known in key::KEYS.iter().filter(|known| !example(known.path)) {
        assert_eq!(
            origin(&sample, known.path).value,
            origin(&empty, known.path).value,
            "{}",
            known.path
        );
        assert!(
            matches!(origin(&sample, known.path).source, Source::File { .. }),
            "{}",
            known.path
        );
    }
    assert_eq!(sample.config.identity.oidc[0].prefix, "corp_");
}
