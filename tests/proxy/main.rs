//! # gatepost, live
//!
//! The real gatepost between clients and mail servers: real ones (Dovecot, curl, mbsync, openssl,
//! Python), and scripted ones where a real one behaves too well. `tests/run` installs what is
//! needed; `peers` shows that the peers do by themselves what the other modules rely on.

#![allow(clippy::unwrap_used)] // tests: a panic is the report

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod dialog;
mod scene;
mod scripted;
mod sieve;

mod balancer;
mod certificates;
mod clients;
mod control;
mod diag;
mod examples;
mod fail2ban;
mod fleet;
mod generations;
mod header;
mod hostile;
mod imap;
#[cfg(feature = "krb5")]
mod kerberos;
mod limits;
mod listeners;
mod login;
mod logs;
mod lookup;
mod lookup_server;
mod lookups;
mod masters;
mod mechanisms;
mod monitoring;
mod names;
mod nginx;
mod ops;
mod peers;
mod pop3;
mod privilege;
mod process;
mod regressions;
mod relay;
mod reload;
mod rotation;
mod services;
mod shelf;
mod smtp;
mod sources;
mod submission;
mod tls;
mod tokens;
mod uniform;
mod upgrade;
mod upstreams;
