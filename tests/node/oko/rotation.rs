//! A new share key seals what a take-over brought beside the shares, too.

use rusqlite::Connection;

use super::contents::expected;
use super::fixture::{Generation, Suite};
use super::place::Place;
use crate::support::{database, wait_for};

fn under_the_first_key(database: &Connection) -> i64 {
    let sql = "SELECT count(*) FROM imported WHERE key_version = 1";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_imported_is_resealed_and_a_damaged_row_does_not_stop_the_rest() {
    let suite = Suite::plain(Generation::Second, 60);
    let place = Place::new(&suite);
    assert!(place.imported(&[]).complete);
    let home = place.home.path();
    let rows = under_the_first_key(&database(home));
    assert!(rows > 256, "several steps: {rows}");
    let damaged = "SELECT sealed FROM imported WHERE id = 40";
    let sealed: Vec<u8> = database(home)
        .query_row(damaged, [], |row| row.get(0))
        .unwrap();
    let replace = |sealed: &[u8]| {
        let sql = "UPDATE imported SET sealed = ?1 WHERE id = 40";
        assert_eq!(database(home).execute(sql, [sealed]).unwrap(), 1);
    };
    replace(&vec![7; sealed.len()]);
    let rotated = place.setup.run(&["key", "rotate", "share"]);
    assert!(rotated.status.success(), "{rotated:?}");

    let node = place.setup.start();
    node.logs("all that was imported is sealed under the newest share key");
    node.logs("does not open and was not resealed");
    assert_eq!(under_the_first_key(&database(home)), 1);
    assert!(node.stop().success());
    replace(&sealed);
    let node = place.setup.start();
    wait_for("the last row", || {
        (under_the_first_key(&database(home)) == 0).then_some(())
    });
    // Which opens every row.
    let backup = place.setup.run(&["backup", "create"]);
    assert!(backup.status.success(), "{backup:?}");
    assert!(node.stop().success());
    assert_eq!(place.contents(), expected(&suite));
}
