//! Every error names the key, where the value came from, what is wrong and what mends it.

use super::*;

/// The line that this file leads to, without the file's path.
fn line(text: &str) -> String {
    let machine = Machine::with_file(text);
    let file = machine.overrides.config_file.clone().unwrap();
    machine
        .problem()
        .replace(&file.display().to_string(), "FILE")
}

fn by_variable(name: &str, value: &str) -> String {
    Machine::with_variables(&[(name, value)]).problem()
}

#[test]
fn unknown_keys_are_refused_with_a_guess() {
    for (text, expected) in [
        (
            "[server]\nlisen = 'x'",
            "server.lisen (file FILE line 2): unknown key; did you mean server.listen?",
        ),
        (
            "listen = 'x'",
            "listen (file FILE line 1): unknown key; did you mean server.listen or ops.listen or admin.listen?",
        ),
        (
            "[sever]\nlisten = 'x'",
            "sever (file FILE line 1): unknown key; did you mean [server]?",
        ),
        (
            "'server.listen' = 'x'",
            "\"server.listen\" (file FILE line 1): unknown key; ",
        ),
        (
            "[cluster]\nurl = 'x'",
            "cluster (file FILE line 1): unknown key; remove it, or see `ksnode config show`",
        ),
        (
            "[[identity.oidc]]\nisuer = 'x'",
            "identity.oidc[0].isuer (file FILE line 2): unknown key; did you mean issuer?",
        ),
    ] {
        let machine = Machine::with_file(text);
        let file = machine.overrides.config_file.clone().unwrap();
        let first = machine.load().unwrap_err().problems()[0].to_string();
        let first = first.replace(&file.display().to_string(), "FILE");
        assert!(first.starts_with(expected), "{first}");
    }
    let unknown = by_variable("KSNODE_SERVER_LISTEN", "x");
    assert_eq!(
        unknown,
        "KSNODE_SERVER_LISTEN (environment KSNODE_SERVER_LISTEN): unknown variable; did you mean KSNODE_SERVER__LISTEN?"
    );
    assert!(by_variable("KSNODE_CLUSTER__URL", "x").contains("unset it"));
    assert!(
        by_variable("KSNODE_IDENTITY__OIDC__NAME", "x")
            .contains("write [[identity.oidc]] in ksnode.toml")
    );
}

/// Files, and how the line about each begins.
const IMPOSSIBLE_IN_FILES: &[(&str, &str)] = &[
    (
        "[server]\nlisten = '4201'",
        r#"server.listen (file FILE line 2): "4201" is not an IP address with a port; write it like 127.0.0.1:4201"#,
    ),
    (
        "[server]\nlisten = []",
        "server.listen (file FILE line 2): is an empty list; write at least one",
    ),
    (
        "[server]\nlisten = ['[::1]:1', '[::1]:1']",
        "server.listen (file FILE line 2): names the same thing twice; remove",
    ),
    (
        "[server]\nlisten = [1]",
        "server.listen (file FILE line 2): is of a type that fits no key (array); write a text or a list",
    ),
    (
        "[server]\nlisten = 4201",
        "server.listen (file FILE line 2): is of the wrong type; write a text or a list of texts",
    ),
    (
        "[server]\nrate_window_seconds = 0",
        "server.rate_window_seconds (file FILE line 2): 0 is impossible; write a whole number from 1 to 86400",
    ),
    (
        "[server]\nmax_connections = 0",
        "server.max_connections (file FILE line 2): 0 is impossible; write a whole",
    ),
    (
        "[server]\nrate_limit = -1",
        "server.rate_limit (file FILE line 2): -1 is impossible; write a whole",
    ),
    (
        "[server]\nrate_limit = '5'",
        "server.rate_limit (file FILE line 2): is of the wrong type; write a whole number",
    ),
    (
        "[server]\nrate_limit = 99999999999999999999",
        "server.rate_limit (file FILE line 2): is of a type that fits no key (integer); write a whole number",
    ),
    (
        "[server]\ntrusted_proxies = ['lan']",
        r#"server.trusted_proxies (file FILE line 2): "lan" is neither an IP address nor a network; write it like"#,
    ),
    (
        "server = 1",
        "server (file FILE line 1): is a section, not a value; write [server]",
    ),
    (
        "[ops]\nlisten = '127.0.0.1:4201'",
        "ops.listen (file FILE line 2): 127.0.0.1:4201 is in server.listen too; choose another port",
    ),
    (
        "[log]\nkeep_days = 0",
        "log.keep_days (file FILE line 2): 0 is impossible; write a whole number",
    ),
    (
        "[log]\nlevel = 'inof'",
        r#"log.level (file FILE line 2): "inof" is not a log level; write error, warn, info"#,
    ),
    (
        "[log]\nformat = 'xml'",
        r#"log.format (file FILE line 2): "xml" is none of the choices; write text, json"#,
    ),
    (
        "[commit_reveal]\nmode = 'on'",
        r#"commit_reveal.mode (file FILE line 2): "on" is none of the choices; write off, optional, required"#,
    ),
    (
        "data_dir = 'node'",
        r#"data_dir (file FILE line 1): "node" is not an absolute path; write it from the root on"#,
    ),
    (
        "[backup]\ndir = '~/b'",
        r#"backup.dir (file FILE line 2): "~/b" is not an absolute path; write it"#,
    ),
    (
        "[backup]\nat = '3:00'",
        r#"backup.at (file FILE line 2): "3:00" is not a time of day; write it in UTC like 03:00 or 23:59:30"#,
    ),
    (
        "[backup]\nat = 03:00:00",
        "backup.at (file FILE line 2): is of a type that fits no key (datetime); write a text in quotes",
    ),
    (
        "[backup]\nkeep_days = 0",
        "backup.keep_days (file FILE line 2): 0 is impossible; write a whole number from 1 to 36500",
    ),
    (
        "[backup]\nafter = \"a\\nb\"",
        r#"backup.after (file FILE line 2): "a\nb" has spaces around it or control characters in it; remove them"#,
    ),
    (
        "[backup]\nafter_timeout_seconds = 0",
        "backup.after_timeout_seconds (file FILE line 2): 0 is impossible; write a whole number from 1 to 86400",
    ),
    (
        "[backup]\nage_recipients = ['age1']",
        r#"backup.age_recipients (file FILE line 2): "age1" is not an age recipient: "#,
    ),
    (
        "[backup]\ncheck_interval_seconds = 31_536_001",
        "backup.check_interval_seconds (file FILE line 2): 31536001 is impossible; write a whole number",
    ),
    (
        "secret_file = '~/s'",
        r#"secret_file (file FILE line 1): "~/s" begins with a tilde, which only shells understand; write the absolute path"#,
    ),
    (
        "[identity.x]\nuser_url = 'http://x.example'",
        r#"identity.x.user_url (file FILE line 2): "http://x.example" would send secrets in the clear; write https"#,
    ),
    (
        "[identity.auth0]\ndomain = 'https://a'",
        r#"identity.auth0.domain (file FILE line 2): "https://a" is not a host name in lower case; write it without"#,
    ),
    (
        "[identity.google]\nclient_id = ''",
        "identity.google.client_id (file FILE line 2): is empty; write a value or remove the key",
    ),
    (
        "[identity.oidc]\nname = 'a'",
        "identity.oidc (file FILE line 1): is a list of sections; write [[identity.oidc]] with two brackets",
    ),
    (
        "allow_readable_secret = 'yes'",
        "allow_readable_secret (file FILE line 1): is of the wrong type; write true or false",
    ),
    (
        "[log]\n\nlevel = ",
        "configuration file (file FILE line 3): is not TOML: ",
    ),
];

#[test]
fn impossible_values_are_refused_in_the_file() {
    for (text, expected) in IMPOSSIBLE_IN_FILES {
        let line = line(text);
        assert!(line.starts_with(expected), "{line}");
        assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn impossible_values_are_refused_in_the_environment() {
    for (name, value, expected) in [
        (
            "KSNODE_SERVER__LISTEN",
            "",
            "server.listen (environment KSNODE_SERVER__LISTEN): is an empty list",
        ),
        (
            "KSNODE_SERVER__RATE_LIMIT",
            "many",
            r#"server.rate_limit (environment KSNODE_SERVER__RATE_LIMIT): "many" is impossible; write a whole"#,
        ),
        (
            "KSNODE_ALLOW_READABLE_SECRET",
            "yes",
            r#"allow_readable_secret (environment KSNODE_ALLOW_READABLE_SECRET): "yes" is impossible; write true or false"#,
        ),
        (
            "KSNODE_DATA_DIR",
            "node",
            r#"data_dir (environment KSNODE_DATA_DIR): "node" is not an absolute path"#,
        ),
        (
            "SERVER_PORT",
            "70000",
            r#"server.listen (environment SERVER_PORT): "70000" is not a port; write a number"#,
        ),
        (
            "ENCRYPTION_SECRET_PATH",
            "/none",
            "secret_file (environment ENCRYPTION_SECRET_PATH): /none cannot be read: ",
        ),
        (
            "OKO_API_BASE_URL",
            "https://a.example",
            "telemetry.base_url (environment OKO_API_BASE_URL): is set without telemetry.password; set telemetry.password_file (or KS_NODE_REPORT_PASSWORD",
        ),
        (
            "KS_NODE_REPORT_PASSWORD",
            "hunter2",
            "telemetry.password (environment KS_NODE_REPORT_PASSWORD): is set without telemetry.base_url; set",
        ),
    ] {
        let line = by_variable(name, value);
        assert!(line.starts_with(expected), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn both_names_of_one_setting_must_agree() {
    let line = Machine::with_variables(&[("SERVER_PORT", "1"), ("PORT", "2")]).problem();
    assert!(
        line.starts_with("server.listen (environment PORT): differs from SERVER_PORT"),
        "{line}"
    );
    assert!(line.ends_with("; unset SERVER_PORT or PORT"), "{line}");
    assert!(
        Machine::with_variables(&[("SERVER_PORT", "1"), ("PORT", "")])
            .load()
            .is_ok()
    );
}

#[test]
fn variables_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    for name in ["KSNODE_LOG__LEVEL", "LOG_DIR"] {
        let mut machine = Machine::new();
        machine
            .variables
            .push((name.to_owned(), OsString::from_vec(vec![0xff])));
        assert!(
            machine
                .problem()
                .contains(&format!("(environment {name}): is not UTF-8; "))
        );
    }
}

#[test]
fn flags_are_named_as_sources() {
    let mut machine = Machine::new();
    machine.overrides.listen = vec!["here".into()];
    assert!(
        machine
            .problem()
            .starts_with(r#"server.listen (flag --listen): "here" is not an IP address"#)
    );
    let mut machine = Machine::new();
    machine.overrides.config_file = Some("none.toml".into());
    let line = machine.problem();
    assert!(
        line.starts_with("configuration file (flag --config): ")
            && line.contains("/none.toml cannot be read: "),
        "{line}"
    );
    assert!(line.contains("; check the path"), "{line}");
    machine.overrides.config_file = Some(machine.root.path().to_owned());
    assert!(
        machine
            .problem()
            .contains("is not a file of at most 1 MiB; name the file")
    );
}

#[test]
fn a_user_without_a_home_must_say_where() {
    let mut machine = Machine::new();
    machine.variables.clear();
    let line = machine.problem();
    assert!(
        line.starts_with("data_dir (default): is not set, and neither HOME nor"),
        "{line}"
    );
    assert!(
        line.ends_with("; set data_dir, KSNODE_DATA_DIR or --data-dir"),
        "{line}"
    );
    assert!(machine.and(&[("KSNODE_DATA_DIR", "/d")]).load().is_ok());
    let nowhere = Machine {
        variables: vec![("HOME".into(), "/dev/null".into())],
        ..Machine::new()
    };
    assert!(nowhere.load().is_ok());
}

#[test]
fn further_issuers_have_names_of_their_own() {
    let issuer = |name: &str| {
        format!("[[identity.oidc]]\nname='{name}'\nissuer='https://a.example'\naudience='w'\n")
    };
    assert!(
        line(&issuer("google")).starts_with(
            r#"identity.oidc[0].name (file FILE line 2): "google" is built in; choose"#
        )
    );
    assert!(line(&issuer("")).contains("is not a plain name; write 1 to 32"));
    let twice = line(&(issuer("a") + &issuer("a")));
    assert!(
        twice.starts_with(
            r#"identity.oidc[1].name (file FILE line 6): "a" is the name of another issuer; choose"#
        ),
        "{twice}"
    );
    let missing = Machine::with_file("[[identity.oidc]]\nname = 'a'")
        .load()
        .unwrap_err();
    assert_eq!(missing.problems().len(), 2);
    assert!(
        missing.problems()[0].to_string().starts_with(
            "identity.oidc[0].issuer (default): is missing; add it to identity.oidc[0]"
        )
    );
}

#[test]
fn all_mistakes_are_found_at_once() {
    let error = Machine::with_file("lisen = 1\n[server]\nrate_limit = -1\n[log]\nkeep_days = 0")
        .and(&[("KSNODE_OPS__LISTEN", "x"), ("KSNODE_X", "")])
        .load()
        .unwrap_err();
    assert_eq!(error.problems().len(), 5);
    assert!(
        error
            .to_string()
            .ends_with("(and 4 more: see `ksnode config check`)"),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'));
}
