//! `[replica]`.

use super::super::error::Wrong;
use super::super::resolve::{Resolved, Resolver};
use super::super::{OnOutage, Replica, ReplicaAck, ReplicaAddress, check};
use super::{number, or_empty, seconds};

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
        (None, None) => return Ok(None),
        (Some(url), None) => ReplicaAddress::Url(url),
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
