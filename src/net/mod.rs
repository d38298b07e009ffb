//! # net: how connections begin, carry and end
//!
//! Sockets, and nothing that is said over them. Everything above speaks through a [`Stream`] and
//! names its peers by [`Endpoint`]s.
//!
//! **In and out.** `listen` arguments become a [`listen::Listen`], which opens as [`listen::Socket`]s,
//! one per worker. [`accept`] turns a socket into [`accept::Conn`]s that passed the [`limits::Gate`];
//! [`header`] reads what a balancer in front says about the client. [`connect`] reaches upstreams,
//! [`dns`] finds them, [`copy`] carries bytes between two streams until one of them ends;
//! [`sealed`] is such a stream in TLS, as clients have it.
//! [`handover`] gives listening sockets to the next binary.
//!
//! **Promises.**
//! - Every TCP socket has `TCP_NODELAY`: nothing here waits for more to send.
//! - No byte past a PROXY header is taken from the socket, so TLS and dialogues start where they should.
//! - A session that carries nothing holds no buffer, in TLS with clients neither.
//! - A connection that waits in the kernel's queue when a listener is closed for good is still served.
//!
//! **Limits.** A relayed session whose reader has stalled keeps at most [`copy::way::SCRATCH`] bytes of
//! each direction, and as much again of what is sealed for a client; one that is idle keeps none.

pub mod accept;
pub mod addr;
pub mod bell;
pub mod connect;
pub mod copy;
pub mod dns;
pub mod halt;
pub mod handover;
pub mod header;
pub mod limits;
pub mod listen;
pub mod sealed;
pub mod stream;

pub use crate::config::value::os_error as errno;
pub use addr::{Endpoint, Place};
pub use stream::{Plain, Stream};

#[cfg(test)]
mod tests {
    use std::io;

    use super::accept::{Conn, Host, Leave, Notice};
    use super::*;

    struct Deaf;

    impl Host for Deaf {
        fn welcome(&mut self, _: Conn) {}
        fn notice(&mut self, _: Notice) {}
    }

    /// Workers have a runtime each, but nothing here may count on it.
    #[test]
    fn what_is_awaited_may_move_between_threads() {
        fn is_send<T: Send>(_: T) {}
        let _ =
            |socket, gate, stop: halt::Halt<Leave>| is_send(accept::run(socket, gate, stop, Deaf));
        let _ = |names: &dns::Resolver| is_send(names.resolve("a"));
        let _ = |names: &dns::Resolver, ip| is_send(names.host_of(ip));
        let _ = |to: &Endpoint, at| is_send(connect::open(to, connect::Options::default(), at));
        let parse = |_: &[u8]| crate::wire::Parsed::<(), ()>::More;
        let _ = |from: &Plain, at| is_send(header::read(from, at, parse));
    }

    #[test]
    fn an_error_is_worded_as_by_nginx() {
        let taken = io::Error::from_raw_os_error(98);
        assert_eq!(errno(&taken), "98: Address already in use");
        assert_eq!(errno(&io::Error::other("odd")), "odd");
    }
}
