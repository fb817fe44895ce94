use proptest::prelude::*;
use rusqlite::Connection;
use uuid::Uuid;

use super::verify::Finding;
use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::crypto::{EncryptionSecret, KeyRing};
use crate::store::{Keychain, NODE_TABLES, OpenKeys};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn database() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database.execute_batch(AUDIT_TABLES).unwrap();
    database
}

fn chain() -> Chain {
    Chain::new(&KeyRing::generate([7; 16]).unwrap())
}

fn entry(action: Action, detail: &str) -> Entry {
    Entry::done(&Actor::Command { user: 1000 }, action, detail)
}

/// A log of so many entries, the first that of the node's making.
fn filled(chain: &Chain, entries: i64) -> Connection {
    let database = database();
    extend(chain, &database, 1..=entries);
    database
}

fn extend(chain: &Chain, database: &Connection, numbers: std::ops::RangeInclusive<i64>) {
    for number in numbers {
        let action = if number == 1 {
            Action::NodeCreate
        } else {
            Action::BackupCreate
        };
        let link = chain.append(
            database,
            at(number),
            &entry(action, &format!("/b/{number}")),
        );
        assert_eq!(link.unwrap().seq, number);
    }
}

fn findings(chain: &Chain, database: &Connection) -> Vec<Finding> {
    chain.verify(database, None).unwrap().findings
}

#[test]
fn a_log_that_nobody_touched_is_whole() {
    let chain = chain();
    let database = filled(&chain, 5);
    let verified = chain.verify(&database, None).unwrap();
    assert!(verified.is_whole(), "{:?}", verified.findings);
    assert_eq!(verified.entries, 5);
    assert_eq!(verified.oldest, Some((1, at(1))));
    assert_eq!(verified.newest, Some((5, at(5))));
    let query = Query {
        before: Some(5),
        limit: 2,
        ..Query::default()
    };
    let written = query.run(&database).unwrap();
    let seen: Vec<(i64, &str)> = written
        .iter()
        .map(|entry| (entry.seq, entry.detail.as_str()))
        .collect();
    assert_eq!(seen, [(4, "/b/4"), (3, "/b/3")]);
    assert_eq!(written[0].actor, "a command of user 1000");
}

#[test]
fn what_is_looked_for_is_found() {
    let chain = chain();
    let database = filled(&chain, 4);
    let failed = Entry::failed(&Actor::Node, Action::CertificateObtain, "no answer");
    chain.append(&database, at(9), &failed).unwrap();
    let found = |query: Query| -> Vec<i64> {
        let written = query.run(&database).unwrap();
        written.iter().map(|entry| entry.seq).collect()
    };
    let all = Query::default;
    assert_eq!(found(all()), [5, 4, 3, 2, 1]);
    let action = Some("certificate-obtain".to_owned());
    assert_eq!(found(Query { action, ..all() }), [5]);
    let actor = Some("user 1000".to_owned());
    assert_eq!(found(Query { actor, ..all() }), [4, 3, 2, 1]);
    let since = Some(at(4));
    assert_eq!(found(Query { since, ..all() }), [5, 4]);
}

#[test]
fn another_nodes_key_verifies_nothing() {
    let database = filled(&chain(), 3);
    assert_eq!(findings(&chain(), &database)[0], Finding::ForgedHead);
}

/// What somebody with the database and without the secret can do to it.
#[derive(Clone, Debug)]
enum Tampering {
    Remove(i64),
    Change(i64, &'static str),
    Swap(i64, i64),
    Insert(i64),
    Truncate(i64),
    RemoveAll,
    RemoveHead,
    MoveHeadBack(i64),
    MoveAnchor(i64),
    Renumber(i64),
}

const ROWS: i64 = 8;

fn tampering() -> impl Strategy<Value = Tampering> {
    let row = 1..=ROWS;
    let change = proptest::sample::select(vec![
        "at = at + 1",
        "actor = 'node'",
        "actor_detail = '0'",
        "action = 'start'",
        "outcome = 'failed'",
        "detail = detail || '.'",
        "key_version = 2",
        "mac = randomblob(32)",
        // The boundary between two fields, moved.
        "actor = actor || substr(actor_detail, 1, 1), actor_detail = substr(actor_detail, 2)",
    ]);
    prop_oneof![
        row.clone().prop_map(Tampering::Remove),
        (row.clone(), change).prop_map(|(row, change)| Tampering::Change(row, change)),
        (row.clone(), row.clone())
            .prop_filter("two", |(one, two)| one != two)
            .prop_map(|(one, two)| Tampering::Swap(one, two)),
        row.clone().prop_map(Tampering::Insert),
        row.clone().prop_map(Tampering::Truncate),
        Just(Tampering::RemoveAll),
        Just(Tampering::RemoveHead),
        (1..ROWS).prop_map(Tampering::MoveHeadBack),
        row.clone().prop_map(Tampering::MoveAnchor),
        row.prop_map(Tampering::Renumber),
    ]
}

impl Tampering {
    fn sql(&self) -> String {
        const COLUMNS: &str = "at, actor, actor_detail, action, outcome, detail, key_version, mac";
        match self {
            Self::Remove(row) => format!("DELETE FROM audit WHERE seq = {row}"),
            Self::Change(row, change) => format!("UPDATE audit SET {change} WHERE seq = {row}"),
            Self::Swap(one, two) => format!(
                "UPDATE audit SET seq = 100 WHERE seq = {one}; UPDATE audit SET seq = {one} WHERE seq = {two};
                 UPDATE audit SET seq = {two} WHERE seq = 100"
            ),
            // A copy of a row at the end: its own MAC is right, and its place is not.
            Self::Insert(row) => format!(
                "INSERT INTO audit (seq, {COLUMNS}) SELECT {ROWS} + 1, {COLUMNS} FROM audit WHERE seq = {row}"
            ),
            Self::Truncate(row) => format!("DELETE FROM audit WHERE seq >= {row}"),
            Self::RemoveAll => "DELETE FROM audit; DELETE FROM audit_head".to_owned(),
            Self::RemoveHead => "DELETE FROM audit_head".to_owned(),
            Self::MoveHeadBack(row) => format!(
                "DELETE FROM audit WHERE seq > {row};
                 UPDATE audit_head SET last_seq = {row}, last_mac = (SELECT mac FROM audit WHERE seq = {row})"
            ),
            Self::MoveAnchor(row) => format!(
                "UPDATE audit_head SET anchor_seq = {row}, anchor_mac = (SELECT mac FROM audit WHERE seq = {row});
                 DELETE FROM audit WHERE seq <= {row}"
            ),
            Self::Renumber(row) => format!("UPDATE audit SET seq = seq + 1000 WHERE seq >= {row}"),
        }
    }
}

proptest! {
    /// Found at once, and also when the node has written on.
    #[test]
    fn whatever_is_done_to_it_is_found(tampering in tampering(), written_on in 0..4_i64) {
        let chain = chain();
        let database = filled(&chain, ROWS);
        database.execute_batch(&tampering.sql()).unwrap();
        prop_assert!(!findings(&chain, &database).is_empty());
        for _ in 0..written_on {
            chain.append(&database, at(50), &entry(Action::Stop, "")).unwrap();
        }
        prop_assert!(!findings(&chain, &database).is_empty(), "after {written_on} more");
    }

    #[test]
    fn rows_verify_whatever_is_in_them(
        details in proptest::collection::vec(any::<String>(), 1..10),
        forget in 0..10_usize,
    ) {
        let chain = chain();
        let database = database();
        chain.append(&database, at(0), &entry(Action::NodeCreate, "")).unwrap();
        for detail in &details {
            chain.append(&database, at(1), &entry(Action::Import, detail)).unwrap();
        }
        let until = i64::try_from(forget.min(details.len())).unwrap();
        if until > 0 {
            chain.forget(&database, at(2), until).unwrap();
        }
        let verified = chain.verify(&database, None).unwrap();
        prop_assert!(verified.is_whole(), "{:?}", verified.findings);
        prop_assert_eq!(verified.forgotten_until, until);
    }
}

#[test]
fn a_log_that_was_taken_away_begins_anew_and_says_so() {
    let chain = chain();
    let database = filled(&chain, 3);
    let emptied = Tampering::RemoveAll.sql();
    database.execute_batch(&emptied).unwrap();
    assert_eq!(findings(&chain, &database), [Finding::NoHead]);
    let link = chain.append(&database, at(9), &entry(Action::Start, ""));
    assert_eq!(link.unwrap().seq, 2);
    assert_eq!(findings(&chain, &database), [Finding::Restarted(1)]);
    let written = Query::default().run(&database).unwrap();
    assert_eq!(written[1].action, "audit-restart");
    assert!(written[1].detail.contains("head was missing"));
}

/// Retention takes the beginning away; what was removed by hand is found all the same.
#[test]
fn what_is_left_after_forgetting_is_verified() {
    let chain = chain();
    let database = filled(&chain, 10);
    chain.forget(&database, at(11), 4).unwrap();
    assert_eq!(findings(&chain, &database), []);
    database
        .execute("DELETE FROM audit WHERE seq = 5", [])
        .unwrap();
    assert_eq!(findings(&chain, &database), [Finding::Missing(5, 5)]);
}

/// A node with keys, and its log.
fn node() -> (Connection, OpenKeys, Chain) {
    let database = database();
    database.execute_batch(NODE_TABLES).unwrap();
    let secret = EncryptionSecret::new(b"a secret".to_vec());
    let keys = Keychain(&database).create(&secret, at(0)).unwrap();
    let chain = Chain::new(&keys.ring);
    extend(&chain, &database, 1..=6);
    (database, keys, chain)
}

fn compared(chain: &Chain, database: &Connection, signed: &SignedHead) -> Vec<Finding> {
    chain.verify(database, Some(signed)).unwrap().findings
}

#[test]
fn a_signed_head_is_in_the_log_also_after_the_nodes_key_was_rotated() {
    let (database, keys, chain) = node();
    let now = ManualClock::shared().now();
    let signed = chain
        .sign(&database, keys.node_id, &keys.node_key, now)
        .unwrap();
    assert!(signed.is_authentic());
    let secret = EncryptionSecret::new(b"a secret".to_vec());
    let keychain = Keychain(&database);
    let unlocked = keychain.lock().unwrap().unlock(&secret).unwrap();
    keychain.rotate_node_key(&unlocked, now).unwrap();
    extend(&chain, &database, 7..=9);
    assert_eq!(compared(&chain, &database, &signed), []);
    // At the anchor, and before it.
    chain.forget(&database, at(9), 6).unwrap();
    assert_eq!(compared(&chain, &database, &signed), []);
    chain.forget(&database, at(9), 7).unwrap();
    assert_eq!(
        compared(&chain, &database, &signed),
        [Finding::Forgotten(6)]
    );
}

#[test]
fn a_false_signed_head_is_told() {
    let (database, keys, chain) = node();
    let sign =
        |node, key: &crate::crypto::NodeKey| chain.sign(&database, node, key, at(7)).unwrap();
    let signed = sign(keys.node_id, &keys.node_key);
    let other = sign(Uuid::nil(), &keys.node_key);
    assert_eq!(compared(&chain, &database, &other), [Finding::OtherNode]);
    let stranger = crate::crypto::NodeKey::generate().unwrap();
    let forged = sign(keys.node_id, &stranger);
    assert_eq!(
        compared(&chain, &database, &forged),
        [Finding::BadSignature]
    );
    let mut changed = signed.clone();
    changed.link.seq = 5;
    assert_eq!(
        compared(&chain, &database, &changed),
        [Finding::BadSignature]
    );

    database
        .execute_batch(&Tampering::MoveHeadBack(5).sql())
        .unwrap();
    let found = compared(&chain, &database, &signed);
    assert!(found.contains(&Finding::NotInLog(6)), "{found:?}");
}

#[test]
fn a_restore_keeps_todays_log() {
    let chain = chain();
    let (today, backup) = (filled(&chain, 6), filled(&chain, 3));
    assert_eq!(carry(&today, &backup).unwrap(), Carried::Todays);
    extend(&chain, &backup, 7..=7);
    assert_eq!(findings(&chain, &backup), []);
    // What was wrong before is wrong after.
    let (today, backup) = (filled(&chain, 6), filled(&chain, 3));
    today
        .execute("DELETE FROM audit WHERE seq = 2", [])
        .unwrap();
    assert_eq!(carry(&today, &backup).unwrap(), Carried::Todays);
    assert_eq!(findings(&chain, &backup), [Finding::Missing(2, 2)]);
}

#[test]
fn a_restore_keeps_the_backups_log_where_todays_is_no_more() {
    let chain = chain();
    for (today, carried) in [
        (filled(&chain, 3), Carried::OwnIsLonger),
        (database(), Carried::Own),
        (Connection::open_in_memory().unwrap(), Carried::Own),
    ] {
        let backup = filled(&chain, 5);
        assert_eq!(carry(&today, &backup).unwrap(), carried);
        extend(&chain, &backup, 6..=6);
        assert_eq!(findings(&chain, &backup), []);
    }
    let neither = database();
    assert_eq!(carry(&database(), &neither).unwrap(), Carried::New);
    extend(&chain, &neither, 1..=1);
    assert_eq!(findings(&chain, &neither), []);
}

#[test]
fn an_entry_that_fails_takes_nothing_with_it() {
    let chain = chain();
    let database = filled(&chain, 1);
    database
        .execute_batch(
            "CREATE TABLE effect (id INTEGER);
             CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END;",
        )
        .unwrap();
    database
        .execute_batch("BEGIN; INSERT INTO effect VALUES (1);")
        .unwrap();
    assert!(
        chain
            .append(&database, at(2), &entry(Action::Start, ""))
            .is_err()
    );
    database.execute_batch("COMMIT").unwrap();
    let effects: i64 = database
        .query_row("SELECT count(*) FROM effect", [], |row| row.get(0))
        .unwrap();
    assert_eq!(effects, 1);
    assert_eq!(findings(&chain, &database), []);
}

/// What makes a database, or brings one here, may be the first that is known of it; nothing else may.
#[test]
fn a_log_begins_with_what_makes_a_database() {
    let chain = chain();
    for action in Action::ALL {
        let database = database();
        chain.append(&database, at(1), &entry(*action, "")).unwrap();
        let begins = matches!(
            action,
            Action::NodeCreate | Action::Migrate | Action::Restore
        );
        let found = findings(&chain, &database);
        assert_eq!(found.is_empty(), begins, "{action:?}: {found:?}");
    }
}
