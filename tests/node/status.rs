//! Every sentence of api.md's "Status and liveness" that is about answers.

use std::path::Path;

use serde_json::Value;

use crate::support::{Node, Setup, agent, register_body, token};
use crate::wire::Wire;

#[test]
fn status_has_exactly_its_fields() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let first = node.get("/status");
    assert_eq!(first.status, 200);
    assert!(first.header("content-type").starts_with("application/json"));
    let body = first.json();
    let mut names: Vec<&str> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "git_hash",
            "is_db_backup_checked",
            "is_db_connected",
            "ks_node_public_key",
            "latest_backup_time",
            "launch_time",
            "version"
        ]
    );
    assert_eq!(body["is_db_connected"], true);
    assert_eq!(body["is_db_backup_checked"], false);
    assert_eq!(body["latest_backup_time"], Value::Null);
    assert_eq!(body["version"], ksnode::VERSION);
    assert!(body["git_hash"].is_null() || body["git_hash"].is_string());
    let key = body["ks_node_public_key"].as_str().unwrap();
    assert_eq!(hex::encode(hex::decode(key).unwrap()), key);
    assert_eq!(key.len(), 64);
    // RFC 3339 in UTC with milliseconds and Z.
    let launched = body["launch_time"].as_str().unwrap();
    let shape: String = launched
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{launched}");

    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    assert_eq!(node.get("/status/").json(), body, "it does not change");
    assert!(node.stop().success());
    let again = Setup::new(home.path()).start().get("/status").json();
    assert_eq!(again["ks_node_public_key"], body["ks_node_public_key"]);
    assert!(again["launch_time"].as_str() > Some(launched));
}

#[test]
fn liveness_is_ok_and_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let answer = node.get("/");
    assert_eq!((answer.status, answer.text.as_str()), (200, "Ok"));
    assert!(answer.header("content-type").starts_with("text/plain"));
}

#[test]
fn head_works_where_get_does() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for path in [
        "/",
        "/status",
        "/status/",
        "/api_docs",
        "/api_docs/openapi.json",
    ] {
        let mut wire = Wire::to(&node);
        wire.send(format!("HEAD {path} HTTP/1.1\r\nhost: node\r\n\r\n"));
        let head = wire.head();
        let get = node.get(path);
        assert_eq!((head.status, get.status), (200, 200), "{path}");
        for name in ["content-type", "content-length", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        // No body came between it and the next answer on the connection.
        wire.send("GET / HTTP/1.1\r\nhost: node\r\n\r\n");
        assert_eq!(wire.answer().text, "Ok", "{path}");
    }
    // And only there.
    let mut wire = Wire::to(&node);
    wire.send("HEAD /keyshare/v2 HTTP/1.1\r\nhost: node\r\n\r\n");
    assert_eq!(wire.head().status, 405);
    wire.send("HEAD /nowhere HTTP/1.1\r\nhost: node\r\n\r\n");
    assert_eq!(wire.head().status, 404);
}

#[test]
fn the_openapi_document_is_the_golden_one() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let answer = node.get("/api_docs/openapi.json");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json")
    );
    let mut document = answer.json();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    document["info"]["version"] = "VERSION".into();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openapi.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    assert!(document == golden, "the served document differs");
    assert_eq!(node.get("/api_docs/openapi.json/").text, answer.text);
    // It describes what is served: no path of it is unknown.
    for (path, operations) in golden["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            assert_ne!(asked(&node, method, path), 404, "{method} {path}");
            assert_ne!(asked(&node, method, path), 405, "{method} {path}");
        }
    }
}

fn asked(node: &Node, method: &str, path: &str) -> u16 {
    let url = format!("{}{path}", node.url);
    let answer = match method {
        "get" => agent().get(url).call(),
        "head" => agent().head(url).call(),
        "post" => agent().post(url).send_json(Value::Null),
        other => panic!("{other}"),
    };
    answer.unwrap().status().as_u16()
}

#[test]
fn the_documentation_works_offline() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for path in ["/api_docs", "/api_docs/"] {
        let page = node.get(path);
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.text.contains("<base href=\"/api_docs/\">"));
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(
            !policy.contains("http") && !policy.contains('*'),
            "{policy}"
        );

        let mut links = links(&page.text);
        // The page's base, by which all others are read.
        links.retain(|link| link != "/api_docs/");
        assert!(links.len() >= 3, "{links:?}");
        for link in links {
            assert!(!link.contains("//"), "an outside address: {link}");
            let path = format!("/api_docs/{}", link.trim_start_matches("./"));
            if link.ends_with(".png") {
                assert_eq!(asked(&node, "head", &path), 200, "{link}");
                continue;
            }
            let file = node.get(&path);
            assert_eq!(file.status, 200, "{link}");
            if link.ends_with(".css") {
                assert!(!file.text.contains("url(http") && !file.text.contains("@import"));
            }
            if link.contains("initializer") {
                assert!(
                    file.text.contains("/api_docs/openapi.json"),
                    "{}",
                    file.text
                );
                assert!(!file.text.contains("://"), "{}", file.text);
            }
        }
    }
    node.get("/api_docs/absent.js")
        .refused(404, "INVALID_REQUEST");
}

/// What a page refers to.
fn links(page: &str) -> Vec<String> {
    ["src=\"", "href=\""]
        .into_iter()
        .flat_map(|attribute| page.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}
