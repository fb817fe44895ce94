//! The table of keys: the one list of what may be configured.
//!
//! Everything that must know all keys reads this table: the walk through `ksnode.toml`, the names in the
//! environment, defaults, bounds, redaction, `config show`, suggestions for a misspelt key, and the test
//! of the packaged sample. A key that is missing here is unknown everywhere.

mod oidc;
mod table;

pub(crate) use oidc::OIDC_FIELDS;
pub(crate) use table::KEYS;

/// What a key's value is made of; decides bounds and what may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// The path of a file, or a systemd credential's name.
    File,
    /// The path of a file with a secret, or a systemd credential's name.
    SecretFile,
    /// The absolute path of a folder.
    Folder,
    /// A list of texts; one text is a list with commas.
    List,
    /// A whole number within these bounds.
    Number { min: u64, max: u64 },
    /// `true` or `false`.
    Boolean,
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Section and name, joined by dots.
    pub(crate) path: &'static str,
    /// What its value is made of.
    pub(crate) kind: Kind,
    /// What holds when nobody says anything, spelt as in the environment. Defaults that depend on other
    /// values (paths below the data folder) are not constants and stand in `settings`.
    pub(crate) default: Option<&'static str>,
    /// One line for the operator.
    pub(crate) doc: &'static str,
}

/// Where the array of further issuers stands.
pub(crate) const OIDC: &str = "identity.oidc";

/// A secret's two spellings: the text itself, and the file that holds it.
pub(crate) const PAIRS: &[(&str, &str)] = &[
    (
        "identity.telegram.bot_token",
        "identity.telegram.bot_token_file",
    ),
    ("replica.url", "replica.url_file"),
    ("replica.password", "replica.password_file"),
    ("telemetry.password", "telemetry.password_file"),
    ("admin.password", "admin.password_file"),
];

/// What every variable of ours begins with.
pub(crate) const PREFIX: &str = "KSNODE_";

impl Key {
    /// The key's name in the environment: `KSNODE_SERVER__LISTEN`.
    pub(crate) fn variable(&self) -> String {
        format!(
            "{PREFIX}{}",
            self.path.to_ascii_uppercase().replace('.', "__")
        )
    }
}

/// The key at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The key that the variable `name` sets.
pub(crate) fn by_variable(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.variable() == name)
}

/// Whether keys stand below `path`.
pub(crate) fn is_section(path: &str) -> bool {
    sections().any(|section| section == path)
}

/// Every section, several times each.
fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|key| {
        key.path
            .match_indices('.')
            .filter_map(|(dot, _)| key.path.get(..dot))
    })
}

/// What the writer of an unknown key in `ksnode.toml` may have meant: a key spelt nearly so, the section
/// spelt nearly so, or the keys of that name in other sections.
pub(crate) fn suggest(path: &str) -> Option<String> {
    let path = path.to_ascii_lowercase().replace('-', "_");
    if let Some(section) = nearest(&path, sections()) {
        return Some(format!("[{section}]"));
    }
    if let Some(key) = nearest(&path, KEYS.iter().map(|key| key.path)) {
        return Some(key.to_owned());
    }
    let name = path.rsplit('.').next()?;
    let of_that_name: Vec<&str> = KEYS
        .iter()
        .map(|key| key.path)
        .filter(|path| path.rsplit('.').next() == Some(name))
        .collect();
    (!of_that_name.is_empty()).then(|| of_that_name.join(" or "))
}

/// The variable that was meant by the unknown variable `name`.
pub(crate) fn suggest_variable(name: &str) -> Option<String> {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    nearest(&name.to_ascii_uppercase(), known.iter().map(String::as_str)).map(str::to_owned)
}

/// The field of `[[identity.oidc]]` that was meant by the unknown field `name`.
pub(crate) fn suggest_oidc(name: &str) -> Option<String> {
    nearest(
        &name.to_ascii_lowercase(),
        OIDC_FIELDS.iter().map(|key| key.path),
    )
    .map(str::to_owned)
}

/// The candidate within a few slips of `given`; more slips are allowed in longer names.
fn nearest<'a>(given: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (given.chars().count() / 4).clamp(1, 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(given, candidate), candidate))
        .filter(|(slips, _)| *slips <= allowed)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_variables_with_two_underscores_between_section_and_key() {
        assert_eq!(
            find("server.listen").unwrap().variable(),
            "KSNODE_SERVER__LISTEN"
        );
        assert_eq!(find("data_dir").unwrap().variable(), "KSNODE_DATA_DIR");
        assert_eq!(
            by_variable("KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN")
                .unwrap()
                .path,
            "identity.telegram.bot_token"
        );
        assert!(by_variable("KSNODE_SERVER_LISTEN").is_none());
    }

    #[test]
    fn guesses_what_was_meant() {
        assert_eq!(suggest("server.lisen").unwrap(), "server.listen");
        assert_eq!(suggest("server.rate-limit").unwrap(), "server.rate_limit");
        assert_eq!(suggest("sever").unwrap(), "[server]");
        assert_eq!(
            suggest("max_connections").unwrap(),
            "server.max_connections"
        );
        assert_eq!(
            suggest("keep_days").unwrap(),
            "backup.keep_days or audit.keep_days or log.keep_days"
        );
        assert_eq!(
            suggest_variable("KSNODE_SERVER_LISTEN").unwrap(),
            "KSNODE_SERVER__LISTEN"
        );
        assert_eq!(suggest_oidc("isuer").unwrap(), "issuer");
        assert_eq!(suggest("cluster"), None);
        assert_eq!(suggest_variable("KSNODE_CLUSTER__URL"), None);
    }

    #[test]
    fn every_secret_has_a_file_beside_it() {
        for secret in KEYS.iter().filter(|key| key.kind == Kind::Secret) {
            let file = PAIRS
                .iter()
                .find(|(inline, _)| *inline == secret.path)
                .unwrap()
                .1;
            assert_eq!(find(file).unwrap().kind, Kind::SecretFile);
        }
    }
}
