//! Secrets: where they may come from, who may read them, and that they are shown nowhere.

use super::*;

const SECRET: &str = "hunter2";

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_comes_from_the_environment_as_text() {
    let loaded = Machine::with_variables(&[("KSNODE_ADMIN__PASSWORD", "012345")])
        .load()
        .unwrap();
    assert_eq!(
        loaded.config.admin.password.as_ref().unwrap().expose(),
        "012345"
    );
    assert_eq!(
        shown(&loaded, "admin.password"),
        (
            "(redacted)".into(),
            "environment KSNODE_ADMIN__PASSWORD".into()
        )
    );
}

#[test]
fn a_secret_comes_from_a_file_beside_the_configuration() {
    let machine = Machine::with_file("secret_file = './s'\n[admin]\npassword_file = './p'");
    let file = machine.write("p", "hunter2\n");
    let loaded = machine.load().unwrap();
    assert_eq!(
        loaded.config.admin.password.as_ref().unwrap().expose(),
        SECRET
    );
    assert_eq!(loaded.config.secret_file, machine.root.path().join("s"));
    assert_eq!(
        shown(&loaded, "admin.password"),
        ("(redacted)".into(), "admin.password_file".into())
    );
    assert_eq!(
        origin(&loaded, "admin.password_file").value,
        file.display().to_string()
    );
    assert!(!format!("{loaded:?}").contains(SECRET));
}

#[test]
fn a_secret_comes_from_a_credential() {
    let machine = Machine::new();
    machine.write("credentials/token", "1:t\n");
    machine.write("credentials/secret", "s");
    let folder = machine.root.path().join("credentials");
    let machine = machine.and(&[
        ("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()),
        ("KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN_FILE", "token"),
        ("KSNODE_SECRET_FILE", "secret"),
    ]);
    let config = machine.load().unwrap().config;
    assert_eq!(config.identity.telegram_bot_token.unwrap().expose(), "1:t");
    assert_eq!(config.secret_file, folder.join("secret"));
}

#[test]
fn a_credential_without_its_folder_or_its_file_is_an_error() {
    let machine = Machine::with_variables(&[("KSNODE_SECRET_FILE", "secret")]);
    let line = machine.problem();
    assert!(
        line.starts_with(
            r#"secret_file (environment KSNODE_SECRET_FILE): "secret" names a systemd credential"#
        ),
        "{line}"
    );
    assert!(
        line.contains("CREDENTIALS_DIRECTORY") && line.contains("; write ./secret for a file"),
        "{line}"
    );
    let folder = machine.root.path().to_str().unwrap().to_owned();
    let line = machine.and(&[("CREDENTIALS_DIRECTORY", &folder)]).problem();
    assert!(
        line.contains("cannot be read") && line.ends_with("; check LoadCredential= in the unit"),
        "{line}"
    );
}

#[test]
fn a_secret_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    for (key, section) in [
        ("secret_file", ""),
        ("password_file", "[admin]\n"),
        ("bot_token_file", "[identity.telegram]\n"),
    ] {
        let machine = Machine::with_file(&format!("{section}{key} = './s'"));
        let file = machine.write("s", SECRET);
        set_mode(&file, 0o644);
        let line = machine.problem();
        assert!(line.contains(&format!("{key} (file ")), "{line}");
        assert!(
            line.contains("is accessible to others (mode 0644); run: chmod 600 ")
                && line.ends_with("/s"),
            "{line}"
        );
        assert!(!line.contains(SECRET));
        let allowed = machine.and(&[("KSNODE_ALLOW_READABLE_SECRET", "true")]);
        assert!(allowed.load().is_ok());
    }
}

#[test]
fn a_configuration_with_a_secret_is_itself_private() {
    let machine = Machine::with_file("[admin]\npassword = 'hunter2'");
    assert!(machine.load().is_ok());
    let file = machine.overrides.config_file.clone().unwrap();
    set_mode(&file, 0o644);
    let line = machine.problem();
    assert!(
        line.starts_with("admin.password (file ") && line.contains("; run: chmod 600 "),
        "{line}"
    );
    assert!(
        line.ends_with("or put the secret into a file of its own with admin.password_file"),
        "{line}"
    );
    let harmless = Machine::with_file("[log]\nlevel = 'info'");
    set_mode(harmless.overrides.config_file.as_ref().unwrap(), 0o644);
    assert!(harmless.load().is_ok());
}

#[test]
fn a_secret_is_not_said_twice_in_one_source() {
    let line = Machine::with_file("[admin]\npassword = 'a'\npassword_file = '/b'").problem();
    assert!(
        line.starts_with("admin.password (file ")
            && line.contains("line 2): is set beside admin.password_file (file "),
        "{line}"
    );
    assert!(
        line.ends_with("; keep one of the two, rather admin.password_file"),
        "{line}"
    );
}

#[test]
fn a_higher_sources_spelling_replaces_the_lower_ones() {
    let machine =
        Machine::with_file("[admin]\npassword_file = '/none'").and(&[("ADMIN_PASSWORD", "a")]);
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config.admin.password.as_ref().unwrap().expose(), "a");
    let notice = "is overridden by admin.password (environment ADMIN_PASSWORD)";
    assert!(loaded.notices[0].ends_with(notice), "{:?}", loaded.notices);
}

#[test]
fn empty_secrets_are_none() {
    let line = Machine::with_variables(&[("KSNODE_ADMIN__PASSWORD", "")]).problem();
    assert!(
        line.starts_with("admin.password (environment KSNODE_ADMIN__PASSWORD): is empty; write"),
        "{line}"
    );
    assert!(
        Machine::with_variables(&[("ADMIN_PASSWORD", "")])
            .load()
            .unwrap()
            .config
            .admin
            .password
            .is_none()
    );
    let machine = Machine::with_file("[admin]\npassword_file = './p'");
    machine.write("p", "\n");
    assert!(
        machine
            .problem()
            .contains("p is empty; write the secret into it")
    );
}

#[test]
fn no_error_shows_a_secret() {
    for text in [
        "[admin]\npasswrd = 'hunter2'",
        "[admin]\npassword = ['hunter2', 1]",
        "[admin]\npassword = 'hunter2",
        "[admin]\npassword = hunter2",
        "[admin]\npassword = 'hunter2'\npassword = 'hunter2'",
        "[telemetry]\nbase_url = 'https://u:hunter2@a.example'\npassword = 'hunter2'",
        "[identity.telegram]\nbot_token = 'hunter2'\nbot_token_file = '/x'",
    ] {
        let error = Machine::with_file(text).load().unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains(SECRET),
            "{text}: {error:?}"
        );
    }
}
