//! Whether the names by which clients reach the node lead to this machine.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Case;
use crate::cli::finding::Finding;
use crate::config::TlsMode;

const AREA: &str = "names";
/// How long the name server may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let acme = matches!(case.config.tls.mode, TlsMode::Acme(_));
    if case.config.tls.mode == TlsMode::Off {
        return Vec::new();
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut own: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    let listen = &case.config.server.listen;
    if !listen.iter().any(|address| address.ip().is_unspecified()) {
        // Another node of this machine may have the others.
        own.retain(|own| listen.iter().any(|address| address.ip() == *own));
    }
    let domains = &case.config.tls.domains;
    let mut findings = Vec::new();
    for name in domains
        .iter()
        .filter(|name| name.parse::<IpAddr>().is_err())
    {
        let mut finding = match timeout(PATIENCE, lookup_host((name.as_str(), 0))).await {
            Ok(Ok(addresses)) => {
                let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
                addresses.dedup();
                judge(name, &addresses, &own)
            }
            Ok(Err(error)) => unresolved(name, &error.to_string(), &own),
            Err(_) => unresolved(name, "the name server does not answer", &own),
        };
        if acme && finding.level > crate::cli::finding::Level::Note {
            finding
                .what
                .push_str("; no authority issues a certificate for it so");
        }
        findings.push(finding.at("tls.domains"));
    }
    findings
}

fn unresolved(name: &str, why: &str, own: &[IpAddr]) -> Finding {
    let mut mend = record(name, own);
    // glibc's words for a name server that gave no answer (EAI_AGAIN): of the name nothing is known then.
    if why.contains("Temporary failure") || why.contains("does not answer") {
        mend = format!("is there a name server (/etc/resolv.conf, resolvectl)? then {mend}");
    }
    Finding::wrong(AREA, format!("{name} leads nowhere: {why}")).mend(mend)
}

/// What is to be written at the name's registrar.
fn record(name: &str, own: &[IpAddr]) -> String {
    let public: Vec<String> = own
        .iter()
        .filter(|address| is_public(address))
        .map(|address| match address {
            IpAddr::V4(_) => format!("{name}. A {address}"),
            IpAddr::V6(_) => format!("{name}. AAAA {address}"),
        })
        .collect();
    if public.is_empty() {
        return format!(
            "in the zone of {name} set an A record to the public address of the router before this machine, which \
             forwards ports 80 and 443 to it"
        );
    }
    format!("in the zone of {name} set: {}", public.join("; "))
}

fn judge(name: &str, addresses: &[IpAddr], own: &[IpAddr]) -> Finding {
    let strange: Vec<String> = addresses
        .iter()
        .filter(|address| !own.contains(address))
        .map(ToString::to_string)
        .collect();
    let list = |addresses: &[IpAddr]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(" ")
    };
    if strange.is_empty() && !addresses.is_empty() {
        return Finding::ok(
            AREA,
            format!("{name} leads to this machine ({})", list(addresses)),
        );
    }
    let strange = strange.join(" ");
    if !own.iter().any(is_public) {
        let what = format!(
            "{name} leads to {strange}; this machine has no public address, so it stands behind a router, and whether \
             that is the router's address cannot be known from here"
        );
        return Finding::note(AREA, what)
            .mend("have the router forward ports 80 and 443 to this machine");
    }
    let what = format!("{name} leads to {strange}, which is none of this machine's addresses");
    // Clients that try the right address first are served.
    if addresses.iter().any(|address| own.contains(address)) {
        return Finding::warning(AREA, what).mend(record(name, own));
    }
    Finding::wrong(AREA, what).mend(record(name, own))
}

/// Whether the address can be reached from elsewhere, as far as its form tells (RFC 6890).
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets().starts_with(&[100]) && (64..128).contains(&v4.octets()[1]);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::Level;

    fn addresses(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_leads_here_or_elsewhere_or_one_cannot_know() {
        let level =
            |to: &[&str], own: &[&str]| judge("n.example", &addresses(to), &addresses(own)).level;
        let own = ["127.0.0.1", "198.51.100.7", "2001:db8::7", "fe80::1"];
        assert_eq!(level(&["198.51.100.7"], &own), Level::Ok);
        assert_eq!(level(&["198.51.100.7", "2001:db8::7"], &own), Level::Ok);
        assert_eq!(level(&["203.0.113.1"], &own), Level::Wrong);
        assert_eq!(
            level(&["198.51.100.7", "2001:db8::8"], &own),
            Level::Warning
        );
        for nat in ["10.0.0.7", "192.168.1.7", "100.64.0.7", "fd00::7"] {
            assert_eq!(
                level(&["203.0.113.1"], &["127.0.0.1", nat]),
                Level::Note,
                "{nat}"
            );
        }
        let finding = judge("n.example", &addresses(&["203.0.113.1"]), &addresses(&own));
        assert_eq!(
            finding.mend.unwrap(),
            "in the zone of n.example set: n.example. A 198.51.100.7; n.example. AAAA 2001:db8::7"
        );
    }
}
