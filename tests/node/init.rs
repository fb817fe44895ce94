//! `ksnode init` as the second of three steps to a served node.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::operator::{printed, said};
use crate::support::ksnode;

fn init(home: &Path, arguments: &[&str]) -> Output {
    ksnode(home).arg("init").args(arguments).output().unwrap()
}

fn file(home: &Path) -> PathBuf {
    home.join(".local/share/ksnode/ksnode.toml")
}

#[track_caller]
fn values(home: &Path) -> toml::Table {
    std::fs::read_to_string(file(home))
        .unwrap()
        .parse()
        .unwrap()
}

const NODE: [&str; 4] = ["--domain", "Node.invalid.", "--contact", "a@b.example"];

#[test]
fn a_name_and_a_mail_address_make_a_node_that_serves() {
    let home = tempfile::tempdir().unwrap();
    let text = printed(&init(home.path(), &NODE));
    for part in [
        "configuration: ",
        "  tls.mode = acme\n",
        "  tls.domains = node.invalid\n",
        "  server.listen = ",
        "admin password: ",
        "WRONG    names          node.invalid leads nowhere",
        "mend: in the zone of node.invalid set",
        "disk ",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    let next = format!(
        "next: ksnode serve --config {}\n",
        file(home.path()).display()
    );
    assert!(text.ends_with(&next), "{text}");
    let said = values(home.path());
    assert_eq!(said["tls"]["mode"].as_str(), Some("acme"));
    assert_eq!(said["tls"]["contact"].as_str(), Some("a@b.example"));
    let listen = said["server"]["listen"][0].as_str().unwrap();
    assert!(listen.ends_with(":443"), "{listen}");
    assert!(
        said["tls"]["redirect_listen"]
            .as_str()
            .unwrap()
            .ends_with(":80")
    );
    // It reads as the packaged sample does, and opens what init made.
    let text = std::fs::read_to_string(file(home.path())).unwrap();
    assert!(text.starts_with("# Configuration of ksnode.\n"));
    let check = ksnode(home.path())
        .args(["config", "check"])
        .output()
        .unwrap();
    assert_eq!(
        printed(&check),
        format!("ok: {}\n", file(home.path()).display())
    );
}

#[test]
fn the_same_again_changes_nothing_and_another_word_one_thing() {
    let home = tempfile::tempdir().unwrap();
    printed(&init(home.path(), &NODE));
    let path = file(home.path());
    let kept = path.with_file_name("ksnode.toml.old");
    // Somebody's own words.
    let own = std::fs::read_to_string(&path).unwrap() + "\n# mine\n";
    std::fs::write(&path, &own).unwrap();
    let again = printed(&init(home.path(), &NODE));
    assert!(
        !again.contains("->") && !again.contains("admin password"),
        "{again}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), own);
    assert!(!kept.exists());
    let other = ["--domain", "node.invalid", "--contact", "c@d.example"];
    let text = printed(&init(home.path(), &other));
    assert!(
        text.contains("  tls.contact: a@b.example -> c@d.example\n"),
        "{text}"
    );
    assert_eq!(text.matches("->").count(), 1, "{text}");
    assert!(
        text.contains(&format!("is kept: {}\n", kept.display())),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), own);
    let expected = own.replace("a@b.example", "c@d.example");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_file_that_is_not_understood_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = file(home.path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, code, why) in [
        (&b"[tls"[..], 78, "is not TOML"),
        (b"[tls]\nmod = 'off'\n", 78, "did you mean tls.mode?"),
        (b"# \xff\n", 1, "cannot be read and was left alone"),
        (b"tls = { mode = 'off' }\n", 1, "write it as a section"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = init(home.path(), &NODE);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(why), "{}", said(&output));
        assert_eq!(std::fs::read(&path).unwrap(), text);
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
    }
}

#[test]
fn other_ways_to_serve() {
    for (arguments, mode, listen) in [
        (
            &["--behind-proxy", "127.0.0.1"][..],
            "off",
            "127.0.0.1:4201",
        ),
        (&["--behind-proxy", "::1"], "off", "[::1]:4201"),
        (
            &["--self-signed", "--listen", "127.0.0.1:4433"],
            "self-signed",
            "127.0.0.1:4433",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        printed(&init(home.path(), arguments));
        let said = values(home.path());
        assert_eq!(said["tls"]["mode"].as_str(), Some(mode));
        assert_eq!(said["server"]["listen"][0].as_str(), Some(listen));
        let redirect = said["tls"].as_table().unwrap().get("redirect_listen");
        assert!(redirect.is_none());
        if mode == "off" {
            let proxies = said["server"]["trusted_proxies"].as_array().unwrap();
            assert_eq!(proxies[0].as_str().unwrap(), arguments[1]);
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["--contact", "a@b.example"][..],
        &["--domain", "https://node.invalid"],
        &["--domain", "192.0.2.1"],
        &["--domain", "node.invalid", "--behind-proxy", "::1"],
        &[
            "--self-signed",
            "--domain",
            "n.invalid",
            "--contact",
            "a@b.example",
        ],
        &["--behind-proxy", "proxy"],
        &["--instance", "a/b"],
        &["--instance", "b", "--config", "c"],
        &["--system", "--from-env", ".env"],
    ] {
        assert_eq!(
            init(home.path(), arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    let wrong = ["--domain", "node.invalid", "--contact", "nobody"];
    let output = init(home.path(), &wrong);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output).contains("is no mail address"),
        "{}",
        said(&output)
    );
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_running_nodes_configuration_can_be_changed() {
    let home = tempfile::tempdir().unwrap();
    let node = crate::support::Setup::new(home.path()).start();
    let text = printed(&init(home.path(), &["--behind-proxy", "127.0.0.1"]));
    assert!(
        text.ends_with("next: stop the node and start it again\n"),
        "{text}"
    );
    assert_eq!(node.get("/").text, "Ok");
}

/// Runs the lines where /etc and /var are empty, and nobody else's.
fn on_an_empty_machine(lines: &str) -> Option<String> {
    let empty =
        "mount -t tmpfs none /etc && mount -t tmpfs none /var && mkdir /var/lib /var/backups";
    let run = |lines: &str| {
        let mut command = Command::new("unshare");
        let ksnode = Path::new(env!("CARGO_BIN_EXE_ksnode")).parent().unwrap();
        command
            .args(["-m", "sh", "-ec", &format!("{empty}; {lines}")])
            .env_clear();
        command.env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", ksnode.display()),
        );
        command.env("HOME", "/nonexistent").output()
    };
    if !run("true").is_ok_and(|output| output.status.success()) {
        eprintln!("this machine gives no mount namespace");
        return None;
    }
    Some(printed(&run(lines).unwrap()))
}

#[test]
fn a_package_makes_the_service_and_is_quiet_the_second_time() {
    let lines = "ksnode init --system; echo again; ksnode init --system; echo checked; ksnode config check; \
                 cmp /etc/ksnode/ksnode.toml \"$0\" && ls -l /etc/ksnode/secret /var/lib/ksnode/admin-password-hash";
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/ksnode.toml");
    let Some(text) = on_an_empty_machine(&lines.replace("$0", sample)) else {
        return;
    };
    for made in [
        "/etc/ksnode/ksnode.toml",
        "/var/lib/ksnode/initial-admin-password",
        "/etc/ksnode/secret",
    ] {
        assert!(text.contains(made), "{made}: {text}");
    }
    let (first, rest) = text.split_once("again\n").unwrap();
    assert!(first.contains("admin password: "), "{first}");
    let (again, rest) = rest.split_once("checked\n").unwrap();
    assert_eq!(again, "");
    assert!(rest.starts_with("ok: /etc/ksnode/ksnode.toml\n"), "{rest}");
}

#[test]
fn what_the_nodes_user_may_not_read_is_found_by_root() {
    let lines = "ksnode init --system; mkdir -m 700 /var/backups/ksnode; chown -R 65534 /etc/ksnode /var/lib/ksnode /var/backups/ksnode; \
                 sed -i 's/^#bot_token_file/bot_token_file/' /etc/ksnode/ksnode.toml; umask 077; \
                 echo 1:token > /etc/ksnode/telegram-bot-token; ksnode config check || echo code $?; \
                 ksnode doctor | grep 'WRONG *configuration'; \
                 chown 65534 /etc/ksnode/telegram-bot-token; echo mended; ksnode config check";
    let Some(text) = on_an_empty_machine(lines) else {
        return;
    };
    let (found, mended) = text.split_once("mended\n").unwrap();
    let line = "telegram-bot-token cannot be read";
    assert_eq!(found.matches(line).count(), 2, "{found}");
    assert!(
        found.contains("code 1") && found.contains("sudo chown ksnode"),
        "{found}"
    );
    assert_eq!(mended, "ok: /etc/ksnode/ksnode.toml\n");
}

#[test]
fn a_second_node_has_places_and_ports_of_its_own() {
    let lines = "ksnode init --system; ksnode init --instance b --listen 127.0.0.1:4300; \
                 ksnode init --instance c; cp /etc/ksnode/c/ksnode.toml /etc/c; ksnode init --instance c; cmp /etc/c /etc/ksnode/c/ksnode.toml; \
                 ksnode init --instance d --self-signed --domain d.example.org --listen 192.0.2.7:443; \
                 for name in b c d; do ksnode config show --instance $name; done; \
                 ksnode status --instance b && exit 1; ksnode status --instance b || true";
    let Some(text) = on_an_empty_machine(lines) else {
        return;
    };
    let row = |key: &str, value: &str| {
        let mut rows = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let found = rows.any(|row| row.starts_with(&[key, value]));
        assert!(found, "{key} {value}: {text}");
    };
    for name in ["b", "c"] {
        row("data_dir", &format!("/var/lib/ksnode-{name}"));
        row("secret_file", &format!("/etc/ksnode/{name}/secret"));
        row("backup.dir", &format!("/var/backups/ksnode-{name}"));
    }
    row("server.listen", "127.0.0.1:4300");
    row("ops.listen", "127.0.0.1:4203");
    row("server.listen", "127.0.0.1:4204");
    row("ops.listen", "127.0.0.1:4205");
    row("tls.redirect_listen", "192.0.2.7:80");
    assert!(
        text.contains("not running: no node answers at /var/lib/ksnode-b/"),
        "{text}"
    );
}
