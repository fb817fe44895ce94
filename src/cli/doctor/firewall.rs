//! Firewalls that may keep clients away. What rules do to a packet is not computed here: what is told are hints.

use std::net::SocketAddr;
use std::path::Path;

use super::{Case, programs};
use crate::cli::finding::Finding;

const AREA: &str = "firewall";

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let ports = public_ports(case);
    if ports.is_empty() {
        return vec![Finding::ok(
            AREA,
            "none matters: nothing is served to other machines",
        )];
    }
    let list = ports.join(",");
    if is_ufw_on() {
        return vec![ufw(&list)];
    }
    if Path::new("/run/firewalld").exists() {
        let adds: Vec<String> = ports
            .iter()
            .map(|port| format!("--add-port={port}/tcp"))
            .collect();
        let mend = format!(
            "sudo firewall-cmd --permanent {}; sudo firewall-cmd --reload",
            adds.join(" ")
        );
        let what = format!("firewalld runs: TCP ports {list} must be open in it");
        return vec![Finding::note(AREA, what).mend(mend)];
    }
    vec![rules(&list).await]
}

/// The ports at which other machines are to reach the node.
fn public_ports(case: &Case) -> Vec<String> {
    let config = &case.config;
    let all = config
        .server
        .listen
        .iter()
        .chain(&config.tls.redirect_listen)
        .chain(&config.admin.listen);
    let public = all.filter(|address: &&SocketAddr| !address.ip().is_loopback());
    let mut ports: Vec<u16> = public
        .map(SocketAddr::port)
        .filter(|port| *port != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(ToString::to_string).collect()
}

fn is_ufw_on() -> bool {
    let text = std::fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    text.lines()
        .any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
}

fn ufw(list: &str) -> Finding {
    // Readable by root alone.
    let rules = std::fs::read_to_string("/etc/ufw/user.rules").unwrap_or_default();
    let open = |port: &str| {
        let rule = |line: &str| {
            line.contains("-j ACCEPT") && line.split([' ', ',']).any(|word| word == port)
        };
        rules.lines().any(rule)
    };
    if list.split(',').all(open) {
        return Finding::ok(AREA, format!("ufw lets TCP ports {list} through"));
    }
    Finding::note(
        AREA,
        format!("ufw is on: TCP ports {list} must be open in it"),
    )
    .mend(format!(
        "sudo ufw allow proto tcp from any to any port {list}"
    ))
}

/// What root sees of the kernel's own rules.
async fn rules(list: &str) -> Finding {
    if !rustix::process::geteuid().is_root() {
        let what = "whether rules of the kernel keep clients away is seen by root alone";
        return Finding::note(AREA, what).mend("sudo ksnode doctor");
    }
    let nft = programs::printed("nft", &["list", "ruleset"]).await;
    let iptables = programs::printed("iptables", &["-S", "INPUT"]).await;
    if nft.is_none() && iptables.is_none() {
        return Finding::note(AREA, "neither nft nor iptables tells of rules");
    }
    let drops = nft.is_some_and(|text| drops(&text))
        || iptables.is_some_and(|text| text.contains("-P INPUT DROP"));
    if drops {
        let what =
            format!("the kernel drops what no rule lets in: TCP ports {list} must be let in");
        return Finding::note(AREA, what).mend("sudo nft list ruleset; sudo iptables -S INPUT");
    }
    Finding::ok(AREA, "the kernel lets in what no rule forbids")
}

/// Whether a chain of incoming packets drops what comes to its end.
fn drops(ruleset: &str) -> bool {
    ruleset
        .lines()
        .any(|line| line.contains("hook input") && line.contains("policy drop"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_drops_is_seen() {
        let chain = |policy: &str| {
            format!(
                "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy {policy};\n }}\n}}"
            )
        };
        assert!(drops(&chain("drop")));
        assert!(!drops(&chain("accept")));
    }
}
