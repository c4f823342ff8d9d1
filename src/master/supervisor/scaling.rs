//! How many workers there should be: what the operator says, and between the
//! bounds of `-w MIN..MAX` what the load asks for.

use super::{Action, Millis, Pressure, Settings, Supervisor, workers};

/// So busy, of a thousand, that another worker would help.
const CROWDED: u64 = 800;

/// How busy those that stay may be after one goes: far enough below
/// [`CROWDED`] that it is not wanted back at once.
const COMFORTABLE: u64 = 500;

/// Crowded this often in a row: a burst is over sooner.
const CROWDED_LOOKS: u32 = 2;

/// Calm for this long, one worker goes, and then the next after as long again.
const CALM: Millis = 10_000;

/// Nobody goes so soon after one has come, or after a reload.
const SETTLED: Millis = 30_000;

/// How many workers are wanted, and for which configuration that was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scale {
    /// Wanted now.
    pub workers: usize,
    /// `workers` and `most` of the configuration in force when that was said.
    pub configured: (usize, usize),
}

impl Scale {
    /// How many workers a configuration is to have: as many as now if it says the
    /// same about that as the one before it.
    pub(super) fn under(&self, settings: &Settings) -> usize {
        let configured = (settings.workers, settings.most);
        if self.configured == configured { self.workers } else { settings.workers }
    }

    pub(super) fn adopt(&mut self, settings: &Settings) {
        *self = Self { workers: self.under(settings), configured: (settings.workers, settings.most) };
    }
}

/// What the load was like so far.
#[derive(Debug, Default)]
pub(super) struct Scaler {
    crowded: u32,
    calm_since: Option<Millis>,
    settled_at: Millis,
}

impl Scaler {
    /// The number of workers has changed for another reason.
    pub(super) fn settle(&mut self, now: Millis) {
        *self = Self { crowded: 0, calm_since: None, settled_at: now + SETTLED };
    }

    /// How many of `least` to `most` workers there should be instead of `current`.
    fn decide(
        &mut self,
        pressure: Pressure,
        current: usize,
        (least, most): (usize, usize),
        now: Millis,
    ) -> usize {
        let each = pressure.busy / current.max(1) as u64;
        if pressure.waited > 0 || each >= CROWDED {
            self.calm_since = None;
            self.crowded += 1;
            // Waiting is trouble at once; being busy may pass.
            if current < most && (pressure.waited > 0 || self.crowded >= CROWDED_LOOKS) {
                self.settle(now);
                return (current + (current / 4).max(1)).min(most);
            }
            return current;
        }
        self.crowded = 0;
        let after = pressure.busy / current.saturating_sub(1).max(1) as u64;
        if current <= least || after > COMFORTABLE {
            self.calm_since = None;
            return current;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now >= since + CALM && now >= self.settled_at {
            self.calm_since = Some(now);
            return current - 1;
        }
        current
    }
}

impl Supervisor {
    /// What the operator has scaled to.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    pub(super) fn scale_to(&mut self, wanted: usize, now: Millis, actions: &mut Vec<Action>) {
        // Half of the slots, since a reload has two generations side by side.
        let wanted = wanted.clamp(1, self.slots / 2);
        if wanted != self.scale.workers && self.live.is_some() {
            self.scale.workers = wanted;
            self.scaler.settle(now);
            actions.push(Action::Info(format!("{} wanted", workers(wanted))));
        }
    }

    /// Adds workers, or lets one go, if there is a range to do that in.
    pub(super) fn feel(&mut self, pressure: Pressure, now: Millis, actions: &mut Vec<Action>) {
        let Some(settings) = self.live.as_ref().map(|live| live.settings) else { return };
        let busy_otherwise = self.next.is_some() || self.leaving.is_some() || self.stopping.is_some();
        if busy_otherwise || settings.workers >= settings.most {
            return;
        }
        let current = self.scale.workers;
        // Those that are still coming have not helped yet.
        if self.ready() < current {
            return;
        }
        let wanted = self.scaler.decide(pressure, current, (settings.workers, settings.most), now);
        if wanted != current {
            let why = if wanted < current {
                "there is little to do".to_owned()
            } else if pressure.waited > 0 {
                format!("{} requests had to wait", pressure.waited)
            } else {
                format!("those there are were {} % busy", pressure.busy / current.max(1) as u64 / 10)
            };
            self.scale.workers = wanted;
            actions.push(Action::Info(format!("{} wanted: {why}", workers(wanted))));
        }
    }
}
