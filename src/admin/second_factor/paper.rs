//! Codes on paper.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::readable::as_meant;
use super::super::{AdminError, readable};

/// How many there are.
pub(super) const PAPER: usize = 10;

/// Codes on paper, to be shown once.
pub(in crate::admin) type PaperCodes = Vec<Zeroizing<String>>;

/// Codes for the paper, and what is kept of them. They are random throughout: one pass of a hash is enough.
pub(super) fn new_paper() -> Result<(PaperCodes, Vec<[u8; 32]>), AdminError> {
    let codes = (0..PAPER).map(|_| readable::<16>());
    let codes: PaperCodes = codes.collect::<Result<_, _>>()?;
    let kept = codes.iter().map(|code| digest(&as_meant(code))).collect();
    Ok((codes, kept))
}

/// Where the code stands among those on paper. All of them are compared.
pub(super) fn place_of(paper: &[[u8; 32]], given: &str) -> Option<usize> {
    let given = digest(given);
    let mut found = None;
    for (place, code) in paper.iter().enumerate() {
        if bool::from(code.ct_eq(&given)) {
            found = Some(place);
        }
    }
    found
}

fn digest(code: &str) -> [u8; 32] {
    Sha256::digest(code).into()
}
