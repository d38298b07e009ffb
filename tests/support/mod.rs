//! # What the live tests stand on
//!
//! The real gatepost between clients and servers, each in a folder and on loopback addresses of its
//! own: [`Gatepost`], [`Dovecot`], [`Postfix`], [`Postgres`], [`Slapd`], [`Kdc`], [`Client`], [`Sender`], [`FakeUpstream`],
//! [`FakeLookup`], [`Provider`], [`Ca`].
//!
//! **Promises.**
//! - No fixed port and no race for one: every party has a 127.x.y.z that no other test run holds.
//! - No bare sleep: whatever is waited for has a name and a deadline ([`until`], [`PATIENCE`]).
//! - No system service: peers are children in the foreground, stopped by their pid on drop.
//!
//! **Limits.** Linux only (`/proc`, abstract sockets, all of 127/8 on `lo`).

mod acceptor;
mod cert;
mod client;
mod conf;
mod dovecot;
mod gatepost;
mod gss;
mod kdc;
mod lookup;
mod loopback;
mod memcached;
mod nginx;
mod oauth;
mod place;
mod postfix;
mod postgres;
mod process;
mod sieve;
mod slapd;
mod talk;
mod tls;
mod tools;
mod upstream;
mod wait;

pub use cert::{Ca, Pair};
pub use client::{Client, Mechanism, Protocol, encoded};
pub use conf::{fill, mail};
pub use dovecot::Dovecot;
pub use gatepost::{Gatepost, command};
pub use gss::GssClient;
pub use kdc::Kdc;
pub use lookup::{Asked, FakeLookup, answer};
#[allow(unused_imports)] // for the tests of what is built upon the cache
pub use memcached::Memcached;
pub use nginx::Nginx;
pub use oauth::Provider;
pub use place::{
    IMAP, IMAPS, LMTP, POP3, POP3S, SIEVE, SIEVES, SMTP, SMTPS, SUBMISSION, Site, fresh_ip,
};
pub use postfix::Postfix;
pub use postgres::Postgres;
pub use process::{Run, end, is_alive, pss_kib, rss_kib, run, send, threads, uid};
pub use sieve::{Said, Sieve};
pub use slapd::Slapd;
pub use talk::Talk;
pub use tls::Tls;
pub use tools::{Security, Sender, message, sieve_connect};
pub use upstream::{FakeUpstream, Manners, imap, pop3};
pub use wait::{PATIENCE, Waiting, until};
