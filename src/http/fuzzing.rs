//! Doors for fuzzers ([`crate::fuzzing`]): what is read of a request.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use serde::de::DeserializeOwned;

use super::backups::{days_of_body, days_of_query, password};
use super::wire::{CheckV1, CheckV2, CommitBody, Credentials, GetV1, GetV2, RegisterV1};
use super::wire::{RegisterV2, ReshareV2, WalletBody, curve, public_key};
use super::{body, caller, client_address, commit, v1};
use crate::shares::CurveType;

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    body::parse(bytes).ok()
}

/// Bodies of the first generation.
pub fn bodies_v1(bytes: &[u8]) {
    if let Some(request) = read::<RegisterV1>(bytes) {
        let _ = v1::typed(&request).is_ok();
    }
    for (name, key) in [
        read::<GetV1>(bytes).map(|request| (request.curve_type, request.public_key)),
        read::<CheckV1>(bytes).map(|request| (request.curve_type, request.public_key)),
    ]
    .into_iter()
    .flatten()
    {
        let _ = curve(name.as_deref())
            .and_then(|curve| public_key(curve, &key))
            .is_ok();
    }
    let _ = days_of_body(bytes).is_ok();
    let _ = password(bytes).is_ok();
}

/// Bodies of the second generation and of sessions.
pub fn bodies_v2(bytes: &[u8]) {
    let _ = read::<Credentials>(bytes).is_some();
    if let Some(request) = read::<RegisterV2>(bytes) {
        let _ = request
            .wallets
            .secp256k1
            .typed(CurveType::Secp256k1)
            .is_ok();
        let _ = request.wallets.ed25519.typed(CurveType::Ed25519).is_ok();
    }
    if let Some(request) = read::<ReshareV2>(bytes) {
        let _ = request.wallets.typed().is_ok();
    }
    if let Some(request) = read::<WalletBody>(bytes) {
        let _ = request.typed(CurveType::Ed25519).is_ok();
    }
    for wallets in [
        read::<GetV2>(bytes).map(|request| request.wallets),
        read::<CheckV2>(bytes).map(|request| request.wallets),
    ]
    .into_iter()
    .flatten()
    {
        let _ = wallets.typed().is_ok();
    }
    if let Some(request) = read::<CommitBody>(bytes) {
        let _ = commit::typed(&request).is_ok();
    }
}

/// What stands in the line of a request and in its headers: a query, bearer tokens, and the addresses of proxies.
pub fn heads(bytes: &[u8]) {
    let _ = days_of_query(&String::from_utf8_lossy(bytes)).is_ok();
    let headers = headers(bytes);
    for value in headers.values() {
        let _ = caller::bearer(value).is_some();
    }
    let local = [127, 0, 0, 1].into();
    let trusted: [IpNet; 2] = [
        IpNet::from(std::net::IpAddr::from([127, 0, 0, 1])),
        IpNet::from(std::net::IpAddr::from([10, 0, 0, 1])),
    ];
    let _ = client_address::client_address(local, &headers, &trusted);
    // Where nobody is trusted, a client can put there what it likes.
    assert_eq!(client_address::client_address(local, &headers, &[]), local);
}

/// Lines of `name: value`; others are left out.
pub(crate) fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            let _ = headers.try_append(name, value);
        }
    }
    headers
}
