//! The operator's calls about backups (api.md, "Backups").
//!
//! Both generations of paths are here: the first has a path for each call, the second makes and lists backups under
//! one. The history is open to anybody, as operators' tools expect; everything that does something wants the
//! administrator's password.
//!
//! Fields are told apart as a text, a number or anything else here and not by the parser, because what is
//! wrong with them has codes of its own, and because a wrong password is the answer whatever else is wrong.

mod wire;

use std::net::IpAddr;
use std::sync::Arc;

use url::form_urlencoded;
use zeroize::Zeroizing;

use super::Api;
use super::answer::CallResult;
use super::caller::Call;
use super::error::{ApiError, Code};
use super::wire::{FailureBody, SuccessBody};
use crate::admin::{AdminError, Administrator};
use crate::audit::Actor;
use crate::backup::{Kind, Progress, RestoreRequest};
use wire::{BackupData, BackupItem, DaysBody, Field, PasswordBody, RestoreBody, RestoreData};

/// The longest history that can be asked for.
const DAYS: u64 = 1000;
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Make a backup and verify it
///
/// The answer comes when the backup is verified, which can take minutes; it is
/// finished all the same when the client goes away.
#[utoipa::path(
    post, path = "/pg_dump/v1/backup", tag = "Backups", request_body = PasswordBody,
    responses(
        (status = 200, body = SuccessBody<BackupData>),
        (status = 401, description = "No password, or a wrong one", body = FailureBody),
        (status = 500, description = "The backup was not made", body = FailureBody),
    ),
)]
pub(super) async fn create(api: &Api, call: &Call) -> CallResult<BackupData> {
    authenticate(api, call).await?;
    let made = api
        .backups
        .create(Kind::Manual, &actor(call), &Progress::unwatched())
        .await
        .map_err(ApiError::dump_failed)?;
    Ok(Some(made.into()))
}

/// Tell of the backups of the last days, newest first; needs no password
#[utoipa::path(
    post, path = "/pg_dump/v1/get_backup_history", tag = "Backups", request_body = DaysBody,
    responses(
        (status = 200, body = SuccessBody<Vec<BackupItem>>),
    ),
)]
pub(super) async fn history(api: &Api, call: &Call) -> CallResult<Vec<BackupItem>> {
    list(api, days_of_body(&call.body)?).await
}

/// Tell of the backups of the last days, newest first; needs no password
#[utoipa::path(
    get, path = "/pg_dump/v1", tag = "Backups",
    params(
        ("days" = Option<u16>, Query, minimum = 1, maximum = 1000, description = "How many days back; all when absent")
    ),
    responses(
        (status = 200, body = SuccessBody<Vec<BackupItem>>),
        (status = 400, description = "days is not from 1 to 1000", body = FailureBody),
        (status = 429, description = "Too many requests from this address", body = FailureBody),
        (status = 500, description = "Trouble inside the node", body = FailureBody),
        (status = 503, description = "The data is being replaced", body = FailureBody),
    ),
)]
pub(super) async fn history_by_query(api: &Api, call: &Call) -> CallResult<Vec<BackupItem>> {
    list(api, days_of_query(&call.query)?).await
}

/// Put a backup in the place of today's data
///
/// The backup is verified first and today's data is backed up; until then nothing is changed. Commit-reveal sessions
/// end.
#[utoipa::path(
    post, path = "/pg_dump/v1/restore", tag = "Backups", request_body = RestoreBody,
    responses(
        (status = 200, body = SuccessBody<RestoreData>),
        (status = 401, description = "No password, or a wrong one", body = FailureBody),
        (status = 500, description = "Nothing was restored, and the data is as it was", body = FailureBody),
    ),
)]
pub(super) async fn restore(api: &Api, call: &Call) -> CallResult<RestoreData> {
    authenticate(api, call).await?;
    let named = match call.parse::<RestoreBody>()?.dump_path {
        Some(Field::Is(named)) if !named.is_empty() => named,
        _ => {
            return Err(ApiError::new(
                Code::InvalidDumpPath,
                "dump_path is required",
            ));
        }
    };
    let file = api
        .backups
        .resolve(&named)
        .map_err(|error| ApiError::restore_failed(error, None))?;
    let request = RestoreRequest {
        path: file.clone(),
        secret_file: None,
        age_identity: None,
        dry_run: false,
    };
    let report = api
        .restorer
        .restore(&actor(call), request, &Progress::unwatched())
        .await
        .map_err(|error| ApiError::restore_failed(error, Some(&file)))?;
    Ok(Some(RestoreData {
        dump_path: named,
        changes: report.into(),
    }))
}

async fn list(api: &Api, days: Option<u32>) -> CallResult<Vec<BackupItem>> {
    let since = days.map(|days| api.clock.now().minus(DAY.saturating_mul(days)));
    let history = api.backups.list(since).await?;
    Ok(Some(history.into_iter().map(BackupItem::from).collect()))
}

/// Lets the administrator pass. The line of the request, under the same id, tells who else was refused.
async fn authenticate(api: &Api, call: &Call) -> Result<(), ApiError> {
    let Some(given) = password(&call.body)? else {
        tracing::warn!("an administrator's call was refused: it has no password");
        let why = "a call without a password";
        api.audit.login_failed(&actor(call), why).await;
        return Err(ApiError::unauthorized("Admin password is required"));
    };
    let checked = check(&api.administrator, given, call.address).await;
    let wrong = checked
        .as_ref()
        .is_err_and(|error| error.code == Code::Unauthorized);
    if wrong {
        let why = "a wrong password";
        api.audit.login_failed(&actor(call), why).await;
    }
    checked
}

/// Who calls, once he has given the password.
fn actor(call: &Call) -> Actor {
    let address = call.address;
    Actor::Api { address }
}

async fn check(
    administrator: &Arc<Administrator>,
    given: Zeroizing<String>,
    address: IpAddr,
) -> Result<(), ApiError> {
    match administrator.is(given, address).await {
        Ok(true) => return Ok(()),
        Ok(false) if administrator.has_password() => {
            tracing::warn!("an administrator's call was refused: the password is wrong");
        }
        Ok(false) => tracing::warn!(
            "an administrator's call was refused: there is no password; run `ksnode admin set-password`, or set admin.password_file"
        ),
        Err(AdminError::Busy) => {
            tracing::warn!(
                "an administrator's call was refused: too many passwords wait to be looked at"
            );
            return Err(ApiError::later(
                "many passwords are being looked at; try again in a second",
            ));
        }
        Err(error) => {
            tracing::error!(%error, "an administrator's call was refused");
            return Err(ApiError::internal());
        }
    }
    Err(ApiError::unauthorized("Invalid admin password"))
}

/// The password in a body; an empty one is none.
pub(super) fn password(body: &[u8]) -> Result<Option<Zeroizing<String>>, ApiError> {
    if body.is_empty() {
        return Ok(None);
    }
    match super::body::parse::<PasswordBody>(body)?.password {
        Some(Field::Is(password)) if !password.is_empty() => Ok(Some(password)),
        _ => Ok(None),
    }
}

pub(super) fn days_of_body(body: &[u8]) -> Result<Option<u32>, ApiError> {
    if body.is_empty() {
        return Ok(None);
    }
    match super::body::parse::<DaysBody>(body)?.days {
        None => Ok(None),
        Some(Field::Is(days)) => within(days.0).map(Some),
        Some(Field::Other(_)) => Err(invalid_days()),
    }
}

pub(super) fn days_of_query(query: &str) -> Result<Option<u32>, ApiError> {
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "days");
    let Some((_, text)) = given.next() else {
        return Ok(None);
    };
    // Which of two is meant cannot be known, and `parse` would take a sign.
    if given.next().is_some() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid_days());
    }
    let days = text.parse().map_err(|_| invalid_days())?;
    within(days).map(Some)
}

fn within(days: u64) -> Result<u32, ApiError> {
    u32::try_from(days)
        .ok()
        .filter(|_| (1..=DAYS).contains(&days))
        .ok_or_else(invalid_days)
}

fn invalid_days() -> ApiError {
    let message = format!("days must be a whole number from 1 to {DAYS}");
    ApiError::new(Code::InvalidDays, message)
}

#[cfg(test)]
mod tests;
