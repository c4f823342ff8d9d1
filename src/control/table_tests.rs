use super::{Status, WorkerStatus, table};

fn status() -> Status {
    let worker = WorkerStatus {
        slot: 0,
        pid: Some(41_237),
        generation: 3,
        state: "ready".to_owned(),
        age_ms: 192_000,
        requests: 1_234_567,
        in_flight: 3,
        connections: 11,
        restarts: 0,
        last_end: None,
        pss: Some(1_258_291),
        cpu_ms: Some(64_700),
        beat_age_ms: Some(120),
    };
    let waiting = WorkerStatus {
        slot: 2,
        state: "waiting".to_owned(),
        generation: 3,
        restarts: 4,
        last_end: Some("SIGKILL\x1b[2J\n".to_owned()),
        ..WorkerStatus::default()
    };
    let recycling = WorkerStatus {
        slot: 1,
        state: "recycling".to_owned(),
        pss: Some(900),
        age_ms: 9_999,
        cpu_ms: Some(90_061_000),
        requests: 999,
        ..worker.clone()
    };
    Status {
        version: "0.1.0".to_owned(),
        pid: 41_230,
        uptime_ms: 7_500_000,
        state: "degraded".to_owned(),
        generation: 3,
        previous: Some(2),
        app: "h\u{e9}llo".to_owned(),
        workers_wanted: 3,
        workers_ready: 1,
        scaling: Some((2, 8)),
        listeners: vec!["http://127.0.0.1:8000".to_owned(), "unix:/run/app.sock".to_owned()],
        requests: 1_234_567,
        app_cpu_ms: 83_000,
        received: 3 << 20,
        sent: 700,
        outbound: 5_000,
        in_flight: 3,
        waiting: 1,
        connections: 1_100,
        restarts: 4,
        imbalance: Some(1.0666),
        last_change: Some("reload to generation 3: done".to_owned()),
        workers: vec![worker, recycling, waiting],
    }
}

#[test]
fn a_status_is_laid_out_for_people() {
    let expected = r"wasgun 0.1.0, app h\u{e9}llo: degraded, generation 3 (rollback to 2 possible)
pid 41230, up 2h05m, workers 1/3 (2..8), listening on http://127.0.0.1:8000, unix:/run/app.sock
1,234,567 requests, 3 in flight, 1 waiting, 1,100 connections, 4 restarts, imbalance 1.07
app: 1m23s on the processor, 3.0 MiB received, 700 B sent, 5,000 requests of its own
last change: reload to generation 3: done

SLOT    PID  GEN  STATE        AGE   REQUESTS  IN-FLIGHT  CONNS  RESTARTS      PSS    CPU   BEAT
   0  41237    3  ready      3m12s  1,234,567          3     11         0  1.1 MiB  1m04s  120ms
   1  41237    3  recycling   9.9s        999          3     11         0    900 B  1d01h  120ms
   2      -    3  waiting      0ms          0          0      0         4        -      -      -
  worker 2 last ended: SIGKILL\u{1b}[2J\n
";
    assert_eq!(table(&status()), expected);
    assert!(expected.lines().all(|line| line.len() <= 100), "wider than a terminal");
}

#[test]
fn a_status_without_anything_has_a_table_too() {
    let expected = "wasgun , app : , generation 0
pid 0, up 0ms, workers 0/0, listening on nothing
0 requests, 0 in flight, 0 waiting, 0 connections, 0 restarts
app: 0ms on the processor, 0 B received, 0 B sent, 0 requests of its own

SLOT  PID  GEN  STATE  AGE  REQUESTS  IN-FLIGHT  CONNS  RESTARTS  PSS  CPU  BEAT
";
    assert_eq!(table(&Status::default()), expected);
}

#[test]
fn the_largest_numbers_have_a_form() {
    let worker = WorkerStatus {
        slot: usize::MAX,
        pid: Some(i32::MIN),
        generation: u32::MAX,
        age_ms: u64::MAX,
        requests: u64::MAX,
        pss: Some(u64::MAX),
        ..WorkerStatus::default()
    };
    let shown = table(&Status { imbalance: Some(f64::NAN), workers: vec![worker], ..Status::default() });
    assert!(shown.contains("18,446,744,073,709,551,615"), "{shown}");
    assert!(shown.contains("16777215.9 TiB"), "{shown}");
    assert!(shown.is_ascii());
}
