//! What a derived schema cannot say: rules between the fields of a body, and paths that lead to the same call.
//!
//! They belong into the document. Clients and test programs are made from it, and what it allows has to be accepted, so a
//! program that makes up requests (`schemathesis`) is held against the node by it. Each rule stands beside the
//! schema of its fields (`allOf`) and is spelled as the alternatives that there are (`anyOf`).

use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AllOfBuilder, AnyOf, AnyOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Required, Schema};
use utoipa::{Modify, ToSchema};

use crate::http::wire::{Credentials, Ed25519Wallet, Secp256k1Wallet};
use crate::shares::CurveType;

/// The rules and the paths, added to what was derived.
pub(super) struct Rules;

/// Second paths of calls, the first behind them.
const ALIASES: [(&str, &str); 2] = [
    ("/pg_dump/v1", "/pg_dump/v1/backup"),
    ("/commit-reveal/v2/commit", "/keyshare/v2/commit"),
];

/// The call whose body may be left out. It may not be `null`, which is what an optional type would say.
const WITHOUT_BODY: &str = "/pg_dump/v1/get_backup_history";

/// Bodies of the first generation, which name a curve and a key.
const OF_ONE_CURVE: [&str; 3] = ["RegisterV1", "GetV1", "CheckV1"];

impl Modify for Rules {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        for name in OF_ONE_CURVE {
            add(components, name, key_of_curve());
        }
        let key = |curve| RefOr::from(hex(curve));
        add(components, "KeysByCurve", at_least_one(key));
        let wallet = |curve| RefOr::Ref(Ref::from_schema_name(wallet_name(curve)));
        add(components, "WalletsByCurve", at_least_one(wallet));
        add(components, &Credentials::name(), both_or_neither());
        if let Some(body) = body_of(document, WITHOUT_BODY) {
            body.required = Some(Required::False);
        }
        for (alias, path) in ALIASES {
            add_alias(document, alias, path);
        }
    }
}

/// Has the schema `name` keep `rule` too.
fn add(components: &mut Components, name: &str, rule: AnyOf) {
    if let Some(schema) = components.schemas.get_mut(name) {
        let fields = std::mem::replace(schema, RefOr::T(Schema::default()));
        let both = AllOfBuilder::new().item(fields).item(Schema::from(rule));
        *schema = both.into();
    }
}

/// A public key has the length of the curve that is named; of secp256k1 when none is.
fn key_of_curve() -> AnyOf {
    let of_curve = |curve: CurveType, also_absent: Option<()>| {
        let mut values = vec![serde_json::Value::from(curve.as_str())];
        values.extend(also_absent.map(|()| serde_json::Value::Null));
        let types = also_absent.map_or_else(
            || SchemaType::from(Type::String),
            |()| SchemaType::from_iter([Type::String, Type::Null]),
        );
        let name = ObjectBuilder::new()
            .schema_type(types)
            .enum_values(Some(values));
        ObjectBuilder::new()
            .property("curve_type", name)
            .property("public_key", hex(curve))
    };
    AnyOfBuilder::new()
        .item(of_curve(CurveType::Secp256k1, Some(())))
        .item(of_curve(CurveType::Ed25519, None).required("curve_type"))
        .build()
}

/// A value for one of the curves, if not for both. One that is `null` is none.
fn at_least_one(value: impl Fn(CurveType) -> RefOr<Schema>) -> AnyOf {
    let of_curve = |curve: CurveType| {
        ObjectBuilder::new()
            .property(curve.as_str(), value(curve))
            .required(curve.as_str())
    };
    AnyOfBuilder::new()
        .item(of_curve(CurveType::Secp256k1))
        .item(of_curve(CurveType::Ed25519))
        .build()
}

/// A call belongs to a session by both fields.
fn both_or_neither() -> AnyOf {
    let fields = ["cr_session_id", "cr_signature"];
    let both = |kind: Type| {
        fields
            .into_iter()
            .fold(ObjectBuilder::new(), |object, field| {
                object.property(field, ObjectBuilder::new().schema_type(kind.clone()))
            })
    };
    let given = fields
        .into_iter()
        .fold(both(Type::String), ObjectBuilder::required);
    AnyOfBuilder::new()
        .item(both(Type::Null))
        .item(given)
        .build()
}

/// The hex text of a public key.
fn hex(curve: CurveType) -> ObjectBuilder {
    let pattern = format!("^[0-9a-fA-F]{{{}}}$", curve.public_key_length() * 2);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
}

fn wallet_name(curve: CurveType) -> std::borrow::Cow<'static, str> {
    match curve {
        CurveType::Secp256k1 => Secp256k1Wallet::name(),
        CurveType::Ed25519 => Ed25519Wallet::name(),
    }
}

fn body_of<'a>(document: &'a mut OpenApi, path: &str) -> Option<&'a mut RequestBody> {
    let call = document.paths.paths.get_mut(path)?.post.as_mut()?;
    match call.request_body.as_mut()? {
        RefOr::T(body) => Some(body),
        RefOr::Ref(_) => None,
    }
}

fn add_alias(document: &mut OpenApi, alias: &str, path: &str) {
    let paths = &mut document.paths.paths;
    let call = paths.get(path).and_then(|item| item.post.clone());
    if let Some(mut call) = call {
        // An id names one operation.
        call.operation_id = call.operation_id.map(|id| format!("{id}_too"));
        paths.entry(alias.to_owned()).or_default().post = Some(call);
    }
}
