//! What TLS costs, and what of that is the node's: `--tls`.
//!
//! Node and bare server take turns, so that what else the machine does meets both; of several rounds the median counts.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use ksnode::clock::{Clock, SystemClock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::bare::{self, Bare};
use crate::handshakes::Handshakes;
use crate::load::{Load, Measured, Order};
use crate::node::{Home, Node};
use crate::part::{Part, Table, figure, median, shown};
use crate::report::Line;
use crate::requests::{Call, Requests};
use crate::{Flags, runtime};

const ROUNDS: usize = 3;

/// What is measured, of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Full,
    Resumed,
    Secured,
    Clear,
}

impl What {
    const ALL: [Self; 4] = [Self::Full, Self::Resumed, Self::Secured, Self::Clear];

    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full handshakes",
            Self::Resumed => "resumed handshakes",
            Self::Secured => "GET / over TLS",
            Self::Clear => "GET / in clear",
        }
    }
}

/// Everything about TLS.
pub fn measure(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    let runtime = runtime()?;
    let servers = Servers::start(flags, folder)?;
    let bench = Bench {
        tls: trusting(&folder.join(bare::CERTIFICATE))?,
        requests: Arc::new(Requests::new(Call::Liveness, [0], SystemClock::new().now())),
        connections: flags.most_connections(),
    };
    let (time, warm_up) = (flags.time(), flags.warm_up());
    let mut rows = Vec::new();
    for what in What::ALL {
        let mut lines: [Vec<Line>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (lines, (id, address)) in lines.iter_mut().zip(servers.sides(what)) {
                runtime.block_on(bench.run(what, address, warm_up))?;
                let run = bench.run(what, address, time);
                lines.push(runtime.block_on(Line::of(None, bench.connections, id, run))?);
            }
        }
        let [node, bare] = lines.map(Figures::median);
        rows.push((what, node, bare));
    }
    servers.stop()?;
    Ok(part(bench.connections, &rows))
}

/// A node under TLS, one in clear, and what they are measured against.
struct Servers {
    secured: Node,
    clear: Node,
    bare: Bare,
}

impl Servers {
    fn start(flags: &Flags, folder: &Path) -> anyhow::Result<Self> {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (folder.join(bare::CERTIFICATE), folder.join(bare::KEY));
        std::fs::write(&certificate, pair.cert.pem())?;
        std::fs::write(&key, pair.key_pair.serialize_pem())?;
        std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let clear = Home::new(flags.node.clone(), folder.join("clear"), &flags.set)?.start()?;
        let mut variables = flags.set.clone();
        let path = |path: &Path| path.display().to_string();
        for (name, value) in [
            ("MODE", "files".to_owned()),
            ("CERTIFICATE", path(&certificate)),
            ("KEY", path(&key)),
        ] {
            variables.push((format!("KSNODE_TLS__{name}"), value));
        }
        let secured = Home::new(flags.node.clone(), folder.join("tls"), &variables)?.start()?;
        std::fs::write(folder.join(bare::ANSWER), answer_of(clear.address)?)?;
        let bare = bare::start(folder)?;
        Ok(Self {
            secured,
            clear,
            bare,
        })
    }

    /// Processes and addresses: the node's, the bare server's.
    fn sides(&self, what: What) -> [(u32, SocketAddr); 2] {
        let bare = self.bare.process.id();
        if what == What::Clear {
            [
                (self.clear.id(), self.clear.address),
                (bare, self.bare.clear),
            ]
        } else {
            [
                (self.secured.id(), self.secured.address),
                (bare, self.bare.process.address),
            ]
        }
    }

    fn stop(self) -> anyhow::Result<()> {
        self.secured.stop()?;
        self.clear.stop()
    }
}

/// The bytes with which the node answers `GET /`, for the other to answer the same.
fn answer_of(address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")?;
    let mut answer = vec![0; 4096];
    // It is small and comes in one piece.
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    ensure!(
        answer.ends_with(b"\r\n\r\nOk"),
        "an unexpected answer to GET /"
    );
    Ok(answer)
}

fn trusting(certificate: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let config = ClientConfig::builder_with_provider(ksnode::crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

struct Bench {
    tls: Arc<ClientConfig>,
    requests: Arc<Requests>,
    connections: usize,
}

impl Bench {
    async fn run(
        &self,
        what: What,
        address: SocketAddr,
        time: Duration,
    ) -> anyhow::Result<Measured> {
        if matches!(what, What::Full | What::Resumed) {
            let handshakes = Handshakes {
                address,
                clients: self.connections,
                tls: self.tls.clone(),
                resumed: what == What::Resumed,
                request: self.requests.at(0).into(),
                time,
            };
            return handshakes.run().await;
        }
        let load = Load {
            address,
            connections: self.connections,
            tls: (what == What::Secured).then(|| self.tls.clone()),
            requests: self.requests.clone(),
            order: Order::Random,
            expected: Call::Liveness.expected(),
            time,
        };
        load.run().await
    }
}

/// Of one server.
struct Figures {
    per_second: f64,
    /// Microseconds of its processor time each.
    processor: Option<f64>,
}

impl Figures {
    fn median(lines: Vec<Line>) -> Self {
        let per_second = lines.iter().map(|line| line.per_second).collect();
        let processor = lines.iter().filter_map(|line| line.node).collect();
        Self {
            per_second: median(per_second).unwrap_or(0.0),
            processor: median(processor),
        }
    }

    fn json(&self) -> Value {
        json!({"per_second": self.per_second, "cpu_us": self.processor})
    }
}

fn part(connections: usize, rows: &[(What, Figures, Figures)]) -> Part {
    let mut table = Table::new([
        "",
        "node, a second",
        "bare, a second",
        "node / bare",
        "CPU µs of the node",
        "CPU µs of the bare one",
    ]);
    for (what, node, bare) in rows {
        table.row([
            what.name().to_owned(),
            figure(node.per_second),
            figure(bare.per_second),
            figure(node.per_second / bare.per_second),
            shown(node.processor),
            shown(bare.processor),
        ]);
    }
    let of = |wanted: What, side: fn(&(What, Figures, Figures)) -> &Figures| {
        let row = rows.iter().find(|(what, ..)| *what == wanted);
        row.map_or(f64::NAN, |row| side(row).per_second)
    };
    let kept = |side| of(What::Secured, side) / of(What::Clear, side);
    let (node, bare) = (kept(|row| &row.1), kept(|row| &row.2));
    let empty = String::new;
    table.row([
        "kept under TLS".to_owned(),
        figure(node),
        figure(bare),
        figure(node / bare),
        empty(),
        empty(),
    ]);
    let rows = rows.iter().map(
        |(what, node, bare)| json!({"what": what.name(), "node": node.json(), "bare": bare.json()}),
    );
    Part {
        text: format!("TLS, {connections} connections, medians of {ROUNDS} rounds:\n\n{table}"),
        json: json!({"connections": connections, "rows": rows.collect::<Vec<_>>(), "kept": {"node": node, "bare": bare}}),
    }
}
