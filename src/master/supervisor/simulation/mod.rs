//! Years of trouble in a second.

mod operation;
mod world;

use super::{Action, Event, Supervisor};
use world::{FAIR, GRACEFUL, Weather, World, settings};

#[test]
fn after_any_weather_all_workers_serve_again() {
    for seed in 1..300 {
        let mut world = World::serving(seed, 4);
        world.weather = Weather { trouble: 40, ..FAIR };
        world.run(60_000);
        world.weather = FAIR;
        world.run(90_000);
        assert_eq!(world.ready(), 4, "seed {seed}");
        assert_eq!(world.exit, None, "seed {seed}");
    }
}

#[test]
fn a_reload_keeps_every_old_worker_until_every_new_one_is_ready() {
    for seed in 1..200 {
        let mut world = World::serving(seed, 4);
        world.tell(Event::Reload(settings(6)));
        while world.live == Some(1) {
            world.run(10);
            assert!(world.ready() >= 4, "seed {seed}");
        }
        world.run(GRACEFUL + 1_000);
        assert_eq!(world.ready(), 6, "seed {seed}");
        assert!(world.processes.values().all(|process| process.generation == 2), "seed {seed}");
        assert_eq!(world.molds.keys().copied().collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn a_bad_build_changes_nothing() {
    for seed in 1..100 {
        let mut world = World::serving(seed, 3);
        let before: Vec<_> = world.processes.keys().copied().collect();
        world.weather.builds = false;
        world.tell(Event::Reload(settings(5)));
        world.tell(Event::Reload(settings(7)));
        world.run(5_000);
        assert_eq!(world.processes.keys().copied().collect::<Vec<_>>(), before, "seed {seed}");
        assert_eq!(world.live, Some(1));
    }
}

#[test]
fn a_reload_in_a_reload_follows_it_and_only_the_last_counts() {
    let mut world = World::serving(7, 2);
    for workers in [3, 4, 5] {
        world.tell(Event::Reload(settings(workers)));
    }
    world.run(10_000);
    assert_eq!((world.live, world.ready()), (Some(3), 5));
}

#[test]
fn a_stop_at_any_moment_ends_everything() {
    for seed in 1..400 {
        let mut world = World::new(seed);
        world.weather =
            Weather { trouble: if seed % 2 == 0 { 0 } else { 30 }, builds: seed % 5 != 0, ..FAIR };
        world.tell(Event::Reload(settings(4)));
        let first = world.dice.below(3_000);
        world.run(first);
        if world.exit.is_none() && seed % 3 == 0 {
            world.tell(Event::Reload(settings(3)));
            let more = world.dice.below(100);
            world.run(more);
        }
        if world.exit.is_none() {
            world.tell(if seed % 7 == 0 { Event::StopNow } else { Event::Stop });
        }
        world.run(60_000);
        assert!(world.exit.is_some(), "seed {seed}");
    }
}

#[test]
fn nothing_serves_and_nothing_starts_is_an_exit() {
    for weather in [Weather { builds: false, ..FAIR }, Weather { forks: false, ..FAIR }] {
        let mut world = World::new(3);
        world.weather = weather;
        world.tell(Event::Reload(settings(2)));
        world.run(5_000);
        assert_eq!(world.exit, Some(1));
    }
}

#[test]
fn a_reload_that_cannot_fork_is_given_up_and_the_next_one_counts() {
    let mut world = World::serving(9, 3);
    world.weather.forks = false;
    world.tell(Event::Reload(settings(4)));
    world.run(5_000);
    assert_eq!((world.live, world.ready()), (Some(1), 3));
    world.weather.forks = true;
    world.tell(Event::Reload(settings(5)));
    world.run(5_000);
    assert_eq!((world.live, world.ready()), (Some(3), 5));
}

#[test]
fn a_reload_whose_workers_never_hold_out_together_is_given_up() {
    let mut world = World::serving(13, 2);
    world.tell(Event::Reload(settings(8)));
    let end = world.now + 150_000;
    while world.now < end {
        // The new ones are always gone before the last of them is there.
        let new: Vec<_> = world
            .processes
            .iter()
            .filter(|(_, process)| process.generation == 2 && process.ready)
            .map(|(pid, _)| *pid)
            .collect();
        new.into_iter().for_each(|pid| world.end(pid, "SIGSEGV"));
        world.run(10);
    }
    assert_eq!((world.live, world.ready()), (Some(1), 2));
    assert!(world.processes.values().all(|process| process.generation == 1));
}

#[test]
fn a_mold_that_hangs_is_replaced_and_is_sent_no_second_order() {
    let mut world = World::serving(17, 3);
    world.molds.insert(1, false);
    let victim = *world.processes.keys().next().unwrap();
    let before = world.forks;
    world.end(victim, "SIGKILL");
    world.run(9_000);
    assert_eq!((world.ready(), world.forks - before), (2, 1));
    world.run(3_000);
    assert_eq!((world.ready(), world.molds[&1]), (3, true));
}

#[test]
fn a_mold_has_few_orders_at_once() {
    let mut supervisor = Supervisor::new(1024, 1, None);
    supervisor.step(Event::Reload(settings(500)), 0);
    let (mut now, mut forked) = (1, 1);
    assert_eq!(supervisor.step(Event::MoldReady(1), now).len(), 1, "a canary first, and nobody else");
    supervisor.step(Event::Forked(1, 0, forked), now);
    let mut actions = supervisor.step(Event::Ready(forked), now);
    while forked < 500 {
        let orders: Vec<_> = actions
            .iter()
            .filter_map(|action| if let Action::Fork { slot, .. } = action { Some(*slot) } else { None })
            .collect();
        assert!((1..=64).contains(&orders.len()), "{}", orders.len());
        assert!(supervisor.next_deadline().is_some_and(|due| due > now), "it would look again at once");
        now += 1;
        actions.clear();
        for slot in orders {
            forked += 1;
            actions.extend(supervisor.step(Event::Forked(1, slot, forked), now));
        }
    }
}

#[test]
fn a_crash_loop_backs_off() {
    let mut world = World::serving(11, 1);
    let before = world.forks;
    let end = world.now + 60_000;
    while world.now < end {
        let ready = world.processes.iter().find(|(_, process)| process.ready).map(|(pid, _)| *pid);
        if let Some(pid) = ready {
            world.end(pid, "SIGSEGV");
        }
        world.run(10);
    }
    let forks = world.forks - before;
    assert!((5..20).contains(&forks), "{forks} forks in a minute of crashes");
}

#[test]
fn the_count_follows_ttin_and_ttou_and_never_reaches_zero() {
    let mut world = World::serving(5, 2);
    world.tell(Event::ScaleUp);
    world.run(1_000);
    assert_eq!(world.ready(), 3);
    for _ in 0..5 {
        world.tell(Event::ScaleDown);
    }
    world.run(GRACEFUL + 2_000);
    assert_eq!(world.ready(), 1);
}
