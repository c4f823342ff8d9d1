//! Timeouts, and when a connection counts as idle.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::server::{connect, statuses};
use super::{CANARY, LIMITS, Limits};
use crate::config::Patience;

const SHORT: Duration = Duration::from_millis(250);

const HASTY: Limits = Limits { header_timeout: SHORT, ..LIMITS };
const BUSY: Limits = Limits { keep_alive: SHORT, ..LIMITS };

const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_head_that_never_ends_is_a_408() {
    let mut conn = connect(HASTY).await;
    let start = Instant::now();
    conn.send("GET / HTTP/1.1\r\nho").await;
    let text = conn.read_to_end().await;
    assert_eq!(statuses(&text), [408]);
    assert!(start.elapsed() >= SHORT);
    assert_eq!(conn.log(), ["refused 408"]);
}

#[tokio::test]
async fn a_head_that_drips_is_a_408_too() {
    let mut conn = connect(HASTY).await;
    conn.send(HELLO).await;
    conn.read_until("/hello").await;
    let start = Instant::now();
    for byte in HELLO.bytes().take(20) {
        if conn.server.is_finished() {
            break;
        }
        let _ = tokio::io::AsyncWriteExt::write_all(&mut conn.client, &[byte]).await;
        tokio::time::sleep(SHORT / 10).await;
    }
    assert_eq!(statuses(&conn.read_to_end().await), [408]);
    assert!(start.elapsed() < SHORT * 10);
}

#[tokio::test]
async fn a_silent_connection_is_closed_without_a_word() {
    for sent in ["", "\r\n"] {
        let mut conn = connect(HASTY).await;
        conn.send(sent).await;
        assert!(conn.state.is_idle());
        assert_eq!(conn.read_to_end().await, "");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let mut conn = connect(BUSY).await;
    for _ in 0..3 {
        conn.send(HELLO).await;
        conn.read_until("/hello").await;
        tokio::time::sleep(SHORT / 2).await;
    }
    let start = Instant::now();
    assert_eq!(conn.read_to_end().await, "");
    assert!(start.elapsed() < SHORT * 3);
    assert!(conn.server.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn keep_alive_does_not_run_while_a_request_is_answered() {
    let mut conn = connect(BUSY).await;
    let start = Instant::now();
    conn.send(SLOW).await;
    conn.read_until("slow").await;
    let text = conn.read_to_end().await;
    assert_eq!(text, "");
    let idle = start.elapsed() - Duration::from_millis(400);
    assert!(idle >= SHORT - Duration::from_millis(20), "{idle:?}");
}

#[tokio::test]
async fn a_pipelined_head_has_its_time_after_the_request_before() {
    let limits = Limits { header_timeout: SHORT, keep_alive: SHORT / 3, ..LIMITS };
    let (begin, end) = HELLO.split_at(20);
    let mut conn = connect(limits).await;
    conn.send(format!("{SLOW}{begin}")).await;
    conn.read_until("slow").await;
    tokio::time::sleep(SHORT * 2 / 3).await;
    conn.send(end).await;
    conn.read_until("/hello").await;

    let mut conn = connect(limits).await;
    let start = Instant::now();
    conn.send(format!("{SLOW}{begin}")).await;
    assert_eq!(statuses(&conn.read_to_end().await), [200, 408]);
    assert!(start.elapsed() < Duration::from_millis(400) + SHORT * 3);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_idle() {
    let limits = Limits { keep_alive: Duration::from_millis(60), ..LIMITS };
    let mut conn = connect(limits).await;
    let body = vec![b'z'; 8_000_000];
    conn.send(format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    conn.send(&body).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let text = conn.read_to_end().await;
    assert!(text.len() > body.len());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let mut conn = connect(Limits { send: Patience { time: SHORT, rate: None }, ..LIMITS }).await;
    // More than sockets buffer.
    let body = vec![b'z'; 32_000_000];
    conn.send(format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    conn.send(&body).await;
    let ended = (&mut conn.server).await.expect("no panic");
    assert!(format!("{ended:?}").contains("too slowly"), "{ended:?}");
    conn.logged("/echo").await;
    assert!(conn.state.is_idle(), "its request has ended");
}

#[tokio::test]
async fn a_client_that_has_no_more_to_ask_gets_its_answer() {
    for (asked, answered) in [(HELLO, "/hello"), (SLOW, "slow")] {
        let mut conn = connect(LIMITS).await;
        conn.send(asked).await;
        conn.client.shutdown().await.unwrap();
        let text = conn.read_to_end().await;
        assert!(statuses(&text) == [200] && text.ends_with(answered), "{text}");
    }
}

#[tokio::test]
async fn a_client_that_is_gone_is_not_waited_for() {
    let mut conn = connect(LIMITS).await;
    conn.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    conn.client.shutdown().await.unwrap();
    assert_eq!(conn.read_to_end().await, "");
}

#[tokio::test]
async fn idle_is_between_requests() {
    let mut conn = connect(LIMITS).await;
    assert!(conn.state.is_idle());
    conn.send(SLOW).await;
    conn.logged("/slow").await;
    assert!(!conn.state.is_idle());
    conn.read_until("slow").await;
    assert!(conn.state.is_idle());
    let (begin, end) = CANARY.split_at(10);
    conn.send(begin).await;
    while conn.state.is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    conn.send(end).await;
    conn.read_until("/canary").await;
    assert!(conn.state.is_idle());
}
