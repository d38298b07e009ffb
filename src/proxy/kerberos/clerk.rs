//! The clerk: a process of ours that does nothing but Kerberos.
//!
//! Its standard output is the socket to gatepost, its standard input the keytab, if gatepost has
//! read one. It serves one order after the other, and ends when the socket does.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::Error;
use super::acceptor::{Acceptor, Rounds};
use super::frame::{Order, write_answer};
use crate::login::Advice;

/// Exchanges at once. Each is a session's, and gatepost takes back what no session waits for.
const MAX_EXCHANGES: usize = 65_536;

/// Serves until gatepost closes the socket.
pub fn run(host: Option<&str>, realm: Option<&str>) -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut from = io::BufReader::new(socket.try_clone()?);
    let mut clerk = Clerk { host, realm, services: HashMap::new(), open: HashMap::new() };
    while let Some(order) = Order::read(&mut from)? {
        match order {
            Order::Take { exchange, service, token } => {
                let answer = clerk.take(exchange, &service, &token);
                write_answer(&answer, &mut socket)?;
            }
            Order::Forget { exchange } => drop(clerk.open.remove(&exchange)),
        }
    }
    Ok(())
}

struct Clerk<'a> {
    host: Option<&'a str>,
    realm: Option<&'a str>,
    services: HashMap<String, Acceptor>,
    open: HashMap<u64, Rounds>,
}

impl Clerk<'_> {
    fn take(&mut self, exchange: u64, service: &str, token: &[u8]) -> Result<Advice, Error> {
        let mut rounds = match self.open.remove(&exchange) {
            Some(rounds) => rounds,
            None if self.open.len() >= MAX_EXCHANGES => {
                return Err(Error::Unable("too many GSSAPI exchanges at once".to_owned()));
            }
            None => self.acceptor(service)?.begin(),
        };
        let advice = rounds.accept(token)?;
        if !matches!(advice, Advice::Known { .. }) {
            self.open.insert(exchange, rounds);
        }
        Ok(advice)
    }

    fn acceptor(&mut self, service: &str) -> Result<&Acceptor, Error> {
        if !self.services.contains_key(service) {
            let acceptor = Acceptor::new(service, self.host, self.realm)?;
            self.services.insert(service.to_owned(), acceptor);
        }
        Ok(&self.services[service])
    }
}
