//! The ports of the configuration: answering when the node has them, free when it does not run.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Case;
use crate::cli::finding::{Finding, command};

const AREA: &str = "ports";
/// How long one of this machine's own ports may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first port that everybody may listen at, unless the machine is told otherwise.
const FIRST_FREE_PORT: u16 = 1024;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::from_iter(version_4_alone(case));
    let has = listening(case);
    for (key, address) in wanted(case) {
        findings.push(if has.contains(&address) {
            answers(key, address).await
        } else if case.node.is_some() && address.port() != 0 {
            let what = format!("the node does not listen at {address}, as {key} wants now");
            let free = can_bind(case, key, address);
            free.unwrap_or_else(|| {
                Finding::note(AREA, what)
                    .at(key)
                    .mend(super::node::restart(case))
            })
        } else {
            let free = can_bind(case, key, address);
            free.unwrap_or_else(|| Finding::ok(AREA, format!("{address} is free ({key})")).at(key))
        });
    }
    findings
}

/// Clients that have IPv6 alone, as some phones do, are kept out.
fn version_4_alone(case: &Case) -> Option<Finding> {
    let listen = &case.config.server.listen;
    let every = |address: &&SocketAddr| address.ip().is_unspecified();
    let alone =
        listen.iter().any(|address| every(&address)) && listen.iter().all(SocketAddr::is_ipv4);
    let what = match (alone, has_ipv6()) {
        (false, _) => return None,
        (true, true) => {
            "clients with IPv6 alone are not served: [::] in place of 0.0.0.0 takes both"
        }
        (true, false) => {
            "IPv6 is off on this machine: clients that have nothing else are not served"
        }
    };
    Some(Finding::note(AREA, what).at("server.listen"))
}

fn wanted(case: &Case) -> Vec<(&'static str, SocketAddr)> {
    let config = &case.config;
    let api = config
        .server
        .listen
        .iter()
        .map(|&address| ("server.listen", address));
    let redirect = config
        .tls
        .redirect_listen
        .map(|address| ("tls.redirect_listen", address));
    let ops = config.ops.listen.map(|address| ("ops.listen", address));
    let admin = config.admin.listen.map(|address| ("admin.listen", address));
    let all = api.chain(redirect).chain(ops).chain(admin);
    // Port 0 is any free one: only the node that runs knows which.
    let fixed = all.filter(|(_, address)| address.port() != 0);
    let mut wanted: Vec<_> = fixed.collect();
    let known = wanted
        .iter()
        .map(|(_, address)| *address)
        .collect::<Vec<_>>();
    let chosen = listening(case)
        .into_iter()
        .filter(|address| !known.contains(address));
    wanted.extend(chosen.map(|address| ("listening", address)));
    wanted
}

/// Where the node listens.
fn listening(case: &Case) -> Vec<SocketAddr> {
    let Some(node) = &case.node else {
        return Vec::new();
    };
    let all = node
        .listen
        .iter()
        .chain(&node.redirect_listen)
        .chain(&node.ops_listen)
        .chain(&node.admin_listen);
    all.filter_map(|address| address.parse().ok()).collect()
}

async fn answers(key: &str, address: SocketAddr) -> Finding {
    let mut target = address;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => target.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => target.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let why = match timeout(PATIENCE, TcpStream::connect(target)).await {
        Ok(Ok(_)) => {
            return Finding::ok(
                AREA,
                format!("{address} is reachable on this machine ({key})"),
            )
            .at(key);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let what = format!("the node listens at {address} and cannot be reached there: {why}");
    Finding::wrong(AREA, what)
        .at(key)
        .mend("sudo nft list ruleset; sudo iptables -S INPUT")
}

/// Why the address cannot be had; `None` when it can.
fn can_bind(case: &Case, key: &str, address: SocketAddr) -> Option<Finding> {
    let error = TcpListener::bind(address).err()?;
    let port = address.port();
    Some(match error.kind() {
        ErrorKind::AddrInUse => in_use(key, address),
        ErrorKind::PermissionDenied if listener(port).is_some() => in_use(key, address),
        // The unit is given the capability.
        ErrorKind::PermissionDenied if case.unit.is_some() => return None,
        ErrorKind::PermissionDenied if port < FIRST_FREE_PORT => {
            let what = format!(
                "{address} takes a right that {} has not: ports below {FIRST_FREE_PORT}",
                case.account
            );
            let program = std::env::current_exe().unwrap_or_else(|_| "ksnode".into());
            let mend = command("sudo setcap cap_net_bind_service=+ep", &program);
            Finding::wrong(AREA, what).at(key).mend(mend)
        }
        ErrorKind::AddrNotAvailable => {
            let what = format!("this machine has no address {}", address.ip());
            Finding::wrong(AREA, what)
                .at(key)
                .mend(format!("set {key} to one of: ip -brief address"))
        }
        _ => {
            let what = format!("nobody can listen at {address}: {error}");
            let mend = if address.is_ipv6() && !has_ipv6() {
                format!("IPv6 is off on this machine: set {key} to 0.0.0.0:{port}")
            } else {
                format!("set {key} to another address")
            };
            Finding::wrong(AREA, what).at(key).mend(mend)
        }
    })
}

fn in_use(key: &str, address: SocketAddr) -> Finding {
    let port = address.port();
    let holder = listener(port).flatten();
    let by = holder.as_deref().unwrap_or("another program");
    let what = format!("{address} is taken by {by}");
    let mend = match &holder {
        Some(holder) => format!("stop {holder}, or set {key} to another address"),
        None => format!("sudo ss -ltnp 'sport = :{port}'"),
    };
    Finding::wrong(AREA, what).at(key).mend(mend)
}

/// Whether this machine has IPv6.
pub(in crate::cli) fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// Whether somebody listens at the port, and who, where that may be known: whoever is not root sees only its own
/// processes. `None` when nobody does, or where there is no `/proc`.
fn listener(port: u16) -> Option<Option<String>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let socket = tables.iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().find_map(|line| listening_inode(line, port))
    })?;
    Some(holder(&format!("socket:[{socket}]")))
}

/// The inode of a line of `/proc/net/tcp` (proc_net_tcp(5)) that tells of a listener at the port.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (_, own) = fields.nth(1)?.rsplit_once(':')?;
    let listens = u16::from_str_radix(own, 16).ok()? == port && fields.nth(1)? == LISTEN;
    listens.then(|| fields.nth(5).map(str::to_owned))?
}

/// The process that has the socket open. The service manager keeps the sockets of a node, and is named only when nobody else
/// has it: it is not to be stopped.
fn holder(socket: &str) -> Option<String> {
    const SERVICE_MANAGER: &str = "1";
    let mut kept = None;
    let processes = Path::new("/proc").read_dir().ok()?;
    for process in processes.flatten() {
        let number = process.file_name();
        // Beside processes there are other things, `self` among them.
        let Some(number) = number.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        let Ok(files) = process.path().join("fd").read_dir() else {
            continue;
        };
        let has = files
            .flatten()
            .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == Path::new(socket)));
        if has {
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            let found = format!("{} (process {number})", name.trim());
            if number != SERVICE_MANAGER {
                return Some(found);
            }
            kept = Some(found);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let holder = listener(port).unwrap().unwrap();
        assert!(
            holder.ends_with(&format!("(process {})", std::process::id())),
            "{holder}"
        );
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn only_listeners_of_the_port_count() {
        let line = "   0: 0100007F:1069 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        assert_eq!(listening_inode(line, 4201).unwrap(), "4711");
        assert_eq!(listening_inode(line, 4202), None);
        assert_eq!(listening_inode(&line.replace("0A", "01"), 4201), None);
        assert_eq!(
            listening_inode("  sl  local_address rem_address   st", 4201),
            None
        );
    }
}
