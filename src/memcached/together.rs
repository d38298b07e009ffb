//! Waiting for several at once: a handful of servers, so each wake looks at all that are not done.

use std::future::poll_fn;
use std::task::Poll;

/// What `futures` give, in their order, when the last has.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<_> = waiting.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if let Some(Poll::Ready(output)) = future.as_mut().map(|f| f.as_mut().poll(cx)) {
                (*future, *done) = (None, Some(output));
            }
        }
        if waiting.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn they_are_waited_for_at_once() {
        let start = Instant::now();
        let slow = [3, 1, 2].map(|n| async move {
            sleep(Duration::from_secs(n)).await;
            n
        });
        assert_eq!(super::all(slow).await, [3, 1, 2]);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }
}
