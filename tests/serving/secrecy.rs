//! Requests share nothing: whatever one leaves in its instance, the next one finds it as
//! the component says, whichever way memories are put back.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::hoard::{Act, Ask, FEW_PAGES, Found, Hoard, Memory, PAGES, reset};
use super::support::client::Connection;
use super::support::{Server, eventually, processes};
use super::{each_generation, get, serve};

/// What memories keep for their own between requests, in MiB.
const WARM: u32 = 8;

/// All that there is, with more than may stay.
const EVERYTHING: Ask = Ask { stride: 1, grow: 64, lengthen: 700, drop: true, leak: 20, act: Act::Answer };

/// From few pages over more places than the kernel reports at once to all of them, in a
/// memory as it is, a little larger, and with more than may stay.
fn fillings() -> Vec<Ask> {
    let strides = [1000, 100, 10, 3, 2, 1];
    strides.iter().flat_map(|&stride| [0, 1, 64].map(|grow| Ask { stride, grow, ..EVERYTHING })).collect()
}

#[track_caller]
fn assert_that_nothing_is_kept(hoard: &mut Hoard) {
    // In a memory that has no pages of its own, and in one with those of earlier fillings.
    for before in [EVERYTHING, Ask::little()] {
        for ask in fillings() {
            hoard.assert_fresh(before);
            hoard.assert_fresh(ask);
            // There is no memory behind its end, whatever an earlier instance had there.
            let beyond = hoard.get(Ask { act: Act::ReadBeyond, ..Ask::little() });
            assert_eq!(beyond.status, 500, "after {ask:?}");
        }
    }
    hoard.assert_fresh(Ask::little());
}

const ONE_BY_ONE: &str = "instances are allocated one by one";

/// Whether the log says, for those who look closely, so often that instances are made anew.
#[track_caller]
pub fn assert_made_anew(server: &Server, times: RangeInclusive<usize>) {
    // None can be put back where there is swap, or no page map.
    if server.count_log("no instance is put back") == 0 {
        let counted = server.count_log("not put back");
        assert!(times.contains(&counted), "{counted} times");
    }
}

#[test]
fn an_instance_that_is_put_back_shows_nothing() {
    let mut hoard = Hoard::start(Memory::Rewound, PAGES, &["--log-level", "debug"]);
    assert_that_nothing_is_kept(&mut hoard);
    assert_made_anew(&hoard.server, 0..=0);
    // More resources than are looked for.
    hoard.assert_fresh(Ask { leak: 100, ..EVERYTHING });
    hoard.assert_fresh(Ask::little());
    assert_made_anew(&hoard.server, 1..=1);
}

#[test]
fn an_instance_that_asks_the_host_when_it_begins_is_made_anew() {
    let mut hoard = Hoard::start(Memory::Asking, FEW_PAGES, &["--log-level", "debug"]);
    for _ in 0..10 {
        hoard.assert_fresh(EVERYTHING);
    }
    assert_made_anew(&hoard.server, 1..=2);
}

#[test]
fn a_memory_that_is_used_again_shows_nothing() {
    let mut hoard = Hoard::start(Memory::Snapshot, PAGES, &[]);
    assert_that_nothing_is_kept(&mut hoard);
}

#[test]
fn an_instance_that_poses_as_one_that_can_be_put_back_is_made_anew() {
    let mut hoard = Hoard::start(Memory::Posing, FEW_PAGES, &["--log-level", "debug"]);
    for grow in [0, 1, 64] {
        let ask = Ask { grow, lengthen: 700, ..Ask::default() };
        hoard.assert_fresh(ask);
        hoard.assert_fresh(ask);
    }
    assert_made_anew(&hoard.server, 1..=1);
}

#[test]
fn what_compilers_make_can_be_put_back() {
    for guest in ["hello", "echo", "probe"] {
        let server = serve(guest, &["-w", "1", "--log-level", "debug"]);
        let mut connection = Connection::open(&server.address);
        for _ in 0..3 {
            assert_eq!(connection.get("/hello").unwrap().status, 200);
        }
        assert_made_anew(&server, 0..=0);
    }
}

#[test]
fn clocks_begin_with_the_request() {
    each_generation(|guest| {
        let server = serve(guest, &["-w", "1"]);
        let mut connection = Connection::open(&server.address);
        for _ in 0..5 {
            // So that a clock which went on since the last one would tell.
            std::thread::sleep(Duration::from_millis(20));
            let asked = Instant::now();
            let told: u64 = connection.get("/clock").unwrap().text().trim().parse().unwrap();
            assert!(u128::from(told) <= asked.elapsed().as_nanos(), "{told} ns");
        }
    });
}

#[test]
fn a_memory_of_the_runtimes_pool_shows_nothing() {
    let mut hoard = Hoard::start(Memory::Runtime, PAGES, &[]);
    assert_that_nothing_is_kept(&mut hoard);
    assert_eq!(hoard.server.count_log(ONE_BY_ONE), 0);
}

#[test]
fn without_address_space_for_a_pool_nothing_shows_either() {
    for memory in [Memory::Snapshot, Memory::Runtime] {
        let mut hoard = Hoard::start_cramped(memory, PAGES, &[]);
        assert_that_nothing_is_kept(&mut hoard);
        // A snapshot needs no pool: this also tells that there is one.
        let expected = usize::from(memory == Memory::Runtime);
        assert_eq!(hoard.server.count_log(ONE_BY_ONE), expected, "{memory:?}");
    }
}

#[test]
fn a_memory_that_forgets_what_was_written_shows_nothing() {
    for memory in [Memory::Snapshot, Memory::Rewound] {
        let mut hoard = Hoard::start(memory, FEW_PAGES, &[]);
        // It does so once in 1024 uses.
        for number in 0..1100 {
            hoard.assert_fresh(Ask { stride: 1 + number % 7, grow: number % 3, ..Ask::default() });
        }
    }
}

#[test]
fn an_instance_that_failed_leaves_nothing() {
    for memory in Memory::ALL {
        let mut hoard = Hoard::start(memory, PAGES, &["--request-timeout", "1s"]);
        let ask = Ask { grow: 0, ..EVERYTHING };
        for grow in [0, 64, 1] {
            assert_eq!(hoard.get(Ask { grow, act: Act::TrapAmid, ..ask }).status, 500);
            hoard.assert_fresh(Ask { grow, ..ask });
        }
        assert_eq!(hoard.get(Ask { act: Act::SpinAmid, ..ask }).status, 504);
        hoard.assert_fresh(ask);
        let mut cut = hoard.begin(Ask { grow: 1, act: Act::AnswerAndSpin, ..ask });
        assert_eq!(answer(&mut cut), hoard.fresh);
        assert_eq!(cut.read_to_close(), b"");
        hoard.assert_fresh(ask);
    }
}

/// What is found by an instance whose answer does not end.
#[track_caller]
fn answer(connection: &mut Connection) -> Found {
    assert_eq!(connection.read_head().unwrap().0, 200);
    Found::read(&connection.read_chunk().unwrap())
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    for memory in Memory::ALL {
        let mut hoard = Hoard::start(memory, PAGES, &[]);
        for grow in [0, 64, 1] {
            let ask = Ask { grow, ..EVERYTHING };
            let mut gone = hoard.begin(Ask { act: Act::AnswerAndSpin, ..ask });
            assert_eq!(answer(&mut gone), hoard.fresh);
            reset(gone);
            hoard.assert_fresh(ask);
        }
    }
}

#[test]
fn instances_at_the_same_time_share_nothing_with_each_other_or_the_next() {
    const ALL: usize = 5;
    for memory in Memory::ALL {
        let args = ["--max-concurrency", "5"];
        let mut hoard = Hoard::start(memory, PAGES, &args);
        // Their memories come back in an order that changes.
        for round in 0..4 {
            let mut all: Vec<_> = (0..ALL)
                .map(|number| {
                    let grow = [0, 1, 64][(number + round) % 3];
                    hoard.begin(Ask { grow, lengthen: 700, act: Act::AnswerAndSpin, ..Ask::default() })
                })
                .collect();
            // All have filled what they have, and none is over.
            for connection in &mut all {
                assert_eq!(answer(connection), hoard.fresh, "{memory:?}, round {round}");
            }
            while !all.is_empty() {
                reset(all.swap_remove(round % all.len()));
                hoard.assert_fresh(Ask { stride: 3, ..Ask::default() });
            }
        }
    }
}

#[test]
fn an_instance_that_is_used_again_finds_everything_and_the_next_one_nothing() {
    for memory in [Memory::Snapshot, Memory::Runtime] {
        let mut hoard = Hoard::start(memory, FEW_PAGES, &["--instance-max-requests", "3"]);
        let fresh = hoard.fresh;
        // What remains of the instance that has told what is found at first.
        hoard.find(Ask::default());
        hoard.find(Ask::default());
        for _ in 0..3 {
            hoard.assert_fresh(Ask { grow: 1, lengthen: 700, ..Ask::default() });
            let found = hoard.find(Ask { grow: 0, drop: true, ..Ask::default() });
            assert!(found.secrets > (fresh.pages + 1) * 8000, "{found:?}");
            assert_eq!(found.globals, 0b111);
            assert_eq!((found.pages, found.table), (fresh.pages + 1, fresh.table + 700));
            assert_eq!(found.elements, found.table);
            assert_ne!(found.handle, fresh.handle);
            // Segments are gone: that traps, and ends this instance.
            assert_eq!(hoard.get(Ask::default()).status, 500);
        }
    }
}

#[test]
fn the_probes_find_nothing_either() {
    each_generation(|guest| {
        for (reuse, limit) in [("1", 0), ("2", u64::MAX)] {
            let server = serve(guest, &["-w", "1", "--instance-max-requests", reuse]);
            let mut connection = Connection::open(&server.address);
            let found: Vec<u64> = (0..20)
                .map(|_| connection.get("/hoard?mib=3").unwrap().text().trim().parse().unwrap())
                .collect();
            assert_eq!(found.iter().any(|words| *words > 0), limit > 0, "reuse {reuse}: {found:?}");
            assert_eq!(get(&server, "/count").text().trim(), "1");
        }
    });
}

/// Memory that only this server's processes have, in MiB.
fn private(hoard: &Hoard) -> u32 {
    let of = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u32>().ok()).unwrap_or(0)
    };
    hoard.server.children().into_iter().map(of).sum::<u32>() >> 10
}

/// The most memory that one of them has ever had, in MiB.
fn peak(hoard: &Hoard) -> u32 {
    let of = |pid| processes::status(pid, "VmHWM")?.strip_suffix("kB")?.trim().parse::<u32>().ok();
    hoard.server.children().into_iter().filter_map(of).max().unwrap_or(0) >> 10
}

#[test]
fn limits_hold_and_what_one_request_took_is_given_back() {
    for memory in Memory::ALL {
        let mut hoard = Hoard::start(memory, PAGES, &["--memory-limit", "64MiB"]);
        let fresh = hoard.fresh;
        hoard.assert_fresh(Ask::little());
        let before = private(&hoard);
        for _ in 0..3 {
            let refused = Ask { grow: 1024, ..Ask::default() };
            assert_eq!(hoard.find(refused), Found { grown: -1, ..fresh }, "{memory:?}");
            if memory.changes_tables() {
                // 64 MiB of elements, and what there is already.
                let refused = Ask { lengthen: 8 << 20, ..Ask::default() };
                assert_eq!(hoard.find(refused), Found { lengthened: -1, ..fresh }, "{memory:?}");
                // Each of them alone would do.
                let refused = Ask { grow: 900, lengthen: 1 << 20, ..Ask::default() };
                assert_eq!(hoard.find(refused), Found { lengthened: -1, ..fresh }, "{memory:?}");
            }
            // As much as there is, for one request as for the next.
            hoard.assert_fresh(Ask { grow: 900, ..Ask::default() });
            hoard.assert_fresh(Ask { grow: 900, ..Ask::default() });
            assert!(peak(&hoard) > 60, "it was all written to");
            assert_eq!(hoard.get(Ask { leak: 2_000, ..Ask::default() }).status, 500);
            hoard.assert_fresh(Ask { leak: 500, ..Ask::default() });
        }
        let mut after = 0;
        eventually("memory is given back", || {
            hoard.assert_fresh(Ask::little());
            after = private(&hoard);
            after < before + WARM + 8
        });
    }
}
