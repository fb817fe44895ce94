//! `ksnode doctor`: each trouble made for real, found, and told with its mend.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::operator::{backup, printed};
use crate::receiver::Receiver;
use crate::support::{Setup, ksnode};

/// Areas whose findings depend on the machine that the tests run on.
const OF_THE_MACHINE: [&str; 4] = ["clock", "disk", "memory", "firewall"];

/// A node whose providers all answer.
fn setup(home: &Path) -> Setup {
    let providers = Receiver::start(|_| (200, "{}".to_owned()));
    with_providers(home, &providers.url)
}

fn with_providers(home: &Path, url: &str) -> Setup {
    let keys = [
        "GOOGLE__JWKS_URL",
        "AUTH0__JWKS_URL",
        "X__USER_URL",
        "DISCORD__USER_URL",
    ];
    keys.iter().fold(Setup::new(home), |setup, key| {
        setup.env(&format!("KSNODE_IDENTITY__{key}"), url)
    })
}

/// A finding, as JSON tells it.
#[derive(Debug)]
struct Found {
    level: String,
    area: String,
    what: String,
    mend: String,
}

/// What the doctor finds. Its exit code says whether something is wrong.
#[track_caller]
fn examine(setup: &Setup) -> Vec<Found> {
    let output = setup.run(&["doctor", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found: Vec<Found> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| Found {
            level: text(&found["level"]),
            area: text(&found["area"]),
            what: text(&found["what"]),
            mend: text(&found["mend"]),
        })
        .collect();
    let wrong = found.iter().any(|found| found.level == "wrong");
    assert_eq!(output.status.code(), Some(i32::from(wrong)), "{found:#?}");
    assert_eq!(document["well"], !wrong);
    found
}

/// Asserts that this was found.
#[track_caller]
fn finds(found: &[Found], level: &str, area: &str, what: &str, mend: &str) {
    let fits = |found: &&Found| {
        (found.level.as_str(), found.area.as_str()) == (level, area)
            && found.what.contains(what)
            && found.mend.contains(mend)
    };
    assert!(found.iter().any(|found| fits(&found)), "{found:#?}");
}

/// Asserts that everything but the machine is as it should be.
#[track_caller]
fn is_well(found: &[Found]) {
    for found in found {
        let machine = OF_THE_MACHINE.contains(&found.area.as_str());
        assert!(machine || found.level == "ok", "{found:?}");
    }
}

fn age(path: &Path, days: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    file.set_modified(then).unwrap();
}

#[test]
fn a_node_that_is_well_is_found_well() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let password = std::fs::read_to_string(setup.data("initial-admin-password")).unwrap();
    let found = examine(&setup);
    finds(&found, "note", "leftovers", "first password", "use it once");
    finds(
        &found,
        "note",
        "backups",
        "there is none",
        "ksnode backup create",
    );
    node.post_open(
        "/pg_dump/v1/backup",
        &json!({"password": password.trim_end()}),
    )
    .data();
    let found = examine(&setup);
    is_well(&found);
    for (area, what) in [
        ("configuration", "there is no file"),
        ("node", "runs (process"),
        ("folders", "data: "),
        ("secret", "is there and private"),
        ("ports", node.address()),
        ("certificate", "none is needed"),
        ("backups", "the newest"),
        ("providers", "google answers"),
        ("leftovers", "there are none"),
        ("database", "the node has it open"),
    ] {
        finds(&found, "ok", area, what, "");
    }
    assert!(node.stop().success());
    let found = examine(&setup);
    finds(&found, "note", "node", "is stopped", "ksnode serve");
    finds(&found, "ok", "database", "opens with the secret", "");
    let page = printed(&setup.run(&["doctor"]));
    assert!(page.contains("ok       secret"), "{page}");
    assert!(page.contains("nothing is wrong"), "{page}");
}

#[test]
fn nothing_is_made_where_nothing_is() {
    let home = tempfile::tempdir().unwrap();
    let found = examine(&setup(home.path()));
    finds(&found, "note", "secret", "is not there", "ksnode init");
    finds(
        &found,
        "note",
        "database",
        "is not there yet",
        "ksnode init",
    );
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_misspelt_key_is_found_with_what_was_meant() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path()).config("[server]\nlisen = 'x'\n[tsl]\nmode = 'off'\n");
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "configuration",
        "server.lisen: unknown key",
        "server.listen?",
    );
    finds(&found, "wrong", "configuration", "tsl", "did you mean");
    finds(
        &found,
        "note",
        "configuration",
        "nothing else was looked at",
        "",
    );
}

#[test]
fn a_secret_that_others_may_read_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let secret = setup.data("secret");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o644)).unwrap();
    let found = examine(&setup);
    let mend = format!("chmod 600 {}", secret.display());
    let wrong = found.iter().find(|found| found.level == "wrong").unwrap();
    assert!(wrong.mend.contains(&mend), "{found:#?}");
}

#[test]
fn another_secret_and_an_absent_one_are_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let secret = setup.data("secret");
    std::fs::write(&secret, "another one").unwrap();
    let found = examine(&setup);
    finds(&found, "wrong", "database", "secret", "");
    std::fs::remove_file(&secret).unwrap();
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "secret",
        "is not there",
        "put your copy of the secret back",
    );
}

#[test]
fn folders_that_are_closed_or_open_are_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let data = setup.data("");
    let set = |mode| std::fs::set_permissions(&data, PermissionsExt::from_mode(mode)).unwrap();
    set(0o755);
    let found = examine(&setup);
    finds(
        &found,
        "warning",
        "folders",
        "open to others (mode 0755)",
        "chmod 700",
    );
    // A folder that may not be written to.
    set(0o500);
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "folders",
        "closed to its own user (mode 0500)",
        "chmod 700",
    );
    set(0o700);
}

#[test]
fn what_belongs_to_somebody_else_is_found() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root gives files away");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    give(&setup.data("ksnode.lock"), 65_534);
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "folders",
        "ksnode.lock belongs to",
        "chown -R root:root",
    );
    // The node runs as whoever has its folder, whom the home above keeps out.
    give(&setup.data(""), 65_534);
    let found = examine(&setup);
    let mend = format!("sudo chmod o+x {}", home.path().display());
    finds(&found, "wrong", "folders", "may not enter", &mend);
}

#[test]
fn a_port_that_is_taken_is_found_with_who_has_it() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = setup(home.path()).listen(&address);
    let found = examine(&setup);
    let by = format!("{address} is taken by ");
    finds(&found, "wrong", "ports", &by, "server.listen");
    finds(
        &found,
        "wrong",
        "ports",
        &std::process::id().to_string(),
        "",
    );
    drop(taken);
    let found = examine(&setup);
    finds(&found, "ok", "ports", &format!("{address} is free"), "");
    // One that no machine of ours has (RFC 5737).
    let found = examine(&setup.listen("192.0.2.1:4201"));
    finds(
        &found,
        "wrong",
        "ports",
        "no address 192.0.2.1",
        "ip -brief address",
    );
}

#[test]
fn a_name_that_leads_nowhere_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path())
        .env("KSNODE_TLS__MODE", "self-signed")
        .env("KSNODE_TLS__DOMAINS", "nowhere.invalid,localhost");
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "names",
        "nowhere.invalid leads nowhere",
        "in the zone of nowhere.invalid set",
    );
    finds(&found, "ok", "names", "localhost leads to this machine", "");
}

#[test]
fn a_replica_that_cannot_be_reached_is_found() {
    let home = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = closed.local_addr().unwrap();
    drop(closed);
    let url = format!("postgresql://node@{place}/replica?sslmode=disable");
    let setup = setup(home.path()).env("KSNODE_REPLICA__URL", &url);
    let at = place.port().to_string();
    finds(&examine(&setup), "wrong", "replica", &at, "config show");
    let node = setup.start();
    node.logs("the replica is away");
    finds(
        &examine(&setup),
        "wrong",
        "replica",
        "away",
        "replica status",
    );
}

#[test]
fn providers_that_cannot_be_reached_are_found() {
    let home = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", closed.local_addr().unwrap());
    drop(closed);
    let troubled = Receiver::start(|_| (503, "{}".to_owned()));
    let setup = with_providers(home.path(), &url)
        .env("KSNODE_IDENTITY__AUTH0__JWKS_URL", &troubled.url)
        .env("KSNODE_TELEMETRY__BASE_URL", &url)
        .env("KSNODE_TELEMETRY__PASSWORD", "p");
    let found = examine(&setup);
    for who in ["google", "x", "discord", "telemetry"] {
        let what = format!("{who}: http://127.0.0.1");
        finds(&found, "wrong", "providers", &what, "curl -sSI");
    }
    finds(
        &found,
        "warning",
        "providers",
        "auth0 answers with status 503",
        "curl",
    );
}

/// Answers each request with this moment.
fn at(moment: SystemTime) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let date = httpdate::fmt_http_date(moment);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = format!(
                "HTTP/1.1 200 X\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_clock_that_is_off_is_found() {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let found = examine(&with_providers(home.path(), &at(now)));
    finds(&found, "ok", "clock", "it agrees with that of google", "");
    let setup = with_providers(home.path(), &at(now)).env(
        "KSNODE_IDENTITY__X__USER_URL",
        &at(now - Duration::from_secs(3_600)),
    );
    let found = examine(&setup);
    finds(
        &found,
        "wrong",
        "clock",
        "s ahead of that of x",
        "timedatectl set-ntp true",
    );
    assert!(setup.start().stop().success());
    let file = std::fs::File::open(setup.data("node-id")).unwrap();
    file.set_modified(now + Duration::from_secs(3_600)).unwrap();
    let found = examine(&setup);
    finds(
        &found,
        "warning",
        "clock",
        "node-id is from the future",
        "timedatectl",
    );
}

#[test]
fn what_should_not_lie_there_any_more_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    age(&setup.data("initial-admin-password"), 5);
    std::fs::write(setup.data("secret.new"), "new").unwrap();
    std::fs::write(setup.data("x.partial"), "half").unwrap();
    age(&setup.data("x.partial"), 2);
    let found = examine(&setup);
    finds(
        &found,
        "warning",
        "leftovers",
        "lies in clear for 5 d",
        "use it once",
    );
    finds(
        &found,
        "warning",
        "leftovers",
        "was interrupted",
        "ksnode secret change",
    );
    finds(
        &found,
        "note",
        "leftovers",
        "x.partial was never finished",
        "sudo rm",
    );
}

#[test]
fn old_backups_are_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let made = backup(&setup);
    finds(&examine(&setup), "ok", "backups", "the newest", "");
    age(&made, 3);
    finds(
        &examine(&setup),
        "warning",
        "backups",
        "is 3 d old",
        "ksnode backup create",
    );
    let setup = setup.env("KSNODE_BACKUP__AT", "");
    finds(&examine(&setup), "ok", "backups", "the newest", "");
}

#[test]
fn a_node_that_hangs_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    node.signal(rustix::process::Signal::STOP);
    let found = examine(&setup);
    finds(&found, "wrong", "node", "it has said nothing for 5 s", "");
    node.signal(rustix::process::Signal::CONT);
    finds(&examine(&setup), "ok", "node", "runs", "");
}

#[test]
fn a_configuration_that_was_changed_since_the_start_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    std::fs::create_dir_all(setup.data("")).unwrap();
    std::fs::write(setup.data("ksnode.toml"), "[log]\nlevel = 'info'\n").unwrap();
    age(&setup.data("ksnode.toml"), 1);
    let node = setup.start();
    finds(&examine(&setup), "ok", "configuration", "is right", "");
    let file = std::fs::File::open(setup.data("ksnode.toml")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(2))
        .unwrap();
    let found = examine(&setup);
    finds(
        &found,
        "note",
        "node",
        "was changed after the node's start",
        "start it again",
    );
    drop(node);
}

#[test]
fn a_staged_configuration_is_checked_with_what_it_names() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    assert!(setup.start().stop().success());
    let check = |text: &str| {
        let file = home.path().join("new.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = ksnode(home.path());
        let output = command
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = check("[log]\nlevel = 'warn'\n");
    assert_eq!((code, text.lines().count()), (0, 1), "{text}");
    // Another secret beside the database that is there.
    std::fs::write(home.path().join("other"), "another one").unwrap();
    std::fs::set_permissions(home.path().join("other"), PermissionsExt::from_mode(0o600)).unwrap();
    let (code, text) = check("secret_file = './other'\n");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.starts_with("ok: ") && text.contains("WRONG    database"),
        "{text}"
    );
    // A folder that cannot be one.
    let (code, text) = check(&format!(
        "[backup]\ndir = '{}/other/b'\n",
        home.path().display()
    ));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("other is not a folder"), "{text}");
}
