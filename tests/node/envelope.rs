//! Every answer is JSON in the envelope, whatever was asked (api.md, "Envelope").

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Answer, Node, Setup, agent, get_body, public_key, register_body, share, token,
};
use crate::wire::{Wire, post_bytes};

const POSTS: [&str; 12] = [
    "/keyshare/v1",
    "/keyshare/v1/register",
    "/keyshare/v1/check",
    "/keyshare/v1/reshare",
    "/keyshare/v2",
    "/keyshare/v2/register",
    "/keyshare/v2/register/ed25519",
    "/keyshare/v2/check",
    "/keyshare/v2/reshare",
    "/keyshare/v2/reshare/register",
    "/keyshare/v2/commit",
    "/commit-reveal/v2/commit",
];
const GETS: [&str; 4] = ["/", "/status", "/api_docs", "/api_docs/openapi.json"];

/// Asserts a refusal whose code is `INVALID_REQUEST`, as those of HTTP itself are, and that no text of the answer
/// betrays the machinery.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert!(
        answer
            .header("content-type")
            .starts_with("application/json"),
        "{answer:?}"
    );
    for word in [
        "<html", "panicked", "serde", "SQL", "sqlite", "src/", "hyper", "warp",
    ] {
        assert!(!answer.text.contains(word), "{answer:?}");
    }
    answer.refused(status, "INVALID_REQUEST")
}

fn send(node: &Node, bytes: impl AsRef<[u8]>) -> Answer {
    Wire::to(node).send(bytes).answer()
}

#[test]
fn paths_and_methods() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for path in [
        "/nowhere",
        "/keyshare",
        "/keyshare/",
        "/keyshare/v3",
        "/keyshare/v2/get",
        "/keyshare/v2/register/secp256k1",
        "/keyshare/v1/register/ed25519",
        "/status/x",
        "/STATUS",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/api_docs/../status",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\n\r\n");
            let answer = send(&node, request);
            assert!(
                [404, 405].contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
            refused(&answer, answer.status);
        }
    }
    for path in POSTS {
        for method in ["GET", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            for slash in ["", "/", "?a=b"] {
                let answer = send(
                    &node,
                    format!("{method} {path}{slash} HTTP/1.1\r\nhost: node\r\n\r\n"),
                );
                refused(&answer, 405);
                assert!(answer.header("allow").contains("POST"), "{answer:?}");
            }
        }
    }
    for path in GETS {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\n\r\n");
            let answer = send(&node, request);
            refused(&answer, 405);
            assert!(answer.header("allow").contains("GET"), "{answer:?}");
        }
    }
    let connect = "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n";
    refused(&send(&node, connect), 400);
    refused(&send(&node, "GET * HTTP/1.1\r\nhost: node\r\n\r\n"), 404);
    let absolute = "GET http://elsewhere/ HTTP/1.1\r\nhost: elsewhere\r\n\r\n";
    assert_eq!(send(&node, absolute).text, "Ok");
    assert!(!node.logged().contains("panicked"), "{}", node.logged());
}

#[test]
fn every_path_answers_with_and_without_a_trailing_slash() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for path in GETS.into_iter().filter(|path| *path != "/") {
        let (one, other) = (node.get(path), node.get(&format!("{path}/")));
        assert_eq!((one.status, one.text), (200, other.text), "{path}");
    }
    for path in POSTS {
        // An empty object is refused by the call itself: the path was found.
        let one = node.post(path, &token(1), &json!({"auth_type": "telegram"}));
        let other = node.post(
            &format!("{path}/"),
            &token(1),
            &json!({"auth_type": "telegram"}),
        );
        refused(&one, 400);
        assert_eq!(one.text, other.text, "{path}");
    }
    let v2 = register_body(1);
    node.post("/keyshare/v2/register/", &token(1), &v2).data();
    let got = node
        .post("/keyshare/v2/?x=1", &token(1), &get_body(1))
        .data();
    assert_eq!(got["ed25519"]["share"], share("ed25519", 1));
}

#[test]
fn bodies_that_are_not_json() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let secret = share("secp256k1", 1);
    let deep = "[".repeat(50_000);
    let nested = format!("{{\"wallets\":{}", "{\"a\":".repeat(19_000));
    let post = |path: &str, media_type: &str, body: &[u8]| {
        let mut request = agent()
            .post(format!("{}{path}", node.url))
            .header("authorization", format!("Bearer {}", token(1)));
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        Answer::from(request.send(body).unwrap())
    };
    for path in POSTS {
        for body in [
            "",
            " ",
            "{",
            "nonsense",
            "\"text\"",
            "null",
            "7",
            "[]",
            "[{}]",
            "{} {}",
            "{\"share\": }",
            "{'share': 1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"auth_type\": \"\\ud800\"}",
            &deep,
            &nested,
            &format!(
                "{{\"public_key\":\"{}\",\"share\":\"{secret}\" \"x\"",
                public_key("secp256k1", 1)
            ),
            &secret,
            &format!("\"{secret}\""),
        ] {
            let answer = post(path, "application/json", body.as_bytes());
            refused(&answer, 400);
            assert!(!answer.text.contains(&secret), "{answer:?}");
        }
        refused(
            &post(path, "application/json", b"{\"auth_type\":\"\xff\xfe\"}"),
            400,
        );
        for media_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application",
        ] {
            refused(&post(path, media_type, b"{}"), 415);
        }
    }
    // Parameters and case do not matter, and what does not say what it is is taken for JSON.
    let body = register_body(1).to_string();
    for media_type in ["application/json; charset=utf-8", "Application/JSON", ""] {
        let answer = post("/keyshare/v2/register", media_type, body.as_bytes());
        assert!([200, 409].contains(&answer.status), "{answer:?}");
    }
    // The node lives.
    assert_eq!(node.get("/").text, "Ok");
}

#[test]
fn bodies_that_are_too_large() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let sized = |bytes: usize| {
        let mut body = register_body(1);
        body["padding"] = json!("");
        let empty = body.to_string().len();
        body["padding"] = json!("x".repeat(bytes - empty));
        let request = post_bytes("/keyshare/v2/register", &token(1), &body);
        assert!(body.to_string().len() == bytes);
        request
    };
    let mut wire = Wire::to(&node);
    wire.send(sized(100_000)).answer().data();
    for bytes in [110_000, 500_000] {
        refused(&wire.send(sized(bytes)).answer(), 413);
        // The excess was read: the connection goes on.
        wire.send("GET / HTTP/1.1\r\nhost: node\r\n\r\n");
        assert_eq!(wire.answer().text, "Ok");
    }
    refused(&send(&node, sized(5_000_000)), 413);
    refused(
        &send(
            &node,
            "POST /keyshare/v2 HTTP/1.1\r\nhost: node\r\ncontent-length: 99999999999\r\n\r\n",
        ),
        413,
    );
    // Without an announced length.
    let mut wire = Wire::to(&node);
    wire.send("POST /keyshare/v2 HTTP/1.1\r\nhost: node\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("ffff\r\n{}\r\n", "x".repeat(0xffff));
    for _ in 0..40 {
        wire.send(&chunk);
    }
    refused(&wire.answer(), 413);
    // Whatever the path and the method.
    let lost =
        String::from_utf8(sized(200_000))
            .unwrap()
            .replacen("/keyshare/v2/register", "/nowhere", 1);
    refused(&send(&node, lost), 413);
}

#[test]
fn bytes_that_are_not_http() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for bytes in [
        b"nonsense\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello to a plain port\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: \x00\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: node\r\n\r\n",
        b"POST /keyshare/v2 HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST /keyshare/v2 HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /keyshare/v2 HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let mut wire = Wire::to(&node);
        let answer = wire.send(bytes).answer();
        refused(&answer, 400);
        assert!(wire.rest().is_empty());
    }
    // Bad bytes after a good request on one connection.
    let mut wire = Wire::to(&node);
    wire.send("GET / HTTP/1.1\r\nhost: node\r\n\r\n");
    assert_eq!(wire.answer().text, "Ok");
    refused(&wire.send("\0\0\0\r\n\r\n").answer(), 400);
    // A body that breaks off in the middle of a chunk.
    let chunk =
        "POST /keyshare/v2 HTTP/1.1\r\nhost: node\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    refused(&send(&node, chunk), 400);
    // HTTP/2 without TLS is not spoken: closed, not answered with something else.
    let mut wire = Wire::to(&node);
    let rest = wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").rest();
    assert!(!String::from_utf8_lossy(&rest).contains("200"));
    assert_eq!(node.get("/").text, "Ok");
}

#[test]
fn headers_that_are_too_large() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let with = |headers: String| format!("GET / HTTP/1.1\r\nhost: node\r\n{headers}\r\n");
    assert_eq!(
        send(&node, with(format!("x: {}\r\n", "x".repeat(8_000)))).text,
        "Ok"
    );
    for size in [20_000, 40_000, 200_000] {
        refused(
            &send(&node, with(format!("x: {}\r\n", "x".repeat(size)))),
            431,
        );
        let target = format!("GET /{} HTTP/1.1\r\nhost: node\r\n\r\n", "x".repeat(size));
        let answer = send(&node, target);
        assert!([414, 431].contains(&answer.status), "{answer:?}");
        refused(&answer, answer.status);
    }
    refused(&send(&node, with("x: y\r\n".repeat(150))), 431);
}

/// The one test that waits: for the 15 seconds that a client has for a body and the 30 for headers.
#[test]
fn clients_that_are_slow() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let begun = Instant::now();
    let open = |bytes: &str| {
        let mut wire = Wire::to(&node);
        wire.send(bytes);
        wire
    };
    let post = "POST /keyshare/v2 HTTP/1.1\r\nhost: node\r\ncontent-length: 100\r\n\r\n";
    let mut bodies = [open(post), open(&format!("{post}{{\"auth_type\":"))];
    let mut headers = [
        open(""),
        open("GET / HT"),
        open("GET / HTTP/1.1\r\nhost: node\r\n"),
    ];
    let mut idle = open("GET / HTTP/1.1\r\nhost: node\r\n\r\n");
    assert_eq!(idle.answer().text, "Ok");
    for wire in &mut bodies {
        refused(&wire.answer(), 408);
        assert!(wire.rest().is_empty());
    }
    // Others do not wait for them.
    assert_eq!(node.get("/").text, "Ok");
    assert!(begun.elapsed() < Duration::from_secs(29), "{begun:?}");
    for wire in headers.iter_mut().chain([&mut idle]) {
        assert!(wire.rest().is_empty());
    }
}
