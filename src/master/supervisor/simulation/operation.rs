//! What an operator does, in any weather.

use super::super::{Action, Event, Legacy, Pressure, Settings, Supervisor};
use super::world::{FAIR, GRACEFUL, Weather, World, exited, settings};
use crate::config::Surge;

const WORKERS: usize = 20;

/// The ids of those that serve.
fn serving(world: &World) -> Vec<i32> {
    world.processes.iter().filter(|(_, process)| process.ready).map(|(pid, _)| *pid).collect()
}

#[test]
fn a_canary_goes_before_everybody_else_and_takes_a_broken_app_along() {
    for seed in 1..200 {
        let mut world = World::serving(seed, 4);
        let before: Vec<_> = serving(&world);
        world.weather.apps_work = false;
        let forks = world.forks;
        world.tell(Event::Reload(settings(4)));
        world.run(5_000);
        assert_eq!(serving(&world), before, "seed {seed}");
        assert_eq!(world.forks - forks, 1, "seed {seed}: one is enough to know");
        assert_eq!(world.abandoned, [(2, "the app traps".to_owned())], "seed {seed}");
        world.weather = FAIR;
        world.tell(Event::Reload(settings(4)));
        world.run(5_000);
        assert_eq!((world.live, world.ready()), (Some(3), 4), "seed {seed}");
    }
}

#[test]
fn at_the_first_start_a_canary_that_fails_is_the_end() {
    let mut world = World::new(3);
    world.weather.apps_work = false;
    world.tell(Event::Reload(settings(4)));
    world.run(2_000);
    assert_eq!((world.exit, world.forks), (Some(1), 1));
}

#[test]
fn a_reload_starts_few_at_a_time_and_never_has_fewer_than_before() {
    for (seed, surge, most) in
        [(1, Surge::Count(1), 1), (2, Surge::Percent(25), 5), (3, Surge::Count(100), WORKERS)]
    {
        let mut world = World::serving(seed, WORKERS);
        world.tell(Event::Reload(Settings { surge, ..settings(WORKERS) }));
        while world.live == Some(1) {
            world.run(10);
            assert!(world.ready() >= WORKERS, "{surge:?}");
            let coming = world.processes.values().filter(|process| process.generation == 2 && !process.ready);
            assert!(coming.count() <= most, "{surge:?}");
        }
        world.run(GRACEFUL + 2_000);
        assert!(world.processes.values().all(|process| process.generation == 2), "{surge:?}");
        assert_eq!(world.ready(), WORKERS, "{surge:?}");
    }
}

#[test]
fn a_reload_given_up_half_way_leaves_as_many_as_before() {
    for seed in 1..100 {
        let mut world = World::serving(seed, 8);
        world.tell(Event::Reload(Settings { surge: Surge::Count(1), ..settings(8) }));
        while world.processes.values().filter(|process| process.generation == 2 && process.ready).count() < 3
        {
            world.run(10);
        }
        world.weather.forks = false;
        while world.abandoned.is_empty() {
            world.run(10);
        }
        world.weather.forks = true;
        world.run(GRACEFUL + 3_000);
        assert_eq!((world.live, world.ready()), (Some(1), 8), "seed {seed}");
        assert!(world.processes.values().all(|process| process.generation == 1), "seed {seed}");
    }
}

#[test]
fn recycling_replaces_everybody_and_is_never_short_of_anybody() {
    for seed in 1..100 {
        let mut world = World::serving(seed, WORKERS);
        let before = serving(&world);
        for pid in &before {
            world.tell(Event::Recycle(*pid, "a test".to_owned()));
        }
        while serving(&world).iter().any(|pid| before.contains(pid)) {
            world.run(10);
            assert!(world.ready() >= WORKERS, "seed {seed}");
            // A tenth at a time is coming up beside those that serve.
            assert!(world.processes.values().filter(|process| !process.ready).count() <= WORKERS / 10 + 1);
        }
        world.run(GRACEFUL + 2_000);
        assert_eq!((world.ready(), world.processes.len()), (WORKERS, WORKERS), "seed {seed}");
    }
}

#[test]
fn workers_do_not_outlive_their_lifetime_by_much() {
    let lifetime = 60_000;
    let mut world = World::new(5);
    world.tell(Event::Reload(Settings { lifetime: Some(lifetime), ..settings(4) }));
    world.run(2_000);
    let before = serving(&world);
    world.run(lifetime - 5_000);
    assert_eq!(serving(&world), before);
    let end = world.now + lifetime / 10 + 10_000;
    while world.now < end {
        world.run(10);
        assert!(world.ready() >= 4);
    }
    assert!(serving(&world).iter().all(|pid| !before.contains(pid)), "{before:?}");
    assert_eq!(world.ready(), 4);
}

#[test]
fn what_was_scaled_to_survives_a_reload_that_does_not_speak_of_it() {
    let mut world = World::serving(7, 4);
    world.tell(Event::ScaleUp);
    world.tell(Event::ScaleUp);
    world.tell(Event::Reload(settings(4)));
    world.run(5_000);
    assert_eq!((world.live, world.ready()), (Some(2), 6));
    world.tell(Event::Reload(settings(3)));
    world.run(5_000);
    assert_eq!((world.live, world.ready()), (Some(3), 3), "the operator has said another number");
    world.tell(Event::Scale(5));
    world.run(2_000);
    let legacy = Legacy { scale: world.supervisor.scale(), generations: 3 };
    let mut heir = World::with(8, Some(legacy));
    heir.tell(Event::Reload(settings(3)));
    heir.run(2_000);
    assert_eq!((heir.ready(), heir.live), (5, Some(4)), "and a new master goes on with it");
}

#[test]
fn an_heir_that_is_not_whole_is_none() {
    for (is_heir, exit) in [(true, Some(1)), (false, None)] {
        let mut supervisor = Supervisor::new(64, 1, is_heir.then(Legacy::default));
        supervisor.step(Event::Reload(settings(4)), 0);
        supervisor.step(Event::MoldReady(1), 1);
        supervisor.step(Event::Forked(1, 0, 100), 2);
        let mut actions = supervisor.step(Event::Ready(100), 3);
        let mut is_retired = false;
        for now in 4..200_000 {
            is_retired |= actions.contains(&Action::Retire(100));
            let orders = actions.into_iter().filter_map(|action| match action {
                Action::Fork { slot, .. } => Some(slot),
                _ => None,
            });
            let failed = orders.map(|slot| Event::ForkFailed(1, slot, "EAGAIN".to_owned()));
            // Who served already ends in its own time.
            let ended = std::mem::take(&mut is_retired).then(|| exited(100, "exit code 0"));
            let events: Vec<_> = failed.chain(ended).chain([Event::Tick(Vec::new())]).collect();
            actions = events.into_iter().flat_map(|event| supervisor.step(event, now)).collect();
            if actions.iter().any(|action| matches!(action, Action::Exit(_) | Action::Live(_))) {
                break;
            }
        }
        let left = actions
            .iter()
            .find_map(|action| if let Action::Exit(code) = action { Some(*code) } else { None });
        assert_eq!(left, exit, "heir: {is_heir}");
        assert_eq!(supervisor.live(), if is_heir { None } else { Some(1) });
    }
}

#[test]
fn a_hand_over_ends_everybody_in_peace_whatever_is_under_way() {
    for seed in 1..300 {
        let mut world = World::serving(seed, 4);
        if seed % 2 == 0 {
            world.tell(Event::Reload(settings(6)));
            let some = world.dice.below(120);
            world.run(some);
        }
        world.tell(Event::HandOver);
        assert!(!world.is_listening, "seed {seed}");
        world.tell(Event::Reload(settings(2)));
        world.run(10_000);
        assert_eq!(world.exit, Some(0), "seed {seed}");
    }
}

#[test]
fn whoever_may_serve_is_never_killed_before_its_deadline() {
    for seed in 1..200 {
        let mut world = World::serving(seed, 4);
        world.kills_are_faults = true;
        for _ in 0..30 {
            let wanted = 1 + world.dice.below(12) as usize;
            let event = match world.dice.below(3) {
                0 => Event::Reload(settings(4)),
                _ => Event::Scale(wanted),
            };
            world.tell(event);
            let time = world.dice.below(60);
            world.run(time);
        }
        world.tell(Event::Stop);
        world.run(2_000);
    }
}

#[test]
fn the_first_stop_after_a_hand_over_leaves_the_time_that_there_is() {
    let mut supervisor = Supervisor::new(64, 1, None);
    supervisor.step(Event::Reload(settings(1)), 0);
    supervisor.step(Event::MoldReady(1), 0);
    supervisor.step(Event::Forked(1, 0, 100), 0);
    supervisor.step(Event::Ready(100), 0);
    assert!(supervisor.step(Event::HandOver, 10).contains(&Action::Retire(100)));
    assert_eq!(supervisor.step(Event::Stop, 20), [Action::Drain(100)]);
    assert_eq!(supervisor.step(Event::Stop, 30), [Action::Quit(100)]);
}

#[test]
fn of_those_that_wait_for_silent_clients_the_oldest_are_hurried() {
    let mut supervisor = Supervisor::new(1024, 1, None);
    let mut pids = 0..;
    let mut hurried = 0;
    for generation in 1..200 {
        let now = u64::from(generation) * 10;
        supervisor.step(Event::Reload(settings(1)), now);
        supervisor.step(Event::MoldReady(generation), now);
        let slot = supervisor.views().find(|view| view.state == "forking").unwrap().slot;
        let pid = pids.next().unwrap() + 100;
        supervisor.step(Event::Forked(generation, slot, pid), now);
        let actions = supervisor.step(Event::Ready(pid), now);
        hurried += actions.iter().filter(|action| matches!(action, Action::Drain(_))).count();
    }
    let draining = supervisor.views().filter(|view| view.state == "draining").count();
    assert_eq!((draining, hurried), (198, 198 - 64));
}

#[test]
fn a_delayed_stop_serves_on_until_then_and_a_second_one_does_not() {
    for (seed, twice) in [(1, false), (2, true)] {
        let mut world = World::new(seed);
        world.tell(Event::Reload(Settings { shutdown_delay: 20_000, ..settings(3) }));
        world.run(2_000);
        world.tell(Event::Stop);
        let victim = serving(&world)[0];
        world.end(victim, "SIGSEGV");
        world.run(15_000);
        assert_eq!((world.ready(), world.is_listening, world.exit), (3, true, None));
        if twice {
            world.tell(Event::Stop);
            assert!(!world.is_listening);
            world.run(3_000);
        } else {
            world.run(4_900);
            assert!(world.is_listening);
            world.run(10_000);
        }
        assert_eq!(world.exit, Some(0));
    }
}

#[test]
fn everything_at_once_in_any_weather_ends_well() {
    for seed in 1..60 {
        let mut world = World::serving(seed, 6);
        world.weather = Weather { trouble: 60, ..FAIR };
        for _ in 0..40 {
            let pids: Vec<_> = world.processes.keys().copied().collect();
            let event = match world.dice.below(6) {
                0 => Event::Reload(settings(6)),
                1 => Event::Reload(Settings { surge: Surge::Count(1), ..settings(6) }),
                2 => Event::ScaleUp,
                3 => Event::ScaleDown,
                _ if pids.is_empty() => Event::Scale(6),
                _ => Event::Recycle(pids[world.dice.below(pids.len() as u64) as usize], "a test".to_owned()),
            };
            world.tell(event);
            let time = world.dice.below(3_000);
            world.run(time);
        }
        world.weather = FAIR;
        world.tell(Event::Scale(6));
        world.run(200_000);
        assert_eq!((world.ready(), world.exit), (6, None), "seed {seed}");
        assert_eq!(world.processes.len(), 6, "seed {seed}");
        assert_eq!(world.molds.len(), 1, "seed {seed}");
    }
}

/// A load that keeps so many workers busy, as a share of a thousand each.
fn lasting(load: u64, seconds: usize, world: &mut World, changes: &mut usize) {
    for _ in 0..seconds {
        let count = world.supervisor.scale().workers;
        let busy = load.min(1_000 * world.ready() as u64);
        let waited = if load > 1_000 * world.ready() as u64 { 3 } else { 0 };
        world.tell(Event::Load(Pressure { waited, busy }));
        *changes += usize::from(world.supervisor.scale().workers != count);
        world.run(1_000);
    }
}

#[test]
fn the_load_decides_between_the_bounds_and_does_not_flap() {
    let mut world = World::new(11);
    world.tell(Event::Reload(Settings { most: 8, ..settings(2) }));
    world.run(2_000);
    let mut changes = 0;
    lasting(100, 60, &mut world, &mut changes);
    assert_eq!((world.ready(), changes), (2, 0), "little to do");
    lasting(5_200, 60, &mut world, &mut changes);
    let ready = world.ready();
    assert!((6..=8).contains(&ready), "{ready} workers for a load of 5.2");
    changes = 0;
    lasting(5_200, 600, &mut world, &mut changes);
    assert!(changes <= 1, "{changes} changes under a steady load");
    lasting(50_000, 60, &mut world, &mut changes);
    assert_eq!(world.ready(), 8, "never more");
    lasting(0, 600, &mut world, &mut changes);
    assert_eq!(world.ready(), 2, "never fewer");
    // A load that comes and goes faster than workers are let go.
    changes = 0;
    for _ in 0..30 {
        lasting(4_000, 10, &mut world, &mut changes);
        lasting(200, 10, &mut world, &mut changes);
    }
    assert!(changes <= 8, "{changes} changes in ten minutes of bursts");
}
