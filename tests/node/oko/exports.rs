//! The way back: an export of an import is what came in.

use super::contents::{Contents, contents, expected};
use super::encryption::{Encryption, SECRET};
use super::fixture::{Generation, Suite};
use super::place::{Place, done, import_into, private, refused, tables};
use crate::support::{get_body, register_body, token};

fn export(place: &Place, more: &[&str]) -> std::process::Output {
    let secret = place.secret();
    let arguments = [&["export", "oko", "--secret-file", &secret], more].concat();
    place.setup.run(&arguments)
}

/// The suite without what cannot be taken over, for the comparison of whole tables.
fn sound(generation: Generation) -> Suite {
    let mut suite = Suite::odd(generation, 3);
    let expected = expected(&suite);
    suite
        .wallets
        .retain(|wallet| expected.wallets.contains_key(&wallet.id.to_string()));
    suite
        .shares
        .retain(|share| expected.shares.contains_key(&share.id.to_string()));
    suite
}

#[test]
fn an_export_of_an_import_is_what_came_in() {
    for generation in [Generation::Second, Generation::First] {
        let place = Place::new(&sound(generation));
        done(place.import(&[]));
        let encryption = Encryption::default();
        let source = tables(&place, &place.postgres.url(), generation, |text| {
            encryption.decrypt(text)
        });

        let file = place.home.path().join("export.sql");
        let said = done(export(&place, &["--to-file", file.to_str().unwrap()]));
        assert!(said.contains("keypairs 3"), "{said}");
        let from_file = place.another_database("from_file");
        place.psql_file(&from_file, &file);
        let decrypt = |text: &str| encryption.decrypt(text);
        assert_eq!(
            tables(&place, &from_file, Generation::Second, decrypt),
            source
        );

        let direct = place.another_database("direct");
        done(export(&place, &["--to", &direct]));
        assert_eq!(tables(&place, &direct, Generation::Second, decrypt), source);
        // The suite goes on with the next version.
        let next = "INSERT INTO \"2_server_keypairs\" (public_key, enc_private_key) VALUES ('', '') RETURNING version;";
        for url in [&from_file, &direct] {
            assert_eq!(place.psql(url, next).trim(), "6");
        }
        refused(
            export(&place, &["--to", &direct]),
            &["has rows", "another database"],
        );
        refused(
            export(&place, &["--to-file", file.to_str().unwrap()]),
            &["not overwritten"],
        );
    }
}

/// Registered here, reshared here, and a key of its own: it goes out as the suite would have it, and comes back.
#[test]
fn what_happened_here_goes_along() {
    let place = Place::new(&Suite::plain(Generation::Second, 2));
    done(place.import(&[]));
    let node = place.setup.start();
    node.post("/keyshare/v2/register", &token(9), &register_body(9))
        .data();
    node.post("/keyshare/v2/reshare", &token(1), &register_body(1))
        .data();
    assert!(node.stop().success());
    done(place.setup.run(&["key", "rotate", "node"]));
    let mut before = place.contents();

    let back = place.another_database("back");
    done(export(&place, &["--to", &back]));
    let (home, setup) = Place::second_home();
    private(&home.path().join("suite-secret"), SECRET);
    let from = ["--from", &back, "--secret-file", &place.secret()].map(str::to_owned);
    done(import_into(&setup, &from, &[]));
    let mut after = contents(home.path());
    // The suite notes a moment of reshare for shares that have none.
    let known = |contents: &mut Contents| {
        contents
            .keys
            .iter_mut()
            .for_each(|key| key.3 = key.3.map(|_| 0));
    };
    known(&mut before);
    known(&mut after);
    assert_eq!(after, before);
    let node = setup.start();
    node.post("/keyshare/v2", &token(9), &get_body(9)).data();
}
