//! What tests of several rooms do with a store.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Store, StoreError};

/// Holds the writer inside a job until the returned sender is dropped.
pub(crate) async fn hold(store: &Arc<Store>) -> std::sync::mpsc::Sender<()> {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let job = move |_: &Connection| -> Result<(), StoreError> {
            let _ = entered.send(());
            let _ = held.recv();
            Ok(())
        };
        store.write(job).await
    });
    inside.await.unwrap();
    release
}
