//! A future that goes on for as long as it can.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls in a row, at most: others want their turn too.
const MOST: usize = 64;

/// Polls `future` again at once when it has woken itself: a guest and those who take
/// what it writes go on in turns until one of them waits for somebody else.
///
/// Behind the other tasks of its worker, each turn would begin with cold caches, with
/// as many instances in the middle of a request as there are requests, and a short
/// response would go out in pieces.
pub(super) async fn eagerly<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    poll_fn(|cx| bell.poll(future.as_mut(), &waker, cx)).await
}

/// Hears the future wake itself.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    /// It is being polled: nobody else needs to be told.
    polling: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    fn poll<F: Future>(
        &self,
        mut future: Pin<&mut F>,
        waker: &Waker,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.set_task(cx.waker());
        self.polling.store(true, SeqCst);
        for _ in 0..MOST {
            self.rung.store(false, SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if !self.rung.load(SeqCst) {
                break;
            }
        }
        self.polling.store(false, SeqCst);
        // It may have rung before that, and told nobody.
        if self.rung.load(SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *task {
            Some(task) => task.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, SeqCst);
        if !self.polling.load(SeqCst)
            && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Polls a future that wakes itself `times` times, once; whether it got to its
    /// end, and how often its task was woken.
    fn polled_once(times: usize) -> (bool, usize) {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(counter.clone());
        let mut left = times;
        let mut future = pin!(eagerly(poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        (done, counter.0.load(SeqCst))
    }

    #[test]
    fn it_goes_on_until_it_waits_for_others_or_has_had_its_turn() {
        assert_eq!(polled_once(0), (true, 0));
        assert_eq!(polled_once(MOST - 1), (true, 0));
        assert_eq!(polled_once(MOST), (false, 1), "it comes back after the others");
    }

    #[test]
    fn whoever_else_wakes_it_wakes_the_task() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let thread = std::thread::spawn(move || sender.send(7));
        let heard = runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(60), eagerly(receiver)).await });
        assert_eq!(heard.unwrap(), Ok(7));
        thread.join().unwrap().unwrap();
    }

    /// The epochs' way to let others of the worker run: a tokio that woke the task at
    /// once would have it go on 64 times instead.
    #[test]
    fn a_future_that_yields_lets_the_other_tasks_run_first() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Arc::new(Mutex::new(Vec::new()));
        let turn = |who: &'static str| {
            let turns = turns.clone();
            move || turns.lock().unwrap().push(who)
        };
        let (guest, other) = (turn("guest"), turn("other"));
        runtime.block_on(async {
            let yielding = tokio::spawn(eagerly(async move {
                guest();
                tokio::task::yield_now().await;
                guest();
            }));
            tokio::spawn(async move { other() }).await.unwrap();
            yielding.await.unwrap();
        });
        assert_eq!(*turns.lock().unwrap(), ["guest", "other", "guest"]);
    }
}
