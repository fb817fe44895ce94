//! Pebble, a real ACME server, on loopback, with a name server that knows every name as this machine's.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::super::pairs::Authority;
use crate::postgres::free_port;
use crate::support::{Setup, wait_for};

/// Where one runs, and how.
pub struct Pebble {
    folder: PathBuf,
    /// Of the directory's own certificate.
    authority: Authority,
    port: u16,
    management: u16,
    /// Where it looks for the node.
    pub tls_port: u16,
    /// Seconds for which its certificates are good.
    pub lifetime: u32,
    /// Per cent of good nonces that it refuses.
    pub refused_nonces: u32,
    running: Vec<Child>,
}

impl Pebble {
    /// One for a node at `tls_port`, with its files in `folder`, and not running.
    pub fn new(folder: &Path, tls_port: u16) -> Self {
        let authority = Authority::new(folder);
        let pair = authority.issue(&["localhost", "127.0.0.1"]);
        pair.write(folder);
        Self {
            folder: folder.to_owned(),
            authority,
            port: free_port(),
            management: free_port(),
            tls_port,
            lifetime: 90 * 86_400,
            refused_nonces: 0,
            running: Vec::new(),
        }
    }

    /// Has a node at its port get certificates from it.
    pub fn serve(&self, setup: Setup, domains: &str, tls_port: u16) -> Setup {
        setup
            .listen(&format!("127.0.0.1:{tls_port}"))
            .env("KSNODE_TLS__MODE", "acme")
            .env("KSNODE_TLS__DOMAINS", domains)
            .env("KSNODE_TLS__CONTACT", "admin@example.org")
            .env("KSNODE_TLS__DIRECTORY", &self.directory())
            .env(
                "KSNODE_TLS__DIRECTORY_ROOT",
                self.authority.root.to_str().unwrap(),
            )
    }

    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    pub fn start(&mut self) {
        let names = free_port();
        self.spawn(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &format!("127.0.0.1:{names}")])
                .args(["-management", &format!("127.0.0.1:{}", free_port())])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]),
        );
        let path = |name: &str| self.folder.join(name);
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": path("chain.pem"),
            "privateKey": path("key.pem"),
            "httpPort": 1,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "domainBlocklist": ["blocked.example"],
            "certificateValidityPeriod": self.lifetime,
        }});
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        self.spawn(
            Command::new("pebble")
                .arg("-config")
                .arg(path("pebble.json"))
                .args(["-dnsserver", &format!("127.0.0.1:{names}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", self.refused_nonces.to_string()),
        );
        for port in [self.port, self.management] {
            wait_for("Pebble", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
    }

    fn spawn(&mut self, command: &mut Command) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("pebble.log"))
            .unwrap();
        let spawned = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let child = spawned.expect("this test needs pebble; on Debian tests/all installs it");
        self.running.push(child);
    }

    /// The root of what it issues, in a file.
    pub fn root(&self) -> PathBuf {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let pem = super::super::clients::curl(&self.authority, &[&url]);
        let path = self.folder.join("issued-by.pem");
        std::fs::write(&path, pem).unwrap();
        path
    }

    /// What it has been asked, and what it said.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.folder.join("pebble.log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
