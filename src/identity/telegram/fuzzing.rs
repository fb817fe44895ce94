//! Doors for fuzzers ([`crate::fuzzing`]): Telegram logins.

use super::login::Login;

/// A login, and the text that Telegram would have signed: no line of it may hold two fields.
pub fn telegram(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(login) = Login::parse(token) else {
        return;
    };
    let mut text = String::new();
    let _ = login.write_data_check_string(&mut text);
    assert!(text.lines().all(|line| line.contains('=')), "{text:?}");
    let _ = login.hash().is_ok();
    let _ = login.auth_date().is_ok();
    let _ = login.id().is_ok();
}
