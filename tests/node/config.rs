//! `ksnode config` and `ksnode init` as an operator meets them: the binary, its output, its exit code.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The exit code of a configuration that cannot be used.
const EX_CONFIG: i32 = 78;

/// What came back: exit code, standard output, standard error.
#[derive(Debug)]
struct Answer {
    code: i32,
    out: String,
    err: String,
}

/// A home without a configuration.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.path(".local/share/ksnode").join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_ksnode"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.0.path())
            .envs(variables.iter().copied())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_wrong_configuration_is_exit_code_78_and_a_line_for_each_mistake() {
    let home = Home::new();
    let file = home.write("k.toml", "[server]\nlisen = 'x'\nrate_window_seconds = 0");
    let answer = home.run(
        &["--config", &file, "config", "check"],
        &[("KSNODE_NONE", "1")],
    );
    assert_eq!(answer.code, EX_CONFIG);
    let lines: Vec<&str> = answer.err.lines().collect();
    assert_eq!(lines.len(), 3, "{answer:?}");
    assert!(answer.err.contains(&format!(
        "ksnode: server.lisen (file {file} line 2): unknown key; did you mean server.listen?\n"
    )));
    for command in [&["config", "show"][..], &["init"]] {
        assert_eq!(home.run(command, &[("KSNODE_NONE", "1")]).code, EX_CONFIG);
    }
    assert!(!home.own("").exists());
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let home = Home::new();
    assert_eq!(home.run(&["config", "chek"], &[]).code, 2);
    assert_eq!(home.run(&["--lisen", "x", "config", "check"], &[]).code, 2);
}

#[test]
fn check_names_the_file_and_gives_notices() {
    let home = Home::new();
    let file = home.write("k.toml", "");
    let answer = home.run(
        &["config", "check", "--config", &file],
        &[("PG_DATA_DIR", "/db")],
    );
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(
        answer
            .out
            .starts_with(&format!("ok: {file}\nnotice: PG_DATA_DIR is not used")),
        "{answer:?}"
    );
    assert!(
        home.run(&["config", "check"], &[])
            .out
            .starts_with("ok: no configuration file")
    );
}

#[test]
fn show_tells_values_and_sources_and_no_secret() {
    let home = Home::new();
    let variables = [
        ("ADMIN_PASSWORD", "hunter2"),
        ("KSNODE_OPS__LISTEN", "127.0.0.1:9"),
    ];
    let arguments = ["config", "show", "--data-dir", "node"];
    let answer = home.run(&arguments, &variables);
    assert_eq!(answer.code, 0, "{answer:?}");
    let row = |key: &str| -> Vec<String> {
        let row = answer
            .out
            .lines()
            .find(|line| line.split("  ").next() == Some(key))
            .unwrap();
        row.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        row("ops.listen"),
        [
            "ops.listen",
            "127.0.0.1:9",
            "environment KSNODE_OPS__LISTEN"
        ]
    );
    assert_eq!(
        row("admin.password"),
        ["admin.password", "(redacted)", "environment ADMIN_PASSWORD"]
    );
    assert_eq!(
        row("data_dir"),
        [
            "data_dir",
            home.path("node").to_str().unwrap(),
            "flag --data-dir"
        ]
    );
    assert_eq!(row("log.keep_days"), ["log.keep_days", "7", "default"]);
    assert!(!answer.out.contains("hunter2"));

    let answer = home.run(&["config", "show", "--json"], &variables);
    let document: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    let values = document["values"].as_array().unwrap();
    let listen = values
        .iter()
        .find(|value| value["key"] == "ops.listen")
        .unwrap();
    assert_eq!(listen["value"], "127.0.0.1:9");
    assert_eq!(listen["source"], "environment KSNODE_OPS__LISTEN");
    assert!(document["config_file"].is_null());
    assert!(!answer.out.contains("hunter2"));
}

#[test]
fn init_makes_a_private_folder_and_can_be_repeated() {
    let home = Home::new();
    let answer = home.run(&["init"], &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let (secret, password) = (home.own("secret"), home.own("initial-admin-password"));
    assert_eq!(
        (mode(&home.own("")), mode(&secret), mode(&password)),
        (0o700, 0o600, 0o600)
    );
    let kept = (read(&secret), read(&password));
    assert_eq!(kept.0.len(), 64);
    assert!(
        answer.out.contains(kept.1.trim())
            && answer
                .out
                .contains(&format!("created: {}", secret.display()))
    );

    let again = home.run(&["init"], &[]);
    assert_eq!(again.code, 0);
    assert!(
        again
            .out
            .contains(&format!("already there: {}", secret.display()))
            && !again.out.contains("created")
            && !again.out.contains(kept.1.trim())
    );
    assert_eq!((read(&secret), read(&password)), kept);

    std::fs::write(home.own("ksnode.db"), "").unwrap();
    std::fs::remove_file(&secret).unwrap();
    let refused = home.run(&["init"], &[]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("secret_file: ") && refused.err.lines().count() == 1,
        "{refused:?}"
    );
    assert!(!secret.exists());
}

const DOT_ENV: &str = r#"
# The node
SERVER_PORT=4201
export ADMIN_PASSWORD="pass # word"
ENCRYPTION_SECRET_FILE_PATH=./keys/secret.txt
DUMP_DIR=/opt/dump   # backups
LOG_DIR=
TELEGRAM_BOT_TOKEN='123:to$ken'
OKO_API_BASE_URL=https://api.example.org
KS_NODE_REPORT_PASSWORD=report
DB_HOST=postgres
DB_PASSWORD=dbsecret
COMPOSE_PROJECT_NAME=node
"#;

fn suite(home: &Home) -> String {
    std::fs::create_dir(home.path("keys")).unwrap();
    home.write("keys/secret.txt", "s\n");
    home.write(".env", DOT_ENV)
}

#[test]
fn init_takes_over_a_docker_suite() {
    let home = Home::new();
    let env = suite(&home);
    let answer = home.run(&["init", "--data-dir", "node", "--from-env", &env], &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let secrets = [
        ("admin-password", "pass # word\n"),
        ("telegram-bot-token", "123:to$ken\n"),
        ("telemetry-password", "report\n"),
    ];
    for (name, content) in secrets {
        let path = home.path("node").join(name);
        assert_eq!((read(&path).as_str(), mode(&path)), (content, 0o600));
    }
    let file = home.path("node/ksnode.toml");
    assert_eq!(mode(&file), 0o600);
    let text = read(&file);
    for secret in ["pass # word", "123:to$ken", "report\"", "dbsecret"] {
        assert!(
            !text.contains(secret) && !answer.out.contains(secret),
            "{secret}: {text}{answer:?}"
        );
    }
    for line in [
        "taken over: SERVER_PORT as server.listen",
        "not taken over: DB_HOST: is of that suite's own database",
        "not taken over: DB_PASSWORD: is of that suite's own database",
        "not taken over: COMPOSE_PROJECT_NAME: not known",
        "not taken over: LOG_DIR: is empty",
    ] {
        assert!(answer.out.contains(line), "{line}: {answer:?}");
    }
    assert!(!home.path("node/secret").exists());

    let shown = home.run(
        &[
            "config",
            "show",
            "--json",
            "--config",
            file.to_str().unwrap(),
        ],
        &[],
    );
    let document: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    let value = |key: &str| {
        let values = document["values"].as_array().unwrap();
        values.iter().find(|value| value["key"] == key).unwrap()["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(value("server.listen"), "[::]:4201");
    assert_eq!(value("data_dir"), home.path("node").to_str().unwrap());
    assert_eq!(
        value("secret_file"),
        home.path("keys/secret.txt").to_str().unwrap()
    );
    assert_eq!(value("backup.dir"), "/opt/dump");
    assert_eq!(value("telemetry.base_url"), "https://api.example.org");
    assert_eq!(
        value("admin.password_file"),
        home.path("node/admin-password").to_str().unwrap()
    );
    assert_eq!(value("log.dir"), "(not set)");
}

#[test]
fn init_overwrites_no_configuration_and_no_secret() {
    let home = Home::new();
    let env = suite(&home);
    let arguments = ["init", "--from-env", env.as_str()];
    assert_eq!(home.run(&arguments, &[]).code, 0);
    let text = read(&home.own("ksnode.toml"));
    let again = home.run(&arguments, &[]);
    assert_eq!(again.code, 1);
    assert!(
        again
            .err
            .contains("ksnode.toml exists and is not overwritten"),
        "{again:?}"
    );
    assert_eq!(read(&home.own("ksnode.toml")), text);

    let other = home.path("other/ksnode.toml");
    std::fs::create_dir(home.path("other")).unwrap();
    home.write("other/telemetry-password", "another");
    let refused = home.run(
        &[
            "init",
            "--from-env",
            &env,
            "--config",
            other.to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .err
            .contains("telemetry-password exists and is not overwritten"),
        "{refused:?}"
    );
    assert_eq!(home.path("other").read_dir().unwrap().count(), 1);
}

#[test]
fn init_checks_the_docker_suites_file_before_it_writes() {
    let home = Home::new();
    for (text, expected) in [
        (
            "SERVER_PORT=http\n",
            "server.listen (environment SERVER_PORT): \"http\" is not a port; ",
        ),
        (
            "SERVER_PORT=1\nADMIN_PASSWORD='hunter2' and more\n",
            "wrong.env line 2): has a line that is not understood; ",
        ),
        ("ADMIN_PASSWORD=hunter2$$\n", "ADMIN_PASSWORD (file "),
        (
            "ENCRYPTION_SECRET_FILE_PATH=/none\n",
            "secret_file (environment ENCRYPTION_SECRET_FILE_PATH): /none cannot be read",
        ),
    ] {
        let env = home.write("wrong.env", text);
        let answer = home.run(&["init", "--from-env", &env], &[]);
        assert_eq!(answer.code, EX_CONFIG, "{answer:?}");
        assert!(
            answer.err.contains(expected) && !answer.err.contains("hunter2"),
            "{answer:?}"
        );
    }
    let answer = home.run(&["init", "--from-env", "absent.env"], &[]);
    assert_eq!(answer.code, EX_CONFIG);
    assert!(
        answer.err.contains("absent.env cannot be read: "),
        "{answer:?}"
    );
    assert!(!home.own("").exists());
}
