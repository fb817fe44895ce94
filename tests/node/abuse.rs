//! Abuse, with figures: while somebody attacks a node, others are served and its memory stays bounded. Rate limits are off, so
//! that it is not they who hold.
//!
//! Each attack goes on for `KSNODE_ABUSE_SECONDS`, 3 by default; `--nocapture` shows what others noticed of it, which is the
//! table in the README. How fast they are served is measured and not asserted: it depends on the machine.

mod bystander;
mod handshakes;
mod http2;
mod idle;
mod oversized;
mod slow;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bystander::{during, during_over_tls};

use crate::support::Node;

/// Until when to attack, from now on.
fn end() -> Instant {
    let seconds = std::env::var("KSNODE_ABUSE_SECONDS").map_or(3, |text| text.parse().unwrap());
    Instant::now() + Duration::from_secs(seconds)
}

/// A connection from another address than everybody else's here.
fn connect_from_elsewhere(node: &Node) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(
        &socket,
        &SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0),
    )?;
    connect(&socket, &node.address().parse::<SocketAddr>().unwrap())?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

/// Lets this process open `count` files more than others of its tests do, as far as that is allowed.
fn many_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= count + 5000);
    assert!(
        enough(now.maximum),
        "this test opens {count} files: raise the limit, `ulimit -Hn`"
    );
    if !enough(now.current) {
        let current = now.maximum;
        setrlimit(Resource::Nofile, Rlimit { current, ..now }).unwrap();
    }
}
