//! Worker threads: an event loop each.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::observe::log;

/// The workers of this process. Threads are added when a reload asks for more, and never taken
/// away: sessions live on them.
#[derive(Debug, Default)]
pub struct Workers {
    handles: Vec<Handle>,
    stops: Vec<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Workers {
    /// Makes sure that there are `count`.
    pub fn grow_to(&mut self, count: usize) -> io::Result<()> {
        while self.handles.len() < count {
            self.add()?;
        }
        Ok(())
    }

    fn add(&mut self) -> io::Result<()> {
        let number = self.handles.len();
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Sessions wake each other in pairs; the clock and the sockets are asked often enough.
            .event_interval(61)
            .build()?;
        self.handles.push(runtime.handle().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                super::privilege::give_up_in_this_thread();
                log::number_thread(u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1));
                // An error says that the sender is gone, which means the same.
                let _ = runtime.block_on(stopped);
            })?;
        self.stops.push((stop, thread));
        Ok(())
    }

    /// The worker that serves the shard of this number.
    pub fn of(&self, shard: usize) -> &Handle {
        &self.handles[shard % self.handles.len()]
    }

    /// Ends the event loops and waits for their threads.
    pub fn join(self) {
        let (stops, threads): (Vec<_>, Vec<_>) = self.stops.into_iter().unzip();
        drop(stops);
        for thread in threads {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}
