//! A backup's file on its way to the browser: read piece by piece, so that a large one takes no memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use uuid::Uuid;
use warp::Reply;

use super::PageError;
use super::pages::Visit;
use super::site::{Answer, Rooms};

/// A piece of the file. Larger ones go no faster, and what allocators keep for them in each thread is many times theirs.
const PIECE: usize = 64 * 1024;

/// Sends the file of a backup.
pub(super) async fn backup(rooms: &Rooms, visit: &Visit, id: Uuid) -> Result<Answer, PageError> {
    let found = rooms.desk.backup_file(&visit.actor(), id).await?;
    let pieces = stream::try_unfold(found.file, |file| async {
        let read = tokio::task::spawn_blocking(move || piece(file));
        read.await.map_err(io::Error::other)?
    });
    let mut answer = warp::reply::stream(pieces).into_response();
    let headers = answer.headers_mut();
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, binary);
    headers.insert(header::CONTENT_LENGTH, found.bytes.into());
    headers.insert(header::CONTENT_DISPOSITION, attachment(&found.path));
    Ok(answer)
}

/// The next piece and the file; nothing at its end.
fn piece(mut file: File) -> io::Result<Option<(Bytes, File)>> {
    let mut piece = Vec::with_capacity(PIECE);
    let limit = u64::try_from(PIECE).unwrap_or(u64::MAX);
    file.by_ref().take(limit).read_to_end(&mut piece)?;
    Ok((!piece.is_empty()).then(|| (piece.into(), file)))
}

/// Names of backups are ours: letters, digits, dots and hyphens. Any other one is not told.
fn attachment(path: &Path) -> HeaderValue {
    let name = path.file_name().and_then(|name| name.to_str());
    let plain = |name: &&str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    name.filter(plain)
        .and_then(|name| HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok())
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_to_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; PIECE + 5]).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (first, file) = piece(file).unwrap().unwrap();
        let (second, file) = piece(file).unwrap().unwrap();
        assert_eq!((first.len(), second.len()), (PIECE, 5));
        assert!(piece(file).unwrap().is_none());
    }

    #[test]
    fn a_name_is_told_when_it_is_plain() {
        for (path, told) in [
            (
                "/b/ksnode-20261119T030000Z-manual-0a1b.db",
                "attachment; filename=\"ksnode-20261119T030000Z-manual-0a1b.db\"",
            ),
            ("/b/a\"b.db", "attachment"),
            ("/", "attachment"),
        ] {
            assert_eq!(attachment(Path::new(path)), told);
        }
    }
}
