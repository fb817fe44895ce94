use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::testing::{Answer, LocalServer};
use super::*;

const LIMIT: usize = 1024;

fn outbound() -> Outbound {
    Outbound::new(Timeouts::default()).unwrap()
}

fn impatient() -> Outbound {
    Outbound::new(Timeouts {
        connect: Duration::from_millis(200),
        total: Duration::from_millis(200),
    })
    .unwrap()
}

fn endpoint(server: &LocalServer, path: &str) -> Endpoint {
    server.url(path).parse().unwrap()
}

#[tokio::test]
async fn json_comes_back_and_the_bearer_goes_out() {
    let server = LocalServer::start().await;
    server.answer("/me", Answer::json(&json!({"id": "7"})));
    let got: Value = outbound()
        .get_json(&endpoint(&server, "/me"), Some("abc"), LIMIT)
        .await
        .unwrap();
    assert_eq!(got, json!({"id": "7"}));
    assert_eq!(server.last().headers["authorization"], "Bearer abc");
    assert_eq!(server.last().headers["accept"], "application/json");
}

#[tokio::test]
async fn posts_json_with_headers() {
    let server = LocalServer::start().await;
    server.answer("/report", Answer::status(204));
    let mut headers = HeaderMap::new();
    headers.insert("x-password", HeaderValue::from_static("p"));
    outbound()
        .post_json(&endpoint(&server, "/report"), headers, &json!({"n": 1}))
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["x-password"], "p");
    assert_eq!(seen.body, r#"{"n":1}"#);
}

#[tokio::test]
async fn a_status_that_is_no_success_is_told() {
    let server = LocalServer::start().await;
    server.answer("/me", Answer::status(503));
    let error = outbound()
        .get_bytes(&endpoint(&server, "/me"), None, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(&error, OutboundError::Status { status, .. } if status.as_u16() == 503));
    let error = outbound()
        .post_json(&endpoint(&server, "/me"), HeaderMap::new(), &json!({}))
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Status { .. }));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = LocalServer::start().await;
    server.answer("/me", Answer::Redirect(server.url("/elsewhere")));
    server.answer("/elsewhere", Answer::json(&json!({})));
    let error = outbound()
        .get_bytes(&endpoint(&server, "/me"), Some("abc"), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(&error, OutboundError::Status { status, .. } if status.as_u16() == 302));
    assert_eq!(server.hits("/elsewhere"), 0);
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_over_it_is_not() {
    let server = LocalServer::start().await;
    server.answer(
        "/at",
        Answer::Body(StatusCode::OK, vec![b'x'; LIMIT].into()),
    );
    server.answer(
        "/over",
        Answer::Body(StatusCode::OK, vec![b'x'; LIMIT + 1].into()),
    );
    let at = outbound()
        .get_bytes(&endpoint(&server, "/at"), None, LIMIT)
        .await;
    assert_eq!(at.unwrap().len(), LIMIT);
    let over = outbound()
        .get_bytes(&endpoint(&server, "/over"), None, LIMIT)
        .await;
    assert!(matches!(
        over.unwrap_err(),
        OutboundError::TooLarge { limit: LIMIT, .. }
    ));
}

/// A server that announces no length and sends for as long as it is read.
async fn endless(closed: Arc<AtomicBool>) -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let mut sent = stream
            .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
            .await;
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 4096]).await;
        }
        closed.store(true, Ordering::SeqCst);
    });
    endpoint.parse().unwrap()
}

#[tokio::test]
async fn a_body_of_unannounced_length_is_cut_off_at_the_limit() {
    let closed = Arc::new(AtomicBool::new(false));
    let endpoint = endless(Arc::clone(&closed)).await;
    let error = outbound()
        .get_bytes(&endpoint, None, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::TooLarge { .. }));
    while !closed.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = LocalServer::start().await;
    server.answer("/me", Answer::Never);
    let error = impatient()
        .get_bytes(&endpoint(&server, "/me"), None, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::TimedOut { .. }));
}

#[tokio::test]
async fn an_answer_that_is_late_but_in_time_is_taken() {
    let server = LocalServer::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let late = Answer::Gated(Arc::clone(&gate), Box::new(Answer::status(200)));
    server.answer("/me", late);
    let endpoint = endpoint(&server, "/me");
    let asked = tokio::spawn(async move { outbound().get_bytes(&endpoint, None, LIMIT).await });
    while server.hits("/me") == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    assert!(asked.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!(
        "http://{}/keys?secret=hidden",
        listener.local_addr().unwrap()
    );
    drop(listener);
    let error = outbound()
        .get_bytes(&url.parse().unwrap(), Some("token-text"), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }));
    let text = format!("{error} {error:?}");
    assert!(text.contains("refused"), "{text}");
    assert!(
        !text.contains("hidden") && !text.contains("token-text"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable_over_https() {
    let server = LocalServer::start().await;
    let url = server.url("/").replace("http://", "https://");
    let error = outbound()
        .get_bytes(&url.parse().unwrap(), None, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Unreachable { .. }));
}

#[tokio::test]
async fn other_json_than_expected_is_told() {
    let server = LocalServer::start().await;
    server.answer("/me", Answer::Body(StatusCode::OK, "<html>".into()));
    let error = outbound()
        .get_json::<Value>(&endpoint(&server, "/me"), None, LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::NotExpectedJson { .. }));
}

#[tokio::test]
async fn a_token_no_header_can_carry_is_not_sent() {
    let server = LocalServer::start().await;
    let error = outbound()
        .get_bytes(&endpoint(&server, "/me"), Some("a\r\nx: y"), LIMIT)
        .await
        .unwrap_err();
    assert!(matches!(error, OutboundError::Request { .. }));
    assert_eq!(server.hits("/me"), 0);
}
