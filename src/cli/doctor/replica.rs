//! Whether the second copy in Postgres is followed; of a stopped node, whether that Postgres answers.

use super::Case;
use crate::cli::finding::Finding;
use crate::config;
use crate::desk::ReplicaState;
use crate::replica::target;
use crate::service::postgres::PostgresError;

const AREA: &str = "replica";

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let Some(config) = &case.config.replica else {
        return Vec::new();
    };
    let running = case.node.as_ref().and_then(|node| node.replica.as_ref());
    vec![match running {
        Some(state) => of_running(state),
        None => of_stopped(config).await,
    }]
}

fn of_running(state: &ReplicaState) -> Finding {
    match state.problem() {
        Some(problem) => Finding::wrong(AREA, problem).mend("ksnode replica status"),
        None => Finding::ok(AREA, "the replica is followed"),
    }
}

async fn of_stopped(config: &config::Replica) -> Finding {
    match answers(config).await {
        Ok(place) => Finding::ok(AREA, format!("{place} answers")),
        Err(error) => Finding::wrong(AREA, error.to_string())
            .mend("see replica in the configuration: ksnode config show"),
    }
}

async fn answers(config: &config::Replica) -> Result<String, PostgresError> {
    let session = target(config)?.connect().await?;
    let place = session.place().to_string();
    session.close().await;
    Ok(place)
}
