//! The file of the second factor.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::super::AdminError;
use crate::crypto::{Context, KeyRing, Purpose};
use crate::store::{replace_private_file, sync_folder};

const CONTEXT: Context<'static> = Context {
    label: "ksnode/admin-second-factor/1",
    items: &[],
};

/// What is kept of it.
#[derive(Clone)]
pub(super) struct Kept {
    /// The app's secret.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// The last step whose code was used.
    pub(super) last_step: u64,
    /// SHA-256 of each code on paper that was not used.
    pub(super) paper: Vec<[u8; 32]>,
}

/// The file: JSON, so that what it is can be seen.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outer {
    /// The version of the key that sealed it.
    key: u32,
    /// What is sealed, in hex.
    sealed: String,
}

/// What is sealed.
#[derive(Serialize, Deserialize, Zeroize)]
#[serde(deny_unknown_fields)]
struct Inner {
    secret: String,
    last_step: u64,
    paper: Vec<String>,
}

impl Kept {
    /// What the file holds; nothing when there is none.
    pub(super) fn read(path: &Path, ring: &KeyRing) -> Result<Option<Self>, AdminError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                let path = path.to_owned();
                return Err(AdminError::Unreadable { path, source });
            }
        };
        let failed = |why: String| AdminError::SecondFactor {
            path: path.to_owned(),
            why,
        };
        let garbled = || failed("it is not what was written".to_owned());
        let outer: Outer = serde_json::from_slice(&text).map_err(|_| garbled())?;
        let sealed = hex::decode(&outer.sealed).map_err(|_| garbled())?;
        let opened = ring
            .open(Purpose::NodeWrap, outer.key, CONTEXT, &sealed)
            .map_err(|error| failed(error.to_string()))?;
        let mut inner: Inner = serde_json::from_slice(&opened).map_err(|_| garbled())?;
        let kept = Self::of(&inner).ok_or_else(garbled);
        inner.zeroize();
        kept.map(Some)
    }

    fn of(inner: &Inner) -> Option<Self> {
        let paper = inner.paper.iter().map(|code| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(code, &mut bytes).ok().map(|()| bytes)
        });
        Some(Self {
            secret: Zeroizing::new(hex::decode(&inner.secret).ok()?),
            last_step: inner.last_step,
            paper: paper.collect::<Option<_>>()?,
        })
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path, ring: &KeyRing) -> Result<(), AdminError> {
        let failed = |error: serde_json::Error| AdminError::SecondFactor {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let mut inner = Inner {
            secret: hex::encode(self.secret.as_slice()),
            last_step: self.last_step,
            paper: self.paper.iter().map(hex::encode).collect(),
        };
        let plain = serde_json::to_vec(&inner).map(Zeroizing::new);
        inner.zeroize();
        let (key, sealed) = ring.seal(Purpose::NodeWrap, CONTEXT, &plain.map_err(failed)?)?;
        let outer = Outer {
            key,
            sealed: hex::encode(sealed),
        };
        let text = serde_json::to_vec(&outer).map_err(failed)?;
        replace_private_file(path, &text).map_err(|source| AdminError::Unwritable {
            path: path.to_owned(),
            source,
        })
    }
}

/// Removes the file; false when there is none.
pub(super) fn remove(path: &Path) -> Result<bool, AdminError> {
    let removed = std::fs::remove_file(path);
    let folder = path.parent().unwrap_or(Path::new("."));
    match removed.and_then(|()| sync_folder(folder)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(AdminError::Unwritable {
            path: path.to_owned(),
            source,
        }),
    }
}
