//! A backup's file on its way to the browser.

use std::io::Read;

use super::*;
use crate::memory::resident;
use crate::operator::{backup, open};

#[test]
fn one_larger_than_the_memory_is_given_away_piece_by_piece() {
    const LARGE: u64 = 400 << 20;
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let file = backup(&setup);
    // Grown by a hole, which takes no room.
    let grown = std::fs::File::options().write(true).open(&file).unwrap();
    grown.set_len(LARGE).unwrap();
    let database = open(&setup);
    database
        .execute(
            "UPDATE backup SET bytes = ?1",
            [i64::try_from(LARGE).unwrap()],
        )
        .unwrap();
    let id = node.get("/pg_dump/v1").data()[0]["dump_id"].clone();
    let client = Client::logged_in(&node, PASSWORD);
    let before = resident(&node);
    let path = format!("/admin/backups/{}/download", id.as_str().unwrap());
    let (head, body) = client.open(&path).into_parts();
    assert_eq!(head.headers["content-length"], LARGE.to_string());
    let mut body = body.into_reader();
    let (mut piece, mut read, mut most) = (vec![0; 1 << 20], 0, 0);
    loop {
        let count = body.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        read += u64::try_from(count).unwrap();
        most = most.max(resident(&node));
    }
    assert_eq!(read, LARGE);
    let grew = most.saturating_sub(before);
    println!(
        "{} MiB were given away in {} KiB of memory",
        LARGE >> 20,
        grew >> 10
    );
    assert!(grew < LARGE / 4, "{grew} bytes");
}

#[test]
fn one_that_is_gone_or_not_what_it_was_is_told() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let client = Client::logged_in(&node, PASSWORD);
    let file = backup(&setup);
    let id = node.get("/pg_dump/v1").data()[0]["dump_id"].clone();
    let path = format!("/admin/backups/{}/download", id.as_str().unwrap());
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[1..]).unwrap();
    let damaged = client.get(&path);
    assert_eq!(damaged.status, 409);
    assert!(damaged.text.contains("another size"), "{damaged:?}");
    std::fs::remove_file(&file).unwrap();
    let gone = client.get(&path);
    assert_eq!(gone.status, 404);
    assert!(gone.text.contains("There is nothing here"), "{gone:?}");
    let entries = setup.run(&["audit", "list", "--action", "backup-download", "--json"]);
    let entries = String::from_utf8(entries.stdout).unwrap();
    assert_eq!(entries.matches("\"failed\"").count(), 2, "{entries}");
}
