use std::path::PathBuf;

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::backup::{BackupError, Record, RestoreReport, Status, Summary};
use crate::clock::Timestamp;
use crate::store::StoreError;

#[test]
fn a_password_is_a_text_that_is_not_empty() {
    let given = |body: &str| {
        let password = password(body.as_bytes()).map_err(|error| error.code);
        password.map(|password| password.map(|password| password.to_string()))
    };
    let with_more = r#"{"dump_path":{},"password":"\u0061b ","days":[[]]}"#;
    assert_eq!(given(with_more), Ok(Some("ab ".to_owned())));
    for none in [
        "",
        "{}",
        r#"{"Password":"a"}"#,
        r#"{"password":null}"#,
        r#"{"password":""}"#,
        r#"{"password":7}"#,
        r#"{"password":-7.5e3}"#,
        r#"{"password":true}"#,
        r#"{"password":["a"]}"#,
        r#"{"password":{"is":"a"}}"#,
    ] {
        assert_eq!(given(none), Ok(None), "{none}");
    }
    for malformed in ["{", "null", "[]", r#"{"password":"a","password":"b"}"#] {
        assert_eq!(given(malformed), Err(Code::InvalidRequest), "{malformed}");
    }
}

#[tokio::test]
async fn only_the_configured_password_is_right() {
    let refused = async |configured: Option<&str>, given: &str| {
        let administrator = Administrator::configured(configured);
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let given = Zeroizing::new(given.to_owned());
        let refusal = check(&administrator, given, address).await;
        let refusal = refusal.err();
        refusal.map(|error| (error.status, error.code, error.message.into_owned()))
    };
    assert_eq!(refused(Some("a b"), "a b").await, None);
    let wrong = (
        StatusCode::UNAUTHORIZED,
        Code::Unauthorized,
        "Invalid admin password".to_owned(),
    );
    for given in ["a", "a b ", "A b", "a bc", &"a b".repeat(1000)] {
        let answer = refused(Some("a b"), given).await;
        assert_eq!(answer, Some(wrong.clone()), "{given}");
    }
    assert_eq!(refused(None, "a b").await, Some(wrong));
}

#[test]
fn days_are_whole_numbers_from_1_to_1000() {
    let body = |days: &str| {
        let body = format!(r#"{{"days":{days},"more":1}}"#);
        days_of_body(body.as_bytes()).map_err(|error| error.code)
    };
    let query = |days: &str| {
        let query = format!("more=1&days={days}");
        days_of_query(&query).map_err(|error| error.code)
    };
    for good in ["1", "7", "1000"] {
        assert_eq!(body(good), Ok(good.parse().ok()));
        assert_eq!(query(good), Ok(good.parse().ok()));
    }
    // JSON has one kind of numbers.
    for (good, days) in [("7.0", 7), ("1e2", 100)] {
        assert_eq!(body(good), Ok(Some(days)));
        assert_eq!(query(good), Err(Code::InvalidDays));
    }
    let bad = [
        "0",
        "-1",
        "1001",
        "18446744073709551616",
        "1.5",
        "-0.0",
        "1e300",
        "\"7\"",
        "true",
        "[7]",
    ];
    for bad in bad {
        assert_eq!(body(bad), Err(Code::InvalidDays), "{bad}");
        assert_eq!(query(bad), Err(Code::InvalidDays), "{bad}");
    }
    for bad in ["", "+7", "%2B7", " 7", "7x", "week", "7&days=7", "٧"] {
        assert_eq!(query(bad), Err(Code::InvalidDays), "{bad}");
    }
    assert_eq!(query("%37"), Ok(Some(7)));
    for all in [&b""[..], b"{}", br#"{"days":null}"#] {
        assert_eq!(days_of_body(all).unwrap(), None);
    }
    for all in ["", "day=7", "Days=7"] {
        assert_eq!(days_of_query(all).unwrap(), None);
    }
}

fn record(status: Status) -> Record {
    let begun = Timestamp::from_millis(0);
    Record {
        status,
        updated_at: Timestamp::from_millis(1),
        ..Record::begin(Uuid::nil(), Kind::Manual, "/b/one.db".into(), begun)
    }
}

#[test]
fn the_history_has_what_is_known() {
    let item = |record| serde_json::to_value(BackupItem::from(record)).unwrap();
    assert_eq!(
        item(Record {
            bytes: Some(4096),
            duration: Some(std::time::Duration::from_micros(1_234_567)),
            ..record(Status::Completed)
        }),
        json!({
            "dump_id": Uuid::nil(),
            "status": "COMPLETED",
            "dump_path": "/b/one.db",
            "meta": {"dump_duration": 1.235, "dump_size": 4096},
            "created_at": "1970-01-01T00:00:00.000Z",
            "updated_at": "1970-01-01T00:00:00.001Z",
        })
    );
    let failed = item(Record {
        error: Some("no room".into()),
        ..record(Status::Failed)
    });
    let error = failed["meta"]["error"].as_str().unwrap();
    assert!(
        error.contains("ksnode backup list") && !error.contains("no room"),
        "{failed}"
    );
    for (status, name) in [
        (Status::InProgress, "IN_PROGRESS"),
        (Status::Failed, "FAILED"),
        (Status::Deleted, "DELETED"),
    ] {
        let item = item(record(status));
        assert_eq!((&item["status"], &item["meta"]), (&json!(name), &json!({})));
    }
}

#[test]
fn answers_are_spelt_as_each_generation_does() {
    let made = Record {
        bytes: Some(4096),
        duration: Some(std::time::Duration::from_millis(1500)),
        ..record(Status::Completed)
    };
    assert_eq!(
        serde_json::to_value(BackupData::from(made)).unwrap(),
        json!({"dumpId": Uuid::nil(), "dumpPath": "/b/one.db", "dumpSize": 4096, "dumpDuration": 1.5})
    );
    let summary = |users, shares| Summary {
        users,
        shares,
        newest: Some(Timestamp::from_millis(1)),
    };
    let report = RestoreReport {
        path: "/b/one.db".into(),
        before: Some(summary(3, 6)),
        after: summary(2, 4),
        taken_at: Some(Timestamp::from_millis(2)),
        safety: Some("/b/safety.db".into()),
        safety_error: None,
        timeline: Some(Uuid::nil()),
        migrated_from: None,
        rewrapped: false,
        public_key_before: None,
        public_key: [1; 32],
    };
    let restored = RestoreData {
        dump_path: "one.db".into(),
        changes: report.into(),
    };
    assert_eq!(
        serde_json::to_value(restored).unwrap(),
        json!({"dump_path": "one.db", "changes": {
            "users_before": 3, "users_after": 2, "shares_before": 6, "shares_after": 4,
            "last_change_before": "1970-01-01T00:00:00.001Z",
            "last_change_after": "1970-01-01T00:00:00.001Z",
            "taken_at": "1970-01-01T00:00:00.002Z",
            "safety_backup": "/b/safety.db", "safety_backup_error": null,
        }})
    );
}

const ONE: &str = "/b/one.db";

fn denied(path: &str) -> BackupError {
    BackupError::io(path, std::io::ErrorKind::PermissionDenied.into())
}

/// Asserts what a client is told of a restore that failed so, and that it is nothing of the inside.
#[track_caller]
fn refused(error: BackupError, code: Code, text: &str) {
    let refusal = ApiError::restore_failed(error, Some(&PathBuf::from(ONE)));
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(refusal.message.contains(text), "{refusal:?}");
    for hidden in ["/b", "/d", "/etc", "SELECT"] {
        assert!(!refusal.message.contains(hidden), "{refusal:?}");
    }
}

#[test]
fn a_path_that_leads_to_no_backup_has_its_code() {
    let outside = BackupError::Outside {
        path: "/etc/passwd".into(),
        folder: "/b".into(),
    };
    let symlink = BackupError::Symlink { path: ONE.into() };
    let not_found = BackupError::NotFound { path: ONE.into() };
    let not_a_file = BackupError::NotAFile { path: ONE.into() };
    for (error, code, text) in [
        (outside, Code::InvalidDumpPath, "outside the backup folder"),
        (symlink, Code::InvalidDumpPath, "one.db is a symbolic link"),
        (
            not_found,
            Code::DumpFileNotFound,
            "one.db: there is no such",
        ),
        (not_a_file, Code::InvalidDumpFile, "one.db is not a file"),
        (
            denied(ONE),
            Code::DumpFileAccessError,
            "one.db: permission denied",
        ),
    ] {
        refused(error, code, text);
    }
    // While the file is looked for, whatever cannot be read is its own.
    let refusal = ApiError::restore_failed(denied("/b"), None);
    assert_eq!(refusal.code, Code::DumpFileAccessError);
}

#[test]
fn a_restore_that_fails_has_its_code_and_its_reason() {
    let path = || PathBuf::from(ONE);
    let secret = BackupError::OtherSecret {
        path: path(),
        secret: "/etc/ksnode/secret".into(),
    };
    let damaged = BackupError::Damaged {
        path: path(),
        what: "page 7".into(),
    };
    for (error, text) in [
        (denied("/d/new.db"), "new.db: permission denied"),
        (BackupError::Empty { path: path() }, "one.db is empty"),
        (damaged, "one.db is damaged: page 7"),
        (secret, "--secret-file"),
        (BackupError::Encrypted { path: path() }, "--age-identity"),
        (BackupError::Busy, "another backup"),
        (
            StoreError::Damaged("SELECT x".into()).into(),
            "its log says why",
        ),
        (StoreError::Closed.into(), "being replaced"),
    ] {
        refused(error, Code::PgRestoreFailed, text);
    }
}

#[test]
fn a_failed_backup_says_what_to_do_and_nothing_of_the_inside() {
    let full = BackupError::io("/b/one.db.partial", std::io::ErrorKind::StorageFull.into());
    for (error, text) in [
        (full, "one.db.partial: no storage space"),
        (BackupError::Busy, "wait until it is done"),
        (
            BackupError::Recipients("not a key".into()),
            "backup.age_recipients: not a key",
        ),
        (
            StoreError::Damaged("SELECT x".into()).into(),
            "its log says why",
        ),
    ] {
        let refusal = ApiError::dump_failed(error);
        assert_eq!(
            (refusal.status, refusal.code),
            (StatusCode::INTERNAL_SERVER_ERROR, Code::PgDumpFailed)
        );
        assert!(refusal.message.contains(text), "{refusal:?}");
        assert!(!refusal.message.contains("SELECT") && !refusal.message.contains("/b"));
    }
}

#[test]
fn data_that_is_being_replaced_is_worth_another_try() {
    for error in [StoreError::Paused, StoreError::Closed] {
        let refusal = ApiError::from(error.clone());
        let answer = super::super::answer::refusal(&refusal);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        let backup = ApiError::dump_failed(error.into());
        for message in [refusal.message, backup.message] {
            assert!(message.contains("try again in a moment"), "{message}");
        }
    }
}
