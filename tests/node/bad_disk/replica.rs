//! The notes of how far Postgres is: one that cannot be written is written later, and nothing is applied twice.

use super::BadDisk;
use crate::clients::assert_stored;
use crate::operator::register;
use crate::replica::{House, stands, verified, whole};
use crate::support::wait_for;

#[test]
fn a_position_that_cannot_be_noted_leaves_neither_gap_nor_duplicate() {
    let mut house = House::new();
    let disk = BadDisk::under(house.home.path());
    let setup = disk.carries(house.setup());
    let mut node = setup.start();
    register(&node, 1..=10);
    whole(&setup);
    for (round, error) in (1..).zip(["EIO", "ENOSPC"]) {
        house.postgres.stop();
        stands(&setup, "away");
        let first = round * 100;
        register(&node, first..=first + 10);
        disk.fails(("write", "ksnode.db-wal$", error));
        house.postgres.run();
        // It may have everything by now, and nobody here could note it.
        wait_for("Postgres to have it", || {
            let count: u64 = house.postgres.query(crate::replica::USERS).parse().unwrap();
            (count == 10 + 11 * round).then_some(())
        });
        wait_for("a write", || disk.has_failed().then_some(()));
        assert_stored(&node, first);
        disk.is_mended();
        assert_eq!(verified(&setup), 10 + 11 * round);
        node.kill();
        node = setup.start();
        assert_eq!(verified(&setup), 10 + 11 * round);
    }
}
