//! `ack = "replica"`: what is acknowledged survives the loss of the machine.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::proxy::Proxy;
use super::{House, USERS, register, register_all, stands, text, verified, whole};
use crate::campaign::campaign;
use crate::clients::assert_stored;
use crate::operator::{backup, listed, name, printed};
use crate::support::{Setup, agent, register_body, token, wait_for};

fn waiting(setup: Setup, on_outage: &str) -> Setup {
    setup
        .env("KSNODE_REPLICA__ACK", "replica")
        .env("KSNODE_REPLICA__ON_OUTAGE", on_outage)
        .env("KSNODE_REPLICA__ACK_TIMEOUT_SECONDS", "2")
}

/// The number of rounds is `KSNODE_KILL_ROUNDS`.
#[test]
fn a_machine_lost_at_any_moment_loses_no_acknowledged_register() {
    let (rounds, mut dice) = campaign(4);
    let house = House::new();
    let setup = waiting(house.setup(), "refuse");
    let secret = house.home.path().join("secret");
    std::fs::write(&secret, "the secret of this node, kept elsewhere").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let setup = setup.env("KSNODE_SECRET_FILE", secret.to_str().unwrap());
    let mut node = setup.start();
    whole(&setup);
    let acknowledged = Mutex::new(BTreeSet::new());
    for round in 0..rounds {
        let (url, moment) = (
            node.url.clone(),
            Duration::from_millis(100 + dice.throw(500)),
        );
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (url, acknowledged) = (&url, &acknowledged);
                scope.spawn(move || {
                    let first = round * 1_000_000 + client * 100_000 + 1;
                    for user in first.. {
                        let sent = agent()
                            .post(format!("{url}/keyshare/v2/register"))
                            .header("authorization", format!("Bearer {}", token(user)))
                            .send_json(register_body(user));
                        match sent {
                            Ok(answer) if answer.status() == 200 => {
                                acknowledged.lock().unwrap().insert(user);
                            }
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                });
            }
            std::thread::sleep(moment);
            node.kill();
        });
        // The machine is gone; the secret is kept elsewhere.
        std::fs::remove_dir_all(setup.data("")).unwrap();
        let output = setup.run(&["restore", "--from-replica", "--yes"]);
        assert!(output.status.success(), "{}", text(&output));
        node = setup.start();
        for user in acknowledged.lock().unwrap().iter() {
            assert_stored(&node, *user);
        }
        whole(&setup);
        verified(&setup);
    }
    let count = acknowledged.lock().unwrap().len();
    println!("{count} acknowledged users in {rounds} rounds");
    assert!(count > 0);
}

#[test]
fn an_outage_is_degraded_or_refused_as_configured() {
    for on_outage in ["degrade", "refuse"] {
        let mut house = House::new();
        let setup = waiting(house.setup(), on_outage);
        let node = setup.start();
        whole(&setup);
        register_all(&node, 1..5);
        assert_eq!(
            house.postgres.query(USERS),
            "4",
            "what is acknowledged is there"
        );
        house.postgres.stop();
        stands(&setup, "away");
        let begun = Instant::now();
        let answer = register(&node, 5);
        assert!(begun.elapsed() < Duration::from_secs(1), "known to be away");
        if on_outage == "degrade" {
            answer.data();
            assert_stored(&node, 5);
        } else {
            let message = answer.refused(503, "UNKNOWN_ERROR").to_owned();
            assert!(message.contains("try again"), "{message}");
        }
        // Reads need no replica.
        assert_stored(&node, 1);
        house.postgres.run();
        wait_for("writes again", || {
            (register(&node, 6).status == 200).then_some(())
        });
        let expected = if on_outage == "degrade" { 6 } else { 5 };
        assert_eq!(verified(&setup), expected);
    }
}

/// What is noted of them is this machine's alone.
#[test]
fn backups_need_no_replica() {
    let mut house = House::new();
    let setup = waiting(house.setup(), "refuse");
    let node = setup.start();
    whole(&setup);
    register_all(&node, 1..3);
    house.postgres.stop();
    stands(&setup, "away");
    register(&node, 3).refused(503, "UNKNOWN_ERROR");
    let [first, second] = [(); 2].map(|()| backup(&setup));
    printed(&setup.run(&["backup", "verify", name(&first)]));
    printed(&setup.run(&["backup", "delete", name(&first)]));
    printed(&setup.run(&["backup", "prune"]));
    assert!(!first.exists() && second.is_file());
    let listed = listed(&setup);
    for (path, status) in [(first, "DELETED"), (second, "COMPLETED")] {
        let path = path.to_str().unwrap();
        let entry = listed.iter().find(|entry| entry["path"] == path);
        assert_eq!(entry.unwrap()["status"], status, "{path}");
    }
}

/// A server that takes everything and says nothing is the hardest to tell from one that is slow.
#[test]
fn a_replica_that_hangs_is_not_waited_for_for_ever() {
    let house = House::new();
    let proxy = Proxy::start(house.postgres.port());
    let setup = waiting(house.setup_through(proxy.port()), "degrade");
    let node = setup.start();
    whole(&setup);
    register_all(&node, 1..3);
    proxy.delay(Duration::from_secs(20));
    let begun = Instant::now();
    register(&node, 3).data();
    let first = begun.elapsed();
    assert!(
        first >= Duration::from_secs(2) && first < Duration::from_secs(8),
        "{first:?}"
    );
    let begun = Instant::now();
    register(&node, 4).data();
    assert!(begun.elapsed() < Duration::from_secs(1));
    node.logs("answered before the replica had them");
    proxy.delay(Duration::ZERO);
    proxy.close(false);
    assert_eq!(verified(&setup), 4);
}
