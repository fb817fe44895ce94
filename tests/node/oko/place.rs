//! A suite's Postgres and a stopped node beside it.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::contents::{Contents, contents};
use super::encryption::SECRET;
use super::fixture::{Generation, Suite};
use crate::postgres::{DATABASE, Postgres, USER};
use crate::support::{Setup, database};

pub struct Place {
    pub home: tempfile::TempDir,
    pub setup: Setup,
    pub postgres: Postgres,
}

impl Place {
    /// A node that was set up, and a Postgres with that suite in it.
    pub fn new(suite: &Suite) -> Self {
        let place = Self::without_suite();
        place.fill(suite);
        place
    }

    /// The same with an empty database.
    pub fn without_suite() -> Self {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        assert!(setup.run(&["init"]).status.success());
        private(&home.path().join("suite-secret"), SECRET);
        Self {
            home,
            setup,
            postgres: Postgres::start(),
        }
    }

    /// Another stopped node beside the same Postgres.
    pub fn second_home() -> (tempfile::TempDir, Setup) {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        assert!(setup.run(&["init"]).status.success());
        (home, setup)
    }

    pub fn fill(&self, suite: &Suite) {
        self.postgres.script(DATABASE, &suite.sql());
    }

    /// Lets psql read a text.
    pub fn psql(&self, url: &str, text: &str) -> String {
        let file = self.home.path().join("input.sql");
        std::fs::write(&file, text).unwrap();
        self.psql_file(url, &file)
    }

    pub fn psql_file(&self, url: &str, file: &Path) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"]);
        done(psql.arg(file).arg(url).env("PGTZ", "UTC").output().unwrap())
    }

    /// An empty database beside the suite's.
    pub fn another_database(&self, name: &str) -> String {
        self.postgres
            .query(&format!("CREATE DATABASE {name} OWNER {USER}"));
        self.postgres
            .url()
            .replace(&format!("/{DATABASE}?"), &format!("/{name}?"))
    }

    /// What `pg_dump -Fc` makes of the suite.
    pub fn dump(&self) -> PathBuf {
        let file = self.home.path().join("suite.dump");
        let mut dump = Command::new("pg_dump");
        // Another zone than UTC, as a server may have.
        dump.env("PGTZ", "Asia/Seoul");
        dump.args(["-Fc", "-f"]).arg(&file).arg(self.postgres.url());
        done(dump.output().unwrap());
        file
    }

    pub fn secret(&self) -> String {
        self.home.path().join("suite-secret").display().to_string()
    }

    /// Runs `ksnode import oko` on the live suite.
    pub fn import(&self, more: &[&str]) -> Output {
        import_into(&self.setup, &self.live(), more)
    }

    pub fn live(&self) -> Vec<String> {
        [
            "--from",
            &self.postgres.url(),
            "--secret-file",
            &self.secret(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub fn dumped(&self, dump: &Path) -> Vec<String> {
        let dump = dump.display().to_string();
        ["--from-dump", &dump, "--secret-file", &self.secret()]
            .map(str::to_owned)
            .to_vec()
    }

    /// The same with JSON, read.
    pub fn imported(&self, more: &[&str]) -> Report {
        Report::of(self.import(&[&["--json"], more].concat()))
    }

    pub fn contents(&self) -> Contents {
        contents(self.home.path())
    }
}

/// Begins an import and kills it once so many shares are written.
pub fn kill_import(place: &Place, from: &[String], shares: u64) {
    let mut arguments = vec!["import", "oko"];
    arguments.extend(from.iter().map(String::as_str));
    let mut child = place.setup.spawn(&arguments);
    let count = || {
        let count = "SELECT count(share_id) FROM wallet";
        let found = database(place.home.path()).query_row(count, [], |row| row.get(0));
        found.unwrap_or(0_u64)
    };
    while count() < shares {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn import_into(setup: &Setup, from: &[String], more: &[&str]) -> Output {
    let mut arguments = vec!["import", "oko"];
    arguments.extend(from.iter().map(String::as_str));
    arguments.extend(more);
    setup.run(&arguments)
}

pub fn private(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[track_caller]
pub fn done(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts a failure and returns its line.
#[track_caller]
pub fn refused(output: Output, texts: &[&str]) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    for text in texts {
        assert!(said.contains(text), "{text:?} is missing: {said}");
    }
    said
}

/// The report of an import.
#[derive(Debug)]
pub struct Report {
    pub complete: bool,
    pub json: Value,
}

impl Report {
    #[track_caller]
    pub fn of(output: Output) -> Self {
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {output:?}"));
        assert!(json["import"].is_object(), "{json} {output:?}");
        let complete = json["complete"] == true;
        assert_eq!(output.status.success(), complete, "{output:?}");
        Self {
            complete,
            json: json["import"].clone(),
        }
    }

    /// imported, updated, already there, skipped
    pub fn counts(&self, kind: &str) -> [usize; 4] {
        let table = &self.json["tables"][kind];
        let counts = ["imported", "updated", "already_there", "skipped"]
            .map(|name| usize::try_from(table[name].as_u64().unwrap()).unwrap());
        assert_eq!(
            table["read"].as_u64().unwrap(),
            counts.iter().sum::<usize>() as u64
        );
        counts
    }

    /// The ids of what was skipped of a kind, and why.
    pub fn skipped(&self, kind: &str) -> HashMap<String, String> {
        let all = self.json["skipped"].as_array().unwrap().iter();
        all.filter(|row| row["kind"] == kind)
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                (text("id"), text("why"))
            })
            .collect()
    }
}

/// All of the four tables of the second generation as text, shares and keys decrypted by `open`.
pub fn tables(
    place: &Place,
    url: &str,
    generation: Generation,
    open: impl Fn(&str) -> String,
) -> Vec<String> {
    let prefix = if generation == Generation::First {
        ""
    } else {
        "2_"
    };
    let query = |columns: &str, table: &str| {
        let sql = format!("SELECT {columns} FROM \"{prefix}{table}\" ORDER BY 1;");
        place.psql(url, &sql)
    };
    let who = match generation {
        Generation::First => "'google' AS auth_type, email",
        Generation::Second => "auth_type, user_auth_id",
    };
    let mut lines = vec![
        query(
            &format!("user_id, {who}, status, created_at, updated_at, aux"),
            "users",
        ),
        query(
            "wallet_id, user_id, curve_type, public_key, created_at, updated_at, aux",
            "wallets",
        ),
    ];
    let sealed = [
        query(
            "share_id, wallet_id, status, reshared_at, created_at, updated_at, aux, convert_from(enc_share, 'UTF8')",
            "key_shares",
        ),
        query(
            "keypair_id, version, public_key, is_active, created_at, updated_at, rotated_at, enc_private_key",
            "server_keypairs",
        ),
    ];
    lines.extend(sealed.iter().flat_map(|text| text.lines()).map(|line| {
        let (rest, encrypted) = line.rsplit_once('|').unwrap();
        format!("{rest}|{}", open(encrypted))
    }));
    lines
}
