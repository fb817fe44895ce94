//! Changes to a `ksnode.toml` that somebody wrote: its comments, its order and everything else stay.
//!
//! The packaged sample has each key with its default behind a `#`, to be taken away by whoever sets it. That is done here
//! too, so that a key stands under what the sample says about it and not at another place a second time.

use std::ops::Range;

use anyhow::{Context, ensure};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// A key and what it is to be.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Section and name, joined by a dot; or the name alone.
    pub(super) key: &'static str,
    /// Its value.
    pub(super) value: Value,
}

impl Change {
    /// A text.
    pub(super) fn text(key: &'static str, text: &str) -> Self {
        Self {
            key,
            value: text.into(),
        }
    }

    /// A list.
    pub(super) fn list(key: &'static str, items: &[String]) -> Self {
        let list: Array = items.iter().map(String::as_str).collect();
        Self {
            key,
            value: list.into(),
        }
    }

    fn section_and_name(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }
}

/// The text with these changes; those that say what is there already leave it as it is.
///
/// # Errors
/// The text is not TOML, or has something else where a section is.
pub(super) fn edited(text: &str, changes: &[Change]) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for change in changes {
        let mut document: DocumentMut = text.parse().context("it is not TOML")?;
        let (section, name) = change.section_and_name();
        let table = table(&mut document, section)?;
        text = match table.get_mut(name) {
            Some(Item::Value(value)) => {
                if items(value) == items(&change.value) {
                    continue;
                }
                let decor = value.decor().clone();
                *value = change.value.clone();
                *value.decor_mut() = decor;
                document.to_string()
            }
            Some(_) => anyhow::bail!("{} is a section, and should be a value", change.key),
            None => {
                table.insert(name, Item::Value(change.value.clone()));
                let added = document.to_string();
                uncommented(&text, change, &added).unwrap_or(added)
            }
        };
    }
    Ok(text)
}

/// The section, made when it is not there.
fn table<'a>(document: &'a mut DocumentMut, section: &str) -> anyhow::Result<&'a mut Table> {
    let mut table = document.as_table_mut();
    for name in section.split('.').filter(|name| !name.is_empty()) {
        let item = table
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()));
        let shown = format!(
            "[{section}] is written in a way that cannot be changed here; write it as a section"
        );
        table = item.as_table_mut().context(shown)?;
    }
    ensure!(
        !table.is_dotted(),
        "[{section}] is written with dots; write it as a section"
    );
    Ok(table)
}

/// What a value says: one text is a list of it, as everywhere in the configuration.
fn items(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(items).collect(),
        Value::String(text) => {
            let items = text.value().split(',').map(|item| item.trim().to_owned());
            items.filter(|item| !item.is_empty()).collect()
        }
        other => vec![other.to_string().trim().to_owned()],
    }
}

/// The text with the key set where its default stands behind a `#`; `None` when there is no such line, or when that would
/// say something else than `added` says.
fn uncommented(text: &str, change: &Change, added: &str) -> Option<String> {
    let (section, name) = change.section_and_name();
    let line = commented_line(text, section, name)?;
    let mut with = text.to_owned();
    let value = change.value.to_string();
    with.replace_range(line, &format!("{name} = {}", value.trim()));
    let said = |text: &str| text.parse::<toml::Table>().ok();
    (said(&with)? == said(added)?).then_some(with)
}

fn commented_line(text: &str, section: &str, name: &str) -> Option<Range<usize>> {
    let mut here = "";
    let mut start = 0_usize;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end();
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            here = header;
        }
        let key = line.strip_prefix('#').and_then(|rest| rest.split_once('='));
        if here == section && key.is_some_and(|(key, _)| key.trim_end() == name) {
            return Some(start..start.saturating_add(line.len()));
        }
        start = start.saturating_add(whole.len());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../packaging/ksnode.toml");

    fn changes() -> Vec<Change> {
        vec![
            Change::list("server.listen", &["[::]:443".to_owned()]),
            Change::text("tls.mode", "acme"),
            Change::list("tls.domains", &["node.example.org".to_owned()]),
            Change::text("data_dir", "/d"),
        ]
    }

    #[test]
    fn the_sample_gets_its_keys_where_they_are_explained() {
        let text = edited(SAMPLE, &changes()).unwrap();
        assert_eq!(text.lines().count(), SAMPLE.lines().count());
        let changed: Vec<(&str, &str)> = SAMPLE
            .lines()
            .zip(text.lines())
            .filter(|(before, after)| before != after)
            .collect();
        assert_eq!(
            changed,
            [
                ("#data_dir = \"/var/lib/ksnode\"", "data_dir = \"/d\""),
                ("#listen = [\"127.0.0.1:4201\"]", "listen = [\"[::]:443\"]"),
                ("#mode = \"off\"", "mode = \"acme\""),
                ("#domains = []", "domains = [\"node.example.org\"]"),
            ]
        );
        assert_eq!(edited(&text, &changes()).unwrap(), text);
    }

    #[test]
    fn an_own_file_keeps_what_is_in_it() {
        let own = "# mine\n[server] # here\nlisten = '127.0.0.1:1' # old\nrate_limit = 7\n\n[log]\nlevel = \"warn\"\n";
        let text = edited(own, &changes()).unwrap();
        for kept in [
            "# mine\n",
            "[server] # here\n",
            "listen = [\"[::]:443\"] # old\n",
            "rate_limit = 7\n",
            "[log]\nlevel = \"warn\"\n",
        ] {
            assert!(text.contains(kept), "{kept:?}: {text}");
        }
        let said: toml::Table = text.parse().unwrap();
        assert_eq!(said["tls"]["mode"].as_str(), Some("acme"));
        assert_eq!(said["data_dir"].as_str(), Some("/d"));
        assert_eq!(edited(&text, &changes()).unwrap(), text);
    }

    #[test]
    fn what_says_the_same_in_another_way_is_left() {
        let own = "[server]\nlisten = \"[::]:443\"\n";
        let change = [Change::list("server.listen", &["[::]:443".to_owned()])];
        assert_eq!(edited(own, &change).unwrap(), own);
    }

    #[test]
    fn a_line_in_a_text_is_no_line_of_the_file() {
        let own = "[backup]\nafter = '''\n[tls]\n#mode = \"off\"\n'''\n";
        let text = edited(own, &[Change::text("tls.mode", "acme")]).unwrap();
        assert!(text.starts_with(own), "{text}");
        assert!(text.contains("\n[tls]\nmode = \"acme\"\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        for own in [
            "tls = 7",
            "[tls.mode]\nx = 1",
            "[tls",
            "tls = { mode = 'off' }",
        ] {
            assert!(
                edited(own, &[Change::text("tls.mode", "acme")]).is_err(),
                "{own}"
            );
        }
    }
}
