//! A server that does what a test wants, and remembers every byte that it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::observe::tasks;

/// One command as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: String,
    pub name: String,
    pub token: String,
    /// From 0, over all connections.
    pub rank: usize,
}

impl Asked {
    /// `code`, as it answers this.
    pub fn answer(&self, code: &str) -> Act {
        Act::Say(format!("{code} k{} O{}\r\n", self.name, self.token).into_bytes())
    }

    pub fn value(&self, value: &[u8]) -> Act {
        let head = format!("VA {} c1 k{} O{}\r\n", value.len(), self.name, self.token);
        Act::Say([head.as_bytes(), value, b"\r\n"].concat())
    }
}

pub enum Act {
    Say(Vec<u8>),
    /// Then the same again, for ever.
    Flood(Vec<u8>),
    Wait(Duration),
    Close,
    /// Nothing more, on this connection.
    Hang,
}

type Script = dyn Fn(&Asked) -> Vec<Act> + Send + Sync;

pub struct Fake {
    addr: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
    seen: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sent, seen) = (Arc::default(), Arc::default());
        let (own_sent, own_seen) = (Arc::clone(&sent), Arc::clone(&seen));
        let script: Arc<Script> = Arc::new(script);
        let task = tasks::spawn("fake memcached", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (sent, seen) = (Arc::clone(&own_sent), Arc::clone(&own_seen));
                tasks::spawn("fake connection", serve(stream, sent, seen, Arc::clone(&script)));
            }
        });
        Self { addr, sent, seen, task }
    }

    pub fn name(&self) -> String {
        self.addr.to_string()
    }

    pub fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap().clone()
    }

    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    sent: Arc<Mutex<Vec<u8>>>,
    seen: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Script>,
) {
    let mut unread = Vec::new();
    loop {
        let asked = loop {
            match next(&mut unread) {
                Some(asked) => break asked,
                None => {
                    let from = unread.len();
                    if stream.read_buf(&mut unread).await.unwrap_or(0) == 0 {
                        return;
                    }
                    sent.lock().unwrap().extend_from_slice(&unread[from..]);
                }
            }
        };
        let asked = {
            let mut seen = seen.lock().unwrap();
            let asked = Asked { rank: seen.len(), ..asked };
            seen.push(asked.clone());
            asked
        };
        for act in script(&asked) {
            let done = match act {
                Act::Say(bytes) => stream.write_all(&bytes).await,
                Act::Flood(bytes) => loop {
                    if let Err(error) = stream.write_all(&bytes).await {
                        break Err(error);
                    }
                },
                Act::Wait(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Act::Close => return,
                Act::Hang => return std::future::pending().await,
            };
            if done.is_err() {
                return;
            }
        }
    }
}

/// The command at the front, taken out with its value.
fn next(unread: &mut Vec<u8>) -> Option<Asked> {
    let end = unread.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8(unread[..end].to_vec()).expect("a line that is text");
    let words: Vec<_> = line.split(' ').collect();
    let value = match words[0] {
        "ms" => words[2].parse::<usize>().unwrap() + 2,
        _ => 0,
    };
    if unread.len() < end + 2 + value {
        return None;
    }
    unread.drain(..end + 2 + value);
    let token = words.iter().skip(2).find_map(|word| word.strip_prefix('O'));
    Some(Asked {
        verb: words[0].into(),
        name: words.get(1).copied().unwrap_or_default().into(),
        token: token.unwrap_or_default().into(),
        rank: 0,
    })
}
