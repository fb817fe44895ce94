//! The way between a node and its Postgres, which can be slow, cut, or cut at the worst moment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the wire says at the end of a transaction: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

/// Passes bytes between the node and a server.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    rules: Arc<Rules>,
}

struct Rules {
    server: u16,
    delay: AtomicU64,
    closed: AtomicBool,
    /// The next COMMIT reaches the server, and its answer never the node.
    swallow_answer: AtomicBool,
    /// The next COMMIT does not even reach the server.
    swallow_commit: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            rules: Arc::new(Rules {
                server,
                delay: AtomicU64::new(0),
                closed: AtomicBool::new(false),
                swallow_answer: AtomicBool::new(false),
                swallow_commit: AtomicBool::new(false),
                streams: Mutex::default(),
            }),
        };
        let rules = proxy.rules.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                rules.pass(client.unwrap());
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How long each piece waits.
    pub fn delay(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap();
        self.rules.delay.store(time, Ordering::SeqCst);
    }

    /// Cuts what is open, and lets nobody through or everybody.
    pub fn close(&self, closed: bool) {
        self.rules.closed.store(closed, Ordering::SeqCst);
        self.rules.cut();
    }

    /// Cuts at the next COMMIT, before or after the server has done it.
    pub fn cut_at_commit(&self, done: bool) {
        let rule = if done {
            &self.rules.swallow_answer
        } else {
            &self.rules.swallow_commit
        };
        rule.store(true, Ordering::SeqCst);
    }

    /// Whether the cut that was asked for is still to come.
    pub fn waits(&self) -> bool {
        self.rules.swallow_answer.load(Ordering::SeqCst)
            || self.rules.swallow_commit.load(Ordering::SeqCst)
    }
}

impl Rules {
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn pass(self: &Arc<Self>, client: TcpStream) {
        // Held from the question to the answer, so that `close` cuts whoever got in before it.
        let mut streams = self.streams.lock().unwrap();
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else {
            return;
        };
        streams.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        drop(streams);
        let ways = [
            (
                client.try_clone().unwrap(),
                server.try_clone().unwrap(),
                true,
            ),
            (server, client, false),
        ];
        for (from, to, outward) in ways {
            let rules = self.clone();
            std::thread::spawn(move || rules.pump(from, to, outward));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, outward: bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let piece = &buffer[..read];
            std::thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
            let commits = outward && piece.windows(COMMIT.len()).any(|window| window == COMMIT);
            if commits && self.swallow_commit.swap(false, Ordering::SeqCst) {
                break;
            }
            if commits && self.swallow_answer.swap(false, Ordering::SeqCst) {
                // The node's half is shut first, so that no answer can slip through.
                let _ = from.shutdown(Shutdown::Both);
                to.write_all(piece).unwrap();
                let mut answer = [0; 64];
                to.set_read_timeout(Some(Duration::from_millis(500)))
                    .unwrap();
                let _ = to.read(&mut answer);
                break;
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
