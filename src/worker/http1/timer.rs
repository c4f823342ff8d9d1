//! One timer a connection, moved as rarely as possible.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is allowed to wake too early: a deadline that moves away, as it
/// does with every request, then costs nothing until the old one has passed.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// When it will wake, if it is set.
    pub(super) fn armed(&self) -> Option<Instant> {
        self.0.as_ref().filter(|sleep| !sleep.is_elapsed()).map(|sleep| sleep.deadline())
    }

    /// Ready once `due` has passed; until then the task is woken at `due` or before.
    pub(super) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            if sleep.is_elapsed() && sleep.deadline() < due || sleep.deadline() > due {
                sleep.as_mut().reset(due);
            }
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
        }
    }
}
