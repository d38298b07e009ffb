//! Real memcached servers, as children on loopback addresses of their own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::loopback::fresh_ip;
use super::process::send;
use super::wait::{PATIENCE, until};

const PORT: u16 = 11211;

/// One server; killed on drop.
pub struct Memcached {
    ip: Ipv4Addr,
    child: Option<Child>,
}

impl Memcached {
    /// Started, and answering.
    #[track_caller]
    pub fn start() -> Self {
        let mut server = Self::absent();
        server.restart();
        server
    }

    /// Not started yet; its address is its own.
    pub fn absent() -> Self {
        Self { ip: fresh_ip(), child: None }
    }

    /// So many servers.
    #[track_caller]
    pub fn fleet(size: usize) -> Vec<Self> {
        (0..size).map(|_| Self::start()).collect()
    }

    pub fn addr(&self) -> SocketAddr {
        (self.ip, PORT).into()
    }

    /// As a configuration names it, in `server` of `memcached`.
    pub fn name(&self) -> String {
        self.addr().to_string()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that is stopped is killed too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, empty, where it was.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("memcached");
        command.args(["-U", "0", "-u", "nobody", "-t", "1", "-m", "16", "-p", &PORT.to_string()]);
        command.args(["-l", &self.ip.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("memcached is installed by tests/run"));
        until("memcached to answer", || TcpStream::connect(self.addr()).ok());
    }

    /// Stops it: connections to it are made, and nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it is not running");
        send(child.id(), signal);
    }

    /// Says a line, and gives the lines of its answer until `end` comes.
    pub fn say(&self, line: &str, end: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(stream).split(b'\n') {
            // What is sealed is any bytes.
            let line = String::from_utf8_lossy(&line.unwrap()).trim_end_matches('\r').to_owned();
            if line.starts_with(end) {
                return lines;
            }
            lines.push(line);
        }
        panic!("it hung up: {lines:?}");
    }

    /// What is there, as anybody can see who reaches it.
    pub fn get(&self, key: &str) -> Option<String> {
        self.say(&format!("get {key}"), "END").into_iter().nth(1)
    }

    /// How many entries it holds.
    pub fn count(&self) -> usize {
        let stats = self.say("stats", "END");
        let line = stats.iter().find_map(|line| line.strip_prefix("STAT curr_items "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}
