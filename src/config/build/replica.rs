//! `[replica]`.

use super::super::error::Wrong;
use super::super::resolve::{Resolved, Resolver};
use super::super::{OnOutage, Replica, ReplicaAck, ReplicaAddress, check};
use super::{number, or_empty, seconds};

/// The keys that go with `host` and make no sense beside `url`.
const PARTS: &[&str] = &[
    "replica.port",
    "replica.user",
    "replica.database",
    "replica.sslmode",
];

/// The keys that say something of a replica wherever it is.
const OTHERS: &[&str] = &[
    "replica.password",
    "replica.password_file",
    "replica.root_certificate",
    "replica.ack",
    "replica.on_outage",
    "replica.ack_timeout_seconds",
    "replica.max_log_rows",
];

/// Reads the section; it is there when `url` or `host` is.
pub(super) fn replica(r: &mut Resolver<'_>) -> Resolved<Option<Replica>> {
    const ACKS: [(&str, ReplicaAck); 2] = [
        ("local", ReplicaAck::Local),
        ("replica", ReplicaAck::Replica),
    ];
    const OUTAGES: [(&str, OnOutage); 2] =
        [("degrade", OnOutage::Degrade), ("refuse", OnOutage::Refuse)];
    let url = r.secret("replica.url", "replica.url_file");
    let parts = parts(r);
    let password = r.secret("replica.password", "replica.password_file");
    let root_certificate = r.existing_file("replica.root_certificate");
    let ack = r.required("replica.ack", |text| check::choice(text, &ACKS));
    let on_outage = r.required("replica.on_outage", |text| check::choice(text, &OUTAGES));
    let ack_timeout = seconds(r, "replica.ack_timeout_seconds");
    let max_log_rows = number(r, "replica.max_log_rows");
    let address = match (url?, parts?) {
        (None, None) => return nowhere(r, matches!(ack, Ok(ReplicaAck::Replica))),
        (Some(url), None) => {
            notice_unused(r, PARTS, "replica.url says where the Postgres is");
            ReplicaAddress::Url(url)
        }
        (None, Some(parts)) => parts,
        (Some(_), Some(_)) => {
            let wrong = Wrong::new("is set beside replica.url", "keep one of the two");
            return Err(r.problem("replica.host", r.source("replica.host"), wrong));
        }
    };
    Ok(Some(Replica {
        address,
        password: password?,
        root_certificate: root_certificate?.map(|place| place.path),
        ack: ack?,
        on_outage: on_outage?,
        ack_timeout: ack_timeout?,
        max_log_rows: max_log_rows?,
    }))
}

fn parts(r: &mut Resolver<'_>) -> Resolved<Option<ReplicaAddress>> {
    let host = r.optional("replica.host", or_empty(check::filled));
    let port = r.settings.entries.contains_key("replica.port");
    let port = port.then(|| number(r, "replica.port")).transpose();
    let user = r.optional("replica.user", check::filled);
    let database = r.optional("replica.database", check::filled);
    let sslmode = r.optional("replica.sslmode", check::filled);
    let Some(host) = host?.flatten() else {
        return Ok(None);
    };
    let Some(user) = user? else {
        let wrong = Wrong::new("is set without replica.user", "set replica.user too");
        return Err(r.problem("replica.host", r.source("replica.host"), wrong));
    };
    Ok(Some(ReplicaAddress::Parts {
        host,
        port: port?,
        user,
        database: database?,
        sslmode: sslmode?,
    }))
}

/// There is none. Whoever has clients told that their shares are there too is not to find out later that they never were;
/// other keys are told in a notice: a replica is to be left out without taking them out.
fn nowhere(r: &mut Resolver<'_>, waits: bool) -> Resolved<Option<Replica>> {
    if waits {
        let wrong = Wrong::new(
            "is \"replica\", and neither replica.url nor replica.host names a Postgres",
            "set replica.url (or url_file, or host and user), or remove ack",
        );
        return Err(r.problem("replica.ack", r.source("replica.ack"), wrong));
    }
    let why = "neither replica.url nor replica.host names a Postgres";
    notice_unused(r, PARTS, why);
    notice_unused(r, OTHERS, why);
    Ok(None)
}

fn notice_unused(r: &mut Resolver<'_>, keys: &[&str], why: &str) {
    for key in keys {
        if r.is_set(key) {
            let notice = format!("{key} ({}) is not used: {why}", r.source(key));
            r.settings.notices.push(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::Machine;

    /// What is told of this `[replica]`, which is none, without the sources.
    fn told(machine: &Machine) -> Vec<String> {
        let loaded = machine.load().unwrap();
        assert!(loaded.config.replica.is_none());
        let keys = loaded.notices.iter().map(|notice| {
            let why = ") is not used: neither replica.url nor replica.host names a Postgres";
            assert!(notice.ends_with(why), "{notice}");
            notice.split(" (").next().unwrap().to_owned()
        });
        keys.collect()
    }

    #[test]
    fn answers_that_wait_for_a_replica_need_one() {
        for text in [
            "ack = 'replica'",
            "ack = 'replica'\nuser = 'u'\npassword = 'hidden'",
            "ack = 'replica'\nhost = ''\nuser = 'u'",
        ] {
            let line = Machine::with_file(&format!("[replica]\n{text}")).problem();
            assert!(line.starts_with("replica.ack (file "), "{line}");
            let wrong = "line 2): is \"replica\", and neither replica.url nor replica.host names a Postgres; set ";
            assert!(line.contains(wrong) && !line.contains("hidden"), "{line}");
        }
        let machine = Machine::with_variables(&[("KSNODE_REPLICA__ACK", "replica")]);
        let line = machine.problem();
        let from = "replica.ack (environment KSNODE_REPLICA__ACK): is \"replica\", and neither ";
        assert!(line.starts_with(from), "{line}");
        let named = machine.and(&[("DB_HOST", "h"), ("DB_USER", "u")]);
        assert!(named.load().unwrap().config.replica.is_some());
    }

    #[test]
    fn what_a_replica_would_need_is_told_where_there_is_none() {
        let machine = Machine::with_file(
            "[replica]\nack = 'local'\non_outage = 'refuse'\nuser = 'u'\npassword = 'p'\nmax_log_rows = 5000",
        );
        let keys = ["user", "password", "ack", "on_outage", "max_log_rows"];
        assert_eq!(told(&machine), keys.map(|key| format!("replica.{key}")));
        assert!(told(&Machine::with_file("[replica]\nhost = ''")).is_empty());
    }

    /// A node that keeps no replica may be started with everything that the suite's `.env` says of its own database but
    /// the host.
    #[test]
    fn the_docker_suites_variables_without_a_host_are_no_mistake() {
        let machine = Machine::with_variables(&[
            ("DB_HOST", ""),
            ("DB_PORT", "5432"),
            ("DB_USER", "u"),
            ("DB_PASSWORD", "p"),
            ("DB_NAME", "n"),
            ("DB_SSL", "false"),
        ]);
        let keys = ["port", "user", "database", "sslmode", "password"];
        assert_eq!(told(&machine), keys.map(|key| format!("replica.{key}")));
    }

    #[test]
    fn what_the_url_says_in_place_of_other_keys_is_told() {
        let text = "[replica]\nurl = 'postgresql://u@h/d'\nsslmode = 'disable'\nack = 'replica'";
        let notices = Machine::with_file(text).load().unwrap().notices;
        let [notice] = notices.as_slice() else {
            panic!("{notices:?}")
        };
        let why = "line 3) is not used: replica.url says where the Postgres is";
        assert!(
            notice.starts_with("replica.sslmode (file ") && notice.ends_with(why),
            "{notice}"
        );
    }
}
