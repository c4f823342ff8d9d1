//! What a client of hyper behind the guard sees.

use super::corpus::{BAD_HEADS, GOOD_BODIES, GOOD_HEADS};
use super::server::{connect, statuses};
use super::{CANARY, LIMITS};

const ECHO: &str = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut conn = connect(LIMITS).await;
    conn.send((0..50).map(|n| get(&format!("/{n}"))).collect::<String>()).await;
    conn.send(get("/last")).await;
    let text = conn.read_until("/last").await;
    assert_eq!(statuses(&text), [200; 51]);
    assert_eq!(conn.log()[..3], ["/0", "/1", "/2"]);
    assert_eq!(conn.log()[50], "/last");
    assert!(!conn.server.is_finished());
}

#[tokio::test]
async fn requests_before_a_bad_one_are_answered_and_none_after_it() {
    // One bad line, one bad target and one bad length, behind a request that takes its time.
    for (status, bad) in BAD_HEADS.iter().step_by(BAD_HEADS.len() / 3) {
        let mut conn = connect(LIMITS).await;
        conn.send([get("/slow").as_bytes(), get("/b").as_bytes(), bad, CANARY].concat()).await;
        let text = conn.read_to_end().await;
        assert_eq!(statuses(&text), [200, 200, *status], "{}", bad.escape_ascii());
        assert!(text.contains("connection: close"));
        assert_eq!(conn.log(), ["/slow", "/b", &format!("refused {status}")]);
    }
    for (status, bad) in BAD_HEADS {
        let mut conn = connect(LIMITS).await;
        conn.send([bad, CANARY].concat()).await;
        assert_eq!(statuses(&conn.read_to_end().await), [*status]);
        drop(conn.client);
        assert!(conn.server.await.expect("no panic").is_ok());
    }
}

#[tokio::test]
async fn hyper_takes_all_that_passes() {
    for good in GOOD_HEADS.iter().chain(GOOD_BODIES) {
        let mut conn = connect(LIMITS).await;
        conn.send([good, CANARY].concat()).await;
        let text = conn.read_until("/canary").await;
        assert_eq!(statuses(&text), [200, 200], "{}", good.escape_ascii());
    }
}

#[tokio::test]
async fn a_chunked_upload_arrives_with_its_trailers() {
    let mut conn = connect(LIMITS).await;
    conn.send(ECHO).await;
    conn.send("5\r\nhello\r\n6;x\r\n wo").await;
    conn.send("rld\r\n0\r\ndigest: d\r\n\r\n").await;
    conn.read_until("hello world digest=d").await;
    conn.send(get("/next")).await;
    conn.read_until("/next").await;
}

#[tokio::test]
async fn a_bad_body_is_an_error_for_its_reader() {
    for split in [false, true] {
        let mut conn = connect(LIMITS).await;
        let rest = [b"5\r\nhello\r\n5\r\nworldGARBAGE\r\n0\r\n\r\n", CANARY].concat();
        if split {
            conn.send(ECHO).await;
            conn.logged("/echo").await;
            conn.send(rest).await;
        } else {
            conn.send([ECHO.as_bytes(), &rest].concat()).await;
        }
        assert_eq!(statuses(&conn.read_to_end().await), [400]);
        assert_eq!(conn.log().len(), 2);
        assert!(conn.log()[1].starts_with("error"));
        assert!(conn.state.body_violation_for(0).is_some());
    }
}

#[tokio::test]
async fn a_bad_body_is_not_blamed_on_the_request_before() {
    let mut conn = connect(LIMITS).await;
    conn.send([ECHO.as_bytes(), b"5\r\nhello\r\n0\r\n\r\n"].concat()).await;
    conn.read_until("hello").await;
    conn.send([get("/slow").as_bytes(), ECHO.as_bytes(), b"x\r\n", CANARY].concat()).await;
    assert_eq!(statuses(&conn.read_to_end().await), [200, 400]);
    assert!(conn.state.body_violation_for(1).is_none());
    assert!(conn.state.body_violation_for(2).is_some());
}

#[tokio::test]
async fn a_body_is_asked_for_and_sent() {
    let mut conn = connect(LIMITS).await;
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    conn.send(head).await;
    conn.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    conn.send("hello").await;
    conn.read_until("hello").await;
    conn.send(get("/next")).await;
    conn.read_until("/next").await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let mut conn = connect(LIMITS).await;
    conn.send(get("/never")).await;
    conn.logged("/never").await;
    drop(std::mem::replace(&mut conn.client, connect(LIMITS).await.client));
    conn.logged("dropped").await;
    assert!(conn.server.await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_client_that_leaves_in_a_pipelined_head_cancels_its_request() {
    let mut conn = connect(LIMITS).await;
    conn.send(get("/never") + "GET /half HT").await;
    conn.logged("/never").await;
    drop(std::mem::replace(&mut conn.client, connect(LIMITS).await.client));
    conn.logged("dropped").await;
}

#[tokio::test]
async fn a_client_sees_its_refusal_after_sending_all() {
    let mut conn = connect(LIMITS).await;
    conn.send(format!("GET /{}", "x".repeat(200))).await;
    conn.send_slowly(1024 * 1024).await;
    assert_eq!(statuses(&conn.read_to_end().await), [414]);
    assert!(conn.server.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_client_sees_the_answer_to_a_body_nobody_read() {
    let mut conn = connect(LIMITS).await;
    conn.send("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n").await;
    conn.send_slowly(1024 * 1024).await;
    assert_eq!(statuses(&conn.read_to_end().await), [413]);
}

#[tokio::test]
async fn a_big_body_passes_whole() {
    let mut conn = connect(LIMITS).await;
    let body = "z".repeat(3_000_000);
    conn.send(format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    let (mut read, mut write) = conn.client.split();
    let send = tokio::io::AsyncWriteExt::write_all(&mut write, body.as_bytes());
    let mut answer = vec![0; body.len()];
    let receive = tokio::io::AsyncReadExt::read_exact(&mut read, &mut answer);
    let (sent, received) = tokio::join!(send, receive);
    sent.expect("sent");
    received.expect("received");
}
