//! SHA-256 of files, while they are written and afterwards.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// What is read or written at once.
const BLOCK: usize = 256 << 10;

/// Size and SHA-256 of the file at `path`, read from its beginning to its end.
///
/// # Errors
/// What opening or reading it says.
pub(super) fn digest(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut sink = Digesting::new(io::sink());
    copy(
        &mut File::open(path)?,
        &mut sink,
        |_| Ok(()),
        |_, error| error,
    )?;
    let (_, bytes, digest) = sink.finish();
    Ok((bytes, digest))
}

/// Hands on what is written to it, and takes its digest.
#[derive(Debug)]
pub(super) struct Digesting<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    /// The writer, how many bytes went to it, and their SHA-256.
    pub(super) fn finish(self) -> (W, u64, [u8; 32]) {
        (self.inner, self.bytes, self.hasher.finalize().into())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(block)?;
        if let Some(written) = block.get(..written) {
            self.hasher.update(written);
        }
        self.bytes = self.bytes.saturating_add(length(written));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Which end of a copy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Target,
}

/// Copies all of `source`, and tells `copied` after each block how many bytes are done; its error ends the copy. The standard library's copy
/// does not tell on which side it failed.
pub(super) fn copy<E>(
    source: &mut impl Read,
    target: &mut impl Write,
    mut copied: impl FnMut(u64) -> Result<(), E>,
    failed: impl Fn(End, io::Error) -> E,
) -> Result<u64, E> {
    let mut block = vec![0; BLOCK];
    let mut done = 0u64;
    loop {
        let read = match source.read(&mut block) {
            Ok(0) => return Ok(done),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(End::Source, error)),
        };
        let read_block = block.get(..read).unwrap_or_default();
        target
            .write_all(read_block)
            .map_err(|error| failed(End::Target, error))?;
        done = done.saturating_add(length(read));
        copied(done)?;
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time.
    struct Narrow(Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, block: &[u8]) -> io::Result<usize> {
            let taken = &block[..block.len().min(3)];
            self.0.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn is_the_one_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let (bytes, found) = digest(&path).unwrap();
        // FIPS 180-4's example.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((bytes, hex::encode(found).as_str()), (3, expected));
        std::fs::write(&path, "").unwrap();
        assert!(hex::encode(digest(&path).unwrap().1).starts_with("e3b0c442"));
        assert!(digest(&folder.path().join("none")).is_err());
        assert!(digest(folder.path()).is_err());
    }

    #[test]
    fn is_that_of_what_was_taken_in_however_small_the_bites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..=255).cycle().take(2 * BLOCK + 7).collect();
        std::fs::write(&path, &content).unwrap();
        let mut sink = Digesting::new(Narrow(Vec::new()));
        sink.write_all(&content).unwrap();
        let (narrow, bytes, found) = sink.finish();
        assert_eq!(narrow.0, content);
        assert_eq!((bytes, found), digest(&path).unwrap());
    }
}
