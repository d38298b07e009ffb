//! Many clients at once, some idle and some busy, for what must not touch any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::scene::{Scene, Way};
use crate::support::{Client, until};

pub const IDLE: usize = 500;
pub const BUSY: usize = 20;

pub struct Crowd {
    idle: Vec<Client>,
    busy: Vec<JoinHandle<usize>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    rounds: AtomicUsize,
}

impl Crowd {
    /// 500 idle sessions and 20 busy ones, half of each over TLS. The upstream must echo.
    pub fn gather(scene: &Scene) -> Self {
        let way = |number: usize| if number.is_multiple_of(2) { Way::Tls } else { Way::Clear };
        let idle = (0..IDLE).map(|number| scene.let_in_by(way(number))).collect();
        let shared = Arc::new(Shared::default());
        let busy = (0..BUSY)
            .map(|number| {
                let (client, shared) = (scene.let_in_by(way(number)), shared.clone());
                thread::spawn(move || work(client, number, &shared))
            })
            .collect();
        let crowd = Self { idle, busy, shared };
        crowd.works_on();
        crowd
    }

    /// Waits until the busy ones have done some more.
    pub fn works_on(&self) {
        let before = self.shared.rounds.load(Ordering::SeqCst);
        until("the busy sessions to work on", || {
            let ended = self.busy.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a busy session has ended");
            (self.shared.rounds.load(Ordering::SeqCst) > before + BUSY * 5).then_some(())
        });
    }

    /// Every session lives and nobody hears what another said; then all leave.
    pub fn leaves_whole(mut self) {
        self.works_on();
        self.shared.is_over.store(true, Ordering::SeqCst);
        for (number, mut client) in self.idle.drain(..).enumerate() {
            client.ask(&format!("NOOP idle {number}")).is("OK").tells(&format!("idle {number}"));
            client.ask("LOGOUT").is("OK");
            client.hears_the_end();
        }
        for busy in self.busy {
            let rounds = busy.join().expect("a busy session broke");
            assert!(rounds > 0);
        }
    }
}

/// Says things of all lengths and hears them back, until it is told to stop.
fn work(mut client: Client, number: usize, shared: &Shared) -> usize {
    let mut round = 0;
    while !shared.is_over.load(Ordering::SeqCst) {
        let said = format!("NOOP {number} {round} {}", "x".repeat(round * 37 % 20_000));
        let reply = client.ask(&said).is("OK");
        assert_eq!(reply.untagged, [format!("* ECHO {said}")]);
        round += 1;
        shared.rounds.fetch_add(1, Ordering::SeqCst);
    }
    client.ask("LOGOUT").is("OK");
    client.hears_the_end();
    round
}
