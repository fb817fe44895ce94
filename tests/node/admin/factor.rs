//! The second factor, and the password's change, at the page.

use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::{Builder, Secret};

use super::*;
use crate::support::{Node, Setup, wait_for};

/// A node whose password is the one that its first start made.
fn made(home: &std::path::Path) -> (Setup, Node, String) {
    let setup = Setup::new(home);
    let node = setup.start();
    let password = std::fs::read_to_string(setup.data("initial-admin-password")).unwrap();
    (setup, node, password.trim_end().to_owned())
}

/// The code of the app now.
pub fn code(secret: &str) -> String {
    let secret = Secret::try_from_base32(secret.replace(' ', "")).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    totp.generate(now.as_secs()).to_string()
}

/// What stands between the first tags of that name, each time.
fn between<'a>(page: &'a str, tag: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let found = page.split(&open).skip(1);
    found
        .map(|rest| rest.split(&close).next().unwrap())
        .collect()
}

/// Sets up the second factor; the app's secret, and the recovery codes.
pub fn enrol(client: &mut Client, password: &str) -> (String, Vec<String>) {
    let page = client.post(
        "/admin/account/second-factor/begin",
        &[("password", password)],
    );
    assert!(page.status == 200 && page.text.contains("<svg"), "{page:?}");
    let secret = between(&page.text, "code")[0].to_owned();
    let wrong = client.post("/admin/account/second-factor/confirm", &[("code", "12")]);
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let codes = client.post(
        "/admin/account/second-factor/confirm",
        &[("code", &code(&secret))],
    );
    assert_eq!(codes.status, 200, "{codes:?}");
    let listed = codes.text.split_once("<ol class=\"codes").unwrap().1;
    let codes = between(listed, "li").into_iter().map(str::to_owned);
    (secret, codes.collect())
}

#[test]
fn a_login_asks_for_a_code_that_is_good_once() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node, password) = made(home.path());
    let mut client = Client::logged_in(&node, &password);
    let other = Client::logged_in(&node, &password);
    let begin = "/admin/account/second-factor/begin";
    let refused = client.post(begin, &[("password", "wrong")]);
    assert_eq!(refused.header("location"), "/admin/account");
    let (secret, codes) = enrol(&mut client, &password);
    assert_eq!(codes.len(), 10);
    assert!(client.is_in() && !other.is_in());
    let page = Client::new(&node).get("/admin/login").text;
    assert!(page.contains("one-time-code"), "{page}");

    // Whatever is wrong is told in the same words.
    let refused = |password: &str, code: &str| {
        let answer = Client::new(&node).login(password, code);
        assert_eq!(answer.status, 403);
        answer.text
    };
    let told = refused("wrong", "");
    assert_eq!(refused(&password, ""), told);
    assert_eq!(refused(&password, "000000"), told);
    assert_eq!(refused("wrong", &codes[0]), told);
    let login = |password: &str, code: &str| Client::new(&node).login(password, code).status;
    assert_eq!(
        login(&password, &codes[0].to_uppercase().replace('-', " ")),
        303
    );
    assert_eq!(login(&password, &codes[0]), 403);
    // The code that set it up is used up; the next one comes within half a minute.
    let used = code(&secret);
    wait_for("the app's next code", || {
        let next = code(&secret);
        (next != used).then_some(())
    });
    let next = code(&secret);
    assert_eq!(login(&password, &next), 303);
    assert_eq!(login(&password, &next), 403);

    // It outlasts a restart, and the file tells nothing.
    let kept = std::fs::read_to_string(setup.data("admin-second-factor")).unwrap();
    assert!(!kept.contains("secret") && !kept.contains(&secret.replace(' ', "")));
    node.stop();
    let node = setup.start();
    let login = |code: &str| Client::new(&node).login(&password, code).status;
    assert_eq!(
        (login(""), login(&codes[0]), login(&codes[1])),
        (403, 403, 303)
    );
    let body = serde_json::json!({"password": password});
    node.post_open("/pg_dump/v1/backup", &body).data();
    let logged = node.logged();
    assert!(codes.iter().all(|code| !logged.contains(code.as_str())) && !logged.contains(&secret));

    let reset = setup.run(&["admin", "reset-totp"]);
    assert!(reset.status.success(), "{reset:?}");
    assert_eq!(Client::new(&node).login(&password, "").status, 303);
    assert!(!setup.data("admin-second-factor").exists());
}

#[test]
fn a_new_password_ends_the_other_sessions() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node, password) = made(home.path());
    let mut client = Client::logged_in(&node, &password);
    let other = Client::logged_in(&node, &password);
    // Its first use has taken it from where it lay.
    assert!(!setup.data("initial-admin-password").exists());
    let path = "/admin/account/password";
    let new = "another horse battery";
    for (given, one, two, said) in [
        ("wrong", new, new, "The password is wrong"),
        (password.as_str(), new, "other", "twice"),
        (password.as_str(), "short", "short", "too short"),
    ] {
        let fields = [("password", given), ("new", one), ("again", two)];
        assert_eq!(
            client.post(path, &fields).header("location"),
            "/admin/account"
        );
        let page = client.get("/admin/account").text;
        assert!(page.contains(said), "{page}");
        assert!(other.is_in());
    }
    let before = client.cookie.clone();
    let fields = [
        ("password", password.as_str()),
        ("new", new),
        ("again", new),
    ];
    assert_eq!(client.post(path, &fields).status, 303);
    assert!(client.cookie != before && client.is_in() && !other.is_in());
    let login = |password: &str| Client::new(&node).login(password, "").status;
    assert_eq!((login(&password), login(new)), (403, 303));
    node.stop();
    let node = setup.start();
    assert_eq!(Client::new(&node).login(new, "").status, 303);
}

/// Each flush of the data folder takes seconds, one of them after the new hash has its name: then the browser goes away.
#[test]
fn a_new_password_is_in_force_when_its_browser_goes_away() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node, password) = made(home.path());
    assert!(node.stop().success());
    let folder = setup.data("");
    let slow = format!(
        "-o /dev/null -e trace=fsync -e inject=fsync:delay_exit=2000000 -P {}",
        folder.display()
    );
    let node = setup.start_traced(&slow);
    let client = Client::logged_in(&node, &password);
    let other = Client::logged_in(&node, &password);
    let hash = || std::fs::read(setup.data("admin-password-hash")).unwrap();
    let (before, new) = (hash(), "another horse battery");
    let fields = [
        ("password", password.as_str()),
        ("new", new),
        ("again", new),
    ];
    let browser = client.begin("/admin/account/password", &fields);
    wait_for("the new hash", || (hash() != before).then_some(()));
    drop(browser);
    wait_for("the end of the other sessions", || {
        (!other.is_in()).then_some(())
    });
    assert!(!client.is_in());
    let login = |password: &str| Client::new(&node).login(password, "").status;
    assert_eq!((login(&password), login(new)), (403, 303));
    wait_for("the entry", || {
        let done = crate::audit::actions(&setup);
        done.contains(&"password-set done".to_owned()).then_some(())
    });
}

#[test]
fn a_configured_password_is_changed_in_the_configuration_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut client = Client::logged_in(&node, PASSWORD);
    let new = "another horse battery";
    let fields = [("password", PASSWORD), ("new", new), ("again", new)];
    client.post("/admin/account/password", &fields);
    let page = client.get("/admin/account").text;
    assert!(page.contains("admin.password_file"), "{page}");
    assert_eq!(Client::new(&node).login(PASSWORD, "").status, 303);
}
