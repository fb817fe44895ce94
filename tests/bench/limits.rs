//! What the node cannot be faster than on this machine: the same look-up through SQLite alone, the same sealing alone, and
//! the disk's flushes alone.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ksnode::crypto::{Context, KeyRing, Purpose};
use rusqlite::{Connection, OpenFlags};

use crate::users::Numbers;

/// Users who are looked up.
const SAMPLE: usize = 20_000;
/// Length of a sealed share's plaintext.
const SHARE: usize = 64;

/// Microseconds of one processor: the three values of a call made blind.
pub fn blinding(time: Duration) -> anyhow::Result<f64> {
    let ring = KeyRing::generate([1; 16])?;
    let value = [7; 32];
    let once = || ring.blind(place(), &value);
    Ok(3.0
        * microseconds(time, || {
            once().map(|sealed| drop(black_box(sealed))).is_ok()
        }))
}

/// Microseconds: two shares sealed, and two opened.
pub fn sealing(time: Duration) -> anyhow::Result<[f64; 2]> {
    let ring = KeyRing::generate([1; 16])?;
    let seal = || ring.seal(Purpose::Share, place(), &[7; SHARE]);
    let (version, sealed) = seal()?;
    let open = || ring.open(Purpose::Share, version, place(), &sealed);
    Ok([
        2.0 * microseconds(time, || {
            seal().map(|sealed| drop(black_box(sealed))).is_ok()
        }),
        2.0 * microseconds(time, || {
            open().map(|opened| drop(black_box(opened))).is_ok()
        }),
    ])
}

/// As long as a share's place.
fn place() -> Context<'static> {
    Context {
        label: "ksnode/share/1",
        items: &[&[1; 16], &[2; 16]],
    }
}

/// How long one of them takes, on one processor.
fn microseconds(time: Duration, mut once: impl FnMut() -> bool) -> f64 {
    let began = Instant::now();
    let mut done = 0_u32;
    while began.elapsed() < time {
        done += (0..100).filter(|_| once()).count() as u32;
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(done.max(1))
}

/// Microseconds: a user and both wallets found, as in a get, without a transaction of its own.
pub fn look_up(database: &Path, time: Duration) -> anyhow::Result<f64> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("BEGIN")?;
    let mut known =
        connection.prepare("SELECT identifier FROM user WHERE id > ?1 ORDER BY id LIMIT 1")?;
    let last: i64 = connection.query_row("SELECT max(id) FROM user", [], |row| row.get(0))?;
    let mut numbers = Numbers::new(1);
    let mut users: Vec<Vec<u8>> = Vec::with_capacity(SAMPLE);
    for _ in 0..SAMPLE {
        let after = numbers.below(usize::try_from(last)?);
        users.push(known.query_row([i64::try_from(after)?], |row| row.get(0))?);
    }
    let mut find = connection.prepare(
        "SELECT wallet.id, curve_type, wallet_id, share_id, key_version, sealed, user.id, public_key
         FROM user LEFT JOIN wallet ON wallet.user = user.id WHERE identifier = ?1 LIMIT 4",
    )?;
    let mut next = users.iter().cycle();
    let mut once = || {
        let Some(user) = next.next() else {
            return false;
        };
        let rows = find.query_map([user], |row| row.get::<_, Vec<u8>>(5));
        rows.is_ok_and(|rows| rows.count() == 2)
    };
    Ok(microseconds(time, &mut once))
}

/// Flushes a second of a file that grows by so many bytes before each.
pub fn flushes(folder: &Path, bytes: usize, time: Duration) -> anyhow::Result<f64> {
    let path = folder.join("flushed");
    let mut file = File::create(&path)?;
    let block = vec![7; bytes];
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < time {
        file.write_all(&block)?;
        file.sync_data()?;
        done += 1;
    }
    let rate = f64::from(done) / began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
