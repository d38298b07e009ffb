//! A listener with a thread for each connection, which ends when it is dropped.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{fresh_ip, until};

pub struct Acceptor {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    accepted: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Acceptor {
    /// Listens on an address of its own and gives each connection to `play`, on its own thread.
    pub fn start(play: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::over(TcpListener::bind((fresh_ip(), 0)).unwrap(), play)
    }

    /// The same at `addr`, where another has been.
    pub fn again(addr: SocketAddr, play: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::over(until("the address to be free", || TcpListener::bind(addr).ok()), play)
    }

    fn over(listener: TcpListener, play: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (also, play) = (shared.clone(), Arc::new(play));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if also.is_over.load(Ordering::SeqCst) {
                    break;
                }
                also.accepted.fetch_add(1, Ordering::SeqCst);
                also.open.lock().unwrap().push(stream.try_clone().unwrap());
                let play = play.clone();
                let played = move || {
                    let also = stream.try_clone();
                    play(stream);
                    // The copy in `open` would keep the connection up.
                    let _ = also.map(|stream| stream.shutdown(Shutdown::Both));
                };
                thread::Builder::new().stack_size(256 << 10).spawn(played).unwrap();
            }
        });
        Self { addr, shared }
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.addr);
        for stream in self.shared.open.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
