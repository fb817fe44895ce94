//! A database and an authority for tests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use super::authority::{AccountKey, Authority, Failure, Issued};
use super::{Target, Vault, Vaults};
use crate::audit::{AUDIT_TABLES, AuditLog, Standing};
use crate::clock::SystemClock;
use crate::crypto::KeyRing;
use crate::store::{FolderLock, Store, StoreMetrics, StoreOptions};
use crate::tls::TLS_TABLES;

/// Places of databases. The newest is in use, until another is opened in its stead.
#[derive(Debug)]
pub(super) struct Places {
    folders: Mutex<Vec<tempfile::TempDir>>,
    vault: Mutex<Vault>,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(&folder, Arc::new(KeyRing::generate([7; 16]).unwrap()));
        Arc::new(Self {
            folders: Mutex::new(vec![folder]),
            vault: Mutex::new(vault),
        })
    }

    /// Puts an empty database in the place of the one in use, as a restore does.
    pub(super) async fn replace(&self) {
        let old = self.vault();
        let folder = tempfile::tempdir().unwrap();
        *self.vault.lock().unwrap() = open(&folder, old.ring.clone());
        self.folders.lock().unwrap().push(folder);
        old.store.close().await;
    }

    /// What the files of the database in use hold.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let folders = self.folders.lock().unwrap();
        let files = folders.last().unwrap().path().read_dir().unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

impl Vaults for Places {
    fn vault(&self) -> Vault {
        self.vault.lock().unwrap().clone()
    }
}

fn open(folder: &tempfile::TempDir, ring: Arc<KeyRing>) -> Vault {
    let lock = FolderLock::take(folder.path()).unwrap();
    let store = Store::open(
        lock,
        &[TLS_TABLES, AUDIT_TABLES],
        StoreOptions::default(),
        StoreMetrics::default(),
        SystemClock::shared(),
    );
    let store = Arc::new(store.unwrap());
    let (standing, clock) = (Standing::default(), SystemClock::shared());
    let audit = AuditLog::new(store.clone(), &ring, standing, clock);
    Vault { store, ring, audit }
}

pub(super) fn target(domains: &[&str]) -> Target {
    let acme = crate::config::Acme {
        contact: Some("admin@example.org".into()),
        directory: "https://authority.example/directory".into(),
        directory_root: None,
    };
    let domains = domains.iter().map(|name| (*name).to_owned()).collect();
    Target::new(&acme, domains)
}

/// What it answers next, and the accounts it was asked with.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    answers: Mutex<VecDeque<Option<Issued>>>,
    pub(super) asked: Mutex<Vec<AccountKey>>,
}

impl Scripted {
    pub(super) fn issues(&self, pem: &str) {
        let pem = pem.as_bytes().to_vec().into();
        self.answers.lock().unwrap().push_back(Some(Ok(pem)));
    }

    pub(super) fn fails(&self, outcome: super::Outcome) {
        let text = format!("{} on purpose", outcome.as_str());
        let failure = Failure { outcome, text };
        self.answers.lock().unwrap().push_back(Some(Err(failure)));
    }

    pub(super) fn panics(&self) {
        self.answers.lock().unwrap().push_back(None);
    }

    pub(super) fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Authority for Scripted {
    fn issue(&self, account: AccountKey) -> Pin<Box<dyn Future<Output = Issued> + Send + '_>> {
        self.asked.lock().unwrap().push(account);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let answer = answer.expect("asked once more than was expected");
            answer.expect("a panic on purpose")
        })
    }
}
