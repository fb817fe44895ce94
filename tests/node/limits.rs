//! Every sentence of api.md's "Limits and headers" that is about answers.

use serde_json::json;

use crate::support::{Answer, Node, Setup, agent, get_body, register_body, token, wait_for};
use crate::wire::Wire;

/// A node that allows so many requests in so many seconds.
fn limited(home: &tempfile::TempDir, requests: u32, seconds: u32) -> Setup {
    Setup::new(home.path())
        .env("KSNODE_SERVER__RATE_LIMIT", &requests.to_string())
        .env("KSNODE_SERVER__RATE_WINDOW_SECONDS", &seconds.to_string())
}

/// `GET /` for somebody behind a proxy.
fn get_for(node: &Node, forwarded: &str) -> Answer {
    let request = agent()
        .get(format!("{}/", node.url))
        .header("x-forwarded-for", forwarded);
    Answer::from(request.call().unwrap())
}

fn send(node: &Node, bytes: impl AsRef<[u8]>) -> Answer {
    Wire::to(node).send(bytes).answer()
}

#[track_caller]
fn limited_out(answer: &Answer, window: u32) {
    let message = answer.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(
        message,
        format!("Too many requests, please try again after {window} seconds")
    );
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=window).contains(&wait), "{answer:?}");
    assert_eq!(answer.header("ratelimit-remaining"), "0");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[test]
fn a_hundred_requests_a_minute_whatever_they_are() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 100, 60).start();
    let mut left = 100;
    let mut counted = |answer: &Answer| {
        left -= 1;
        assert_eq!(answer.header("ratelimit-policy"), "100;w=60", "{answer:?}");
        assert_eq!(answer.header("ratelimit-limit"), "100");
        assert_eq!(
            answer.header("ratelimit-remaining"),
            left.to_string(),
            "{answer:?}"
        );
        let reset: u32 = answer.header("ratelimit-reset").parse().unwrap();
        assert!((1..=60).contains(&reset), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "");
    };
    // Over all routes, good or bad, HTTP or not.
    counted(&node.get("/"));
    counted(&node.get("/status"));
    counted(&node.get("/api_docs"));
    counted(&node.get("/nowhere"));
    counted(&node.post("/keyshare/v2/register", &token(1), &register_body(1)));
    counted(&node.post("/keyshare/v2", "nonsense", &get_body(1)));
    counted(&node.post_open("/keyshare/v1/check", &json!({})));
    counted(&Answer::from(
        agent()
            .delete(format!("{}/status", node.url))
            .call()
            .unwrap(),
    ));
    counted(&send(
        &node,
        "POST /keyshare/v2 HTTP/1.1\r\nhost: n\r\ncontent-length: 1\r\n\r\n{",
    ));
    counted(&send(
        &node,
        "POST /keyshare/v2 HTTP/1.1\r\nhost: n\r\ncontent-length: 9999999\r\n\r\n",
    ));
    counted(&send(
        &node,
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000)),
    ));
    counted(&send(
        &node,
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000)),
    ));
    counted(&send(&node, "nonsense\r\n\r\n"));
    counted(&send(&node, "CONNECT example.com:443 HTTP/1.1\r\n\r\n"));
    // Preflights do not count.
    for _ in 0..10 {
        let preflight = agent().options(format!("{}/keyshare/v2", node.url)).call();
        assert_eq!(preflight.unwrap().status(), 204);
    }
    let mut wire = Wire::to(&node);
    for _ in 0..100 - 14 {
        counted(&wire.send("GET / HTTP/1.1\r\nhost: n\r\n\r\n").answer());
    }
    for _ in 0..3 {
        limited_out(&node.get("/"), 60);
        limited_out(&node.get("/nowhere"), 60);
        limited_out(&node.post("/keyshare/v2", &token(1), &get_body(1)), 60);
        limited_out(&send(&node, "nonsense\r\n\r\n"), 60);
    }
    // The preflight is answered all the same, and the node's own listener knows no limit.
    let preflight = agent().options(format!("{}/keyshare/v2", node.url)).call();
    assert_eq!(preflight.unwrap().status(), 204);
    assert_eq!(node.get_ops("/healthz").status, 200);
    // X-Forwarded-For of a stranger changes nothing.
    limited_out(&get_for(&node, "192.0.2.1"), 60);
}

#[test]
fn a_window_ends() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 2, 1).start();
    for _ in 0..2 {
        wait_for("a new window", || {
            let answer = node.get("/");
            (answer.header("ratelimit-remaining") == "1").then(|| {
                assert_eq!(
                    (answer.status, answer.header("ratelimit-policy")),
                    (200, "2;w=1")
                );
            })
        });
        let refused = wait_for("the limit", || {
            Some(node.get("/")).filter(|answer| answer.status == 429)
        });
        limited_out(&refused, 1);
    }
}

#[test]
fn nothing_is_limited_when_it_is_off() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 0, 60).start();
    let mut wire = Wire::to(&node);
    for _ in 0..300 {
        let answer = wire.send("GET / HTTP/1.1\r\nhost: n\r\n\r\n").answer();
        assert_eq!(
            (answer.status, answer.header("ratelimit-policy")),
            (200, "")
        );
    }
}

#[test]
fn whose_request_it_is() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 2, 3600)
        .env("KSNODE_SERVER__TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")
        .env(
            "KSNODE_SERVER__RATE_LIMIT_EXEMPT",
            "192.0.2.0/24,2001:db8:e::/48",
        )
        .start();
    // Each row is one client under several spellings and routes: allowed twice, then refused.
    for client in [
        ["198.51.100.1", "::ffff:198.51.100.1", "198.51.100.1"],
        // What a client sent before the proxy is no use to it.
        [
            "6.6.6.6, 198.51.100.2",
            "7.7.7.7,198.51.100.2",
            "junk, 198.51.100.2",
        ],
        // Several proxies.
        [
            "198.51.100.3, 10.1.2.3",
            "198.51.100.3, 10.9.9.9, 127.0.0.1",
            "198.51.100.3",
        ],
        // An IPv6 client counts by its /64.
        [
            "2001:db8:1:2::1",
            "2001:db8:1:2:ffff::",
            "2001:db8:1:2:3:4:5:6",
        ],
        ["2001:db8:1:3::1", "2001:DB8:1:3::1", "2001:db8:1:3::2"],
        // What cannot be read is the proxy's own.
        ["junk", "", "1.2.3"],
    ] {
        assert_eq!(
            get_for(&node, client[0]).header("ratelimit-remaining"),
            "1",
            "{client:?}"
        );
        assert_eq!(
            get_for(&node, client[1]).header("ratelimit-remaining"),
            "0",
            "{client:?}"
        );
        limited_out(&get_for(&node, client[2]), 3600);
    }
    for exempt in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:e:1::9"] {
        for _ in 0..5 {
            assert_eq!(get_for(&node, exempt).text, "Ok");
        }
    }
}

#[test]
fn the_limits_are_those_of_the_network_by_default() {
    let home = tempfile::tempdir().unwrap();
    let shown = crate::support::ksnode(home.path())
        .args(["config", "show", "--json"])
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let value = |key: &str| {
        let values = shown["values"].as_array().unwrap().iter();
        values.clone().find(|value| value["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("server.rate_limit"), "100");
    assert_eq!(value("server.admin_rate_limit"), "5");
    assert_eq!(value("server.rate_window_seconds"), "60");
    assert_eq!(value("commit_reveal.mode"), "optional");
}

#[test]
fn any_page_may_call() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 100, 60).start();
    for path in [
        "/keyshare/v2",
        "/keyshare/v1/check/",
        "/status",
        "/",
        "/nowhere",
    ] {
        let mut wire = Wire::to(&node);
        wire.send(format!(
            "OPTIONS {path} HTTP/1.1\r\nhost: node\r\norigin: https://wallet.example\r\n\
             access-control-request-method: POST\r\n\
             access-control-request-headers: authorization,content-type,x-own\r\n\r\n"
        ));
        let head = wire.head();
        assert_eq!(head.status, 204, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            (
                "access-control-allow-headers",
                "authorization,content-type,x-own",
            ),
            (
                "access-control-allow-methods",
                "GET,HEAD,PUT,PATCH,POST,DELETE",
            ),
            ("vary", "Access-Control-Request-Headers"),
        ] {
            assert_eq!(head.header(name), value, "{path}");
        }
        let max_age: u32 = head.header("access-control-max-age").parse().unwrap();
        assert!(max_age > 0);
        // Empty: the next answer follows at once.
        wire.send("GET / HTTP/1.1\r\nhost: node\r\n\r\n");
        assert_eq!(wire.answer().text, "Ok");
    }
    for answer in [
        node.get("/"),
        node.get("/nowhere"),
        node.post("/keyshare/v2/register", &token(1), &register_body(1)),
        node.post("/keyshare/v2", "nonsense", &get_body(1)),
        send(&node, "nonsense\r\n\r\n"),
    ] {
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "*",
            "{answer:?}"
        );
        let exposed = answer
            .header("access-control-expose-headers")
            .to_lowercase();
        for name in ["policy", "limit", "remaining", "reset"] {
            assert!(exposed.contains(&format!("ratelimit-{name}")), "{exposed}");
        }
    }
}

#[test]
fn every_answer_has_its_security_headers_and_tells_no_version() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(&home, 12, 3600).start();
    let paths = [
        "/",
        "/status",
        "/api_docs",
        "/api_docs/openapi.json",
        "/nowhere",
    ];
    let mut answers: Vec<Answer> = paths.iter().map(|path| node.get(path)).collect();
    answers.push(node.post("/keyshare/v2/register", &token(1), &register_body(1)));
    answers.push(node.post("/keyshare/v2", &token(1), &get_body(1)));
    answers.push(node.post("/keyshare/v2", "nonsense", &get_body(1)));
    answers.push(send(&node, "nonsense\r\n\r\n"));
    answers.push(send(
        &node,
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000)),
    ));
    answers.push(send(
        &node,
        "POST /keyshare/v2 HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
    ));
    answers.push(Wire::to(&node).send("OPTIONS / HTTP/1.1\r\n\r\n").head());
    answers.push(node.get("/"));
    let last = node.get("/");
    limited_out(&last, 3600);
    answers.push(last);
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{answer:?}");
        assert!(policy.contains("frame-ancestors 'none'"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert!(!answer.header("referrer-policy").is_empty());
        // Without TLS, HSTS must not be sent (RFC 6797, section 7.2).
        for absent in ["server", "x-powered-by", "strict-transport-security"] {
            assert_eq!(answer.header(absent), "", "{answer:?}");
        }
    }
}
