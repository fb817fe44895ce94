//! An import that is killed again and again.

use super::contents::expected;
use super::fixture::{Generation, Suite};
use super::place::{Place, kill_import};

#[test]
fn a_killed_import_goes_on_where_it_was() {
    let suite = Suite::plain(Generation::Second, 60);
    let place = Place::new(&suite);
    for shares in [1, 30, 70] {
        kill_import(&place, &place.live(), shares);
    }
    let report = place.imported(&[]);
    assert!(report.complete);
    assert_eq!(place.contents(), expected(&suite));
    let [imported, updated, there, skipped] = report.counts("share");
    assert_eq!((imported + there, updated, skipped), (120, 0, 0));
    assert!(there >= 70, "{there}");
    // Only what was left to do was decrypted.
    let derivations = report.json["derivations"].as_u64().unwrap();
    assert_eq!(usize::try_from(derivations).unwrap(), imported + 2);
    assert!(place.setup.start().stop().success());
}
