//! An import of the size of a real node, killed in the middle, against what the machine could do at most.

use super::contents::expected;
use super::fixture::{Generation, Suite};
use super::limit::limit;
use super::place::{Place, Report, import_into, kill_import};
use crate::support::{get_body, share, token};

const USERS: u64 = 5_000;

#[test]
fn ten_thousand_shares_come_whole_through_a_kill() {
    let suite = Suite::plain(Generation::Second, USERS);
    let place = Place::new(&suite);
    let from = place.dumped(&place.dump());
    kill_import(&place, &from, 2_000);

    let before = limit();
    let report = Report::of(import_into(&place.setup, &from, &["--json"]));
    let limit = f64::midpoint(before, limit());
    let [imported, _, there, skipped] = report.counts("share");
    assert_eq!((imported + there, skipped), (suite.shares.len(), 0));
    assert!(imported > 0 && there >= 2_000, "{imported} {there}");
    assert!(place.contents() == expected(&suite), "what is here differs");
    let seconds = report.json["milliseconds"].as_f64().unwrap() / 1e3;
    let rate = report.json["derivations"].as_f64().unwrap() / seconds;
    println!(
        "import: {rate:.0} shares/s of {limit:.0} key derivations/s that the machine does ({:.0} %)",
        rate / limit * 100.0
    );

    let node = place.setup.start();
    for user in [1, USERS / 2, USERS] {
        let data = node
            .post("/keyshare/v2", &token(user), &get_body(user))
            .data();
        assert_eq!(data["ed25519"]["share"], share("ed25519", user));
    }
    assert!(node.stop().success());
}
