//! The one way to start a task: named, and its panic caught, counted and told.
//!
//! The wrapper lies inside the task's own allocation and adds its name, no more. A panic ends its
//! task alone; the error log gets the place and the words at `alert`, `gatepost_observe_panics_total`
//! counts it, and [`JoinError`](tokio::task::JoinError) tells whoever waits.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{
    AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook,
};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::task::{JoinError, JoinHandle};

use super::escape::Quoted;
use super::{Level, Log, Metrics};

/// Starts a task on this thread's runtime.
#[expect(clippy::disallowed_methods, reason = "this is the place that everybody else is sent to")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(Named { future, name })
}

/// How long after its panic a task begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// A task that the process cannot do without: after a panic it begins anew, until it ends by itself.
/// Who drops this ends it.
pub async fn keep_up<F, T>(name: &'static str, mut begin: F)
where
    F: FnMut() -> T,
    T: Future<Output = ()> + Send + 'static,
{
    while Leashed(spawn(name, begin())).await.is_err_and(|error| error.is_panic()) {
        tokio::time::sleep(AGAIN).await;
    }
}

/// A task that ends when it is dropped.
struct Leashed(JoinHandle<()>);

impl Future for Leashed {
    type Output = Result<(), JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What stands for the task's name where a panic was in none.
const NO_TASK: &str = "none";

/// Who hears of panics. Set at start, and again when a reload brings another log.
static WITNESS: ArcSwapOption<(Log, Metrics)> = ArcSwapOption::const_empty();

thread_local! {
    /// The task that this thread is polling.
    static CURRENT: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// Where the last panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From here on panics go to `log` and are counted in `metrics`, those outside of tasks too.
pub fn on_panic(log: Log, metrics: Metrics) {
    static HOOK: Once = Once::new();
    WITNESS.store(Some(Arc::new((log, metrics))));
    HOOK.call_once(|| {
        let outer = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            if CURRENT.get().is_some() {
                // The task's wrapper says it all, once the stack is unwound.
                PLACE.set(place);
            } else {
                outer(info);
                report(NO_TASK, place.as_deref(), info_text(info));
            }
        }));
    });
}

fn info_text<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("no message")
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<&'static str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("no message", String::as_str),
    }
}

fn report(task: &'static str, place: Option<&str>, text: &str) {
    let Some(witness) = WITNESS.load_full() else {
        return;
    };
    let (log, metrics) = &*witness;
    metrics.panicked(task);
    let (place, text) = (place.unwrap_or("an unknown place"), Quoted(text.as_bytes()));
    log.line(Level::Alert, None, format_args!("task {task} panicked at {place}: \"{text}\""));
}

pin_project_lite::pin_project! {
    /// A future that knows its task's name.
    struct Named<F> {
        #[pin]
        future: F,
        name: &'static str,
    }
}

/// Puts the outer task back, on a panic too: a task may poll another's future within its own.
struct Restore(Option<&'static str>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let name = *this.name;
        let polled = {
            let _restore = Restore(CURRENT.replace(Some(name)));
            // Unwind safe: the future is never polled again, it is only dropped.
            catch_unwind(AssertUnwindSafe(|| this.future.poll(context)))
        };
        polled.unwrap_or_else(|payload| {
            report(name, PLACE.take().as_deref(), payload_text(&*payload));
            // The runtime catches it in its turn, so the handle's owner hears of it.
            resume_unwind(payload)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_done_without_begins_anew() {
        let mut begun = 0;
        keep_up("test", || {
            begun += 1;
            let is_last = begun == 3;
            async move { assert!(is_last, "a fault") }
        })
        .await;
        assert_eq!(begun, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_up_ends_with_who_keeps_it_up() {
        let held = Arc::new(());
        let own = Arc::clone(&held);
        let keeper = spawn("keeper", async move {
            keep_up("kept", || {
                let own = Arc::clone(&own);
                async move {
                    std::future::pending::<()>().await;
                    drop(own);
                }
            })
            .await;
        });
        tokio::time::sleep(AGAIN).await;
        assert_eq!(Arc::strong_count(&held), 3);
        keeper.abort();
        tokio::time::sleep(AGAIN).await;
        assert_eq!(Arc::strong_count(&held), 1);
    }

    /// One test: the hook and the witness belong to the whole process.
    #[tokio::test]
    async fn a_panic_ends_its_task_alone_and_is_counted_and_told() {
        let (log, memory) = Log::memory(Level::Alert);
        let metrics = Metrics::new();
        on_panic(log, metrics.clone());
        let (a, b) = (40, 2);
        let planted = spawn("planted", async move {
            tokio::task::yield_now().await;
            assert_ne!(a + b, 42, "\"no\"\n");
        });
        let other = spawn("other", async { "well" });
        assert!(planted.await.unwrap_err().is_panic());
        assert_eq!(other.await.unwrap(), "well");

        let lines = memory.lines();
        let told: Vec<_> = lines.iter().filter(|line| line.contains("task planted")).collect();
        assert_eq!(told.len(), 1, "{lines:?}");
        let line = told[0];
        assert!(line.contains("[alert]") && line.contains("panicked at src/observe/tasks.rs:"));
        assert!(line.contains("\\x22no\\x22\\x0A") && line.ends_with('"'), "{line}");
        assert!(
            metrics.render().contains("gatepost_observe_panics_total{task=\"planted\"} 1\n"),
            "{}",
            metrics.render()
        );

        // A panic outside of any task is told by the hook itself.
        assert!(std::thread::spawn(|| panic!("bare thread")).join().is_err());
        let is_told =
            |line: &String| line.contains("task none panicked") && line.contains("bare thread");
        assert!(memory.lines().iter().any(is_told), "{:?}", memory.lines());
    }

    #[tokio::test]
    async fn a_task_gives_its_value_and_can_be_aborted() {
        assert_eq!(spawn("ready", ready(7)).await.unwrap(), 7);
        let stuck = spawn("stuck", std::future::pending::<()>());
        stuck.abort();
        assert!(stuck.await.unwrap_err().is_cancelled());
    }

    #[test]
    fn a_name_is_all_that_a_task_costs() {
        assert_eq!(size_of::<Named<[u64; 100]>>(), size_of::<[u64; 100]>() + size_of::<&str>());
    }
}
