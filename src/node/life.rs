//! A node's start and end in its audit log.

use super::MIGRATIONS;
use crate::audit::{Action, Actor, AuditLog, Entry, Query};
use crate::store::StoreError;

/// Enters that the node begins to serve, and whether the one before ended without a word.
pub(super) async fn started(audit: &AuditLog, settings: &[u8; 32]) {
    let before = match ended_silently(audit).await {
        Ok(true) => "; the process before did not end in order: it was killed, or the machine was",
        Ok(false) => "",
        Err(error) => {
            tracing::warn!(%error, "the audit log cannot be read");
            ""
        }
    };
    let detail = format!(
        "ksnode {}, schema {}, process {}, settings {}{before}",
        crate::VERSION,
        MIGRATIONS.len(),
        std::process::id(),
        hex::encode(settings)
    );
    let entry = Entry::done(&Actor::Node, Action::Start, detail);
    audit.record(entry).await;
}

/// Enters that it has ended to serve.
pub(super) async fn stopped(audit: &AuditLog, finished: bool) {
    let detail = if finished {
        "all requests were answered"
    } else {
        "requests were cut off at server.shutdown_seconds"
    };
    let entry = Entry::done(&Actor::Node, Action::Stop, detail);
    audit.stop(entry).await;
}

async fn ended_silently(audit: &AuditLog) -> Result<bool, StoreError> {
    let newest = async |action: Action| {
        let query = Query {
            action: Some(action.as_str().to_owned()),
            limit: 1,
            ..Query::default()
        };
        let found = audit.entries(&query).await?;
        Ok::<_, StoreError>(found.first().map(|entry| entry.seq))
    };
    Ok(newest(Action::Start).await? > newest(Action::Stop).await?)
}
