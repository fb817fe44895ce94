//! What ends an import or export before it begins: each with a text that says what to do, and nothing written.

use super::fixture::{Generation, Suite};
use super::place::{Place, import_into, kill_import, private, refused};

#[test]
fn an_import_that_cannot_begin_says_why() {
    let suite = Suite::plain(Generation::Second, 1);
    let place = Place::new(&suite);
    let wrong = place.home.path().join("wrong");
    private(&wrong, b"another secret");
    let url = place.postgres.url();
    let with = |from: &str, secret: &str| {
        let from = ["--from", from, "--secret-file", secret].map(str::to_owned);
        import_into(&place.setup, &from, &[])
    };
    let wrong = wrong.display().to_string();
    refused(
        with(&url, &wrong),
        &["none of the suite's 2 server key pairs", "byte for byte"],
    );
    refused(with(&url, "/nonexistent"), &["cannot be read"]);
    let empty = place.another_database("empty");
    refused(
        with(&empty, &place.secret()),
        &["not the tables", "DB_NAME"],
    );
    refused(
        with(&url.replace("/replica?", "/nowhere?"), &place.secret()),
        &["nowhere"],
    );
    refused(
        with(&url.replace("disable", "prefer"), &place.secret()),
        &["fall back to clear text"],
    );
    place.psql(&url, "ALTER TABLE \"2_key_shares\" DROP COLUMN enc_share");
    refused(
        place.import(&["--without-keypairs"]),
        &["has no column enc_share"],
    );
}

#[test]
fn a_dump_that_cannot_be_read_says_why() {
    let place = Place::new(&Suite::plain(Generation::Second, 1));
    let dump = place.dump();
    let cut = place.home.path().join("cut.dump");
    let whole = std::fs::read(&dump).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    refused(
        import_into(&place.setup, &place.dumped(&cut), &[]),
        &["cut.dump", "pg_restore"],
    );
    std::fs::write(&cut, "no dump").unwrap();
    refused(
        import_into(&place.setup, &place.dumped(&cut), &[]),
        &["pg_dump -Fc"],
    );
    let absent = place.home.path().join("absent");
    refused(
        import_into(&place.setup, &place.dumped(&absent), &[]),
        &["absent", "exists"],
    );
    let bare = place.setup.clone().env("PATH", "/nonexistent");
    refused(
        import_into(&bare, &place.dumped(&dump), &[]),
        &["postgresql-client", "apt-get install"],
    );
}

#[test]
fn a_running_node_is_not_touched() {
    let place = Place::new(&Suite::plain(Generation::Second, 1));
    let node = place.setup.start();
    refused(place.import(&[]), &["the node runs; stop it first"]);
    assert!(node.stop().success());
}

#[test]
fn a_node_is_one_of_the_suites_alone() {
    let mut suite = Suite::plain(Generation::Second, 1);
    let place = Place::new(&suite);
    assert!(place.import(&[]).status.success());
    for keypair in &mut suite.keypairs {
        keypair.seed[0] ^= 1;
    }
    let other = place.another_database("other");
    place.psql(&other, &suite.sql());
    let from = ["--from", &other, "--secret-file", &place.secret()].map(str::to_owned);
    refused(
        import_into(&place.setup, &from, &[]),
        &["another node of the suite", "data_dir"],
    );
}

#[test]
fn an_import_that_was_cut_off_keeps_the_node_from_serving() {
    let place = Place::new(&Suite::plain(Generation::Second, 40));
    kill_import(&place, &place.live(), 1);
    let ended = place.setup.fail();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success());
    assert!(
        said.contains("import oko") && said.contains("--abandon"),
        "{said}"
    );
    assert!(
        place
            .setup
            .run(&["import", "oko", "--abandon"])
            .status
            .success()
    );
    assert!(place.setup.start().stop().success());
}
