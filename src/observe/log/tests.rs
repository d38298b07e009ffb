use std::net::SocketAddr;

use super::*;
use crate::observe::escape::Quoted;

fn ip(text: &str) -> Addr {
    text.parse::<SocketAddr>().unwrap().into()
}

/// The part of a line after its date, with this process's number taken out.
fn rest(line: &str) -> String {
    let date = "YYYY/MM/DD HH:MM:SS";
    let shape = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    let got: Vec<u8> = line.bytes().take(date.len()).map(shape).collect();
    assert_eq!(String::from_utf8_lossy(&got), "0000/00/00 00:00:00", "{line}");
    line[date.len()..].replacen(&std::process::id().to_string(), "PID", 1)
}

fn said(level: Level, tail: Option<&Tail<'_>>, message: impl fmt::Display) -> String {
    let (log, memory) = Log::memory(Level::Debug);
    match tail {
        Some(tail) => log.session(level, tail, message),
        None => log.line(level, None, message),
    }
    let mut lines = memory.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    rest(&lines.remove(0))
}

#[test]
fn a_line_has_nginxs_shape_at_every_step_of_a_session() {
    let (client, server, upstream) = (ip("192.0.2.7:4711"), ip("192.0.2.1:143"), ip("[::1]:993"));
    let bare = Tail {
        connection: 9,
        doing: None,
        client: &client,
        starttls: false,
        server: &server,
        login: None,
        upstream: None,
    };
    let doing = Some("connecting to upstream");
    let named = Tail { starttls: true, login: Some(b"mrose"), ..bare };
    let whole = Tail { doing, upstream: Some(&upstream), ..named };
    for (tail, want) in [
        (None, " [info] PID#0: m"),
        (Some(&bare), " [info] PID#0: *9 m, client: 192.0.2.7, server: 192.0.2.1:143"),
        (
            Some(&named),
            " [info] PID#0: *9 m, client: 192.0.2.7 using starttls, server: 192.0.2.1:143, login: \"mrose\"",
        ),
        (
            Some(&whole),
            " [info] PID#0: *9 m while connecting to upstream, client: 192.0.2.7 using starttls, \
             server: 192.0.2.1:143, login: \"mrose\", upstream: [::1]:993",
        ),
    ] {
        assert_eq!(said(Level::Info, tail, "m"), want);
    }
}

#[test]
fn a_connection_is_named_before_it_is_a_session() {
    let (log, memory) = Log::memory(Level::Info);
    log.line(Level::Info, Some(9), "client 192.0.2.7:4711 connected to 192.0.2.1:143");
    let want = " [info] PID#0: *9 client 192.0.2.7:4711 connected to 192.0.2.1:143";
    assert_eq!(rest(&memory.lines()[0]), want);
}

#[test]
fn a_thread_signs_with_its_number() {
    std::thread::spawn(|| {
        number_thread(3);
        assert_eq!(said(Level::Notice, None, "m"), " [notice] PID#3: m");
    })
    .join()
    .unwrap();
}

#[test]
fn each_target_takes_lines_from_its_own_level_up() {
    let (all, errors) = (Memory::default(), Memory::default());
    let log = Log::to(vec![
        (Sink::Memory(all.clone()), Level::Info),
        (Sink::Memory(errors.clone()), Level::Error),
    ]);
    for level in Level::ALL {
        log.line(level, None, level);
    }
    assert_eq!((all.lines().len(), errors.lines().len()), (7, 4));
    assert!(log.enabled(Level::Info) && !log.enabled(Level::Debug));
    assert!(!Log::silent().enabled(Level::Emerg));
}

#[test]
fn a_line_nobody_wants_is_never_formatted() {
    struct Costly;
    impl fmt::Display for Costly {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("formatted for nobody")
        }
    }
    // From `warn` up they are kept for who asks.
    Log::memory(Level::Error).0.line(Level::Notice, None, Costly);
}

#[test]
fn nothing_from_the_network_breaks_the_line_or_climbs_out_of_its_quotes() {
    let (client, server) = (ip("192.0.2.7:4711"), Addr::unix("/run/a\nb"));
    let tail = Tail {
        connection: 9,
        doing: None,
        client: &client,
        starttls: false,
        server: &server,
        login: Some(b"a\r\n2026/11/20 00:00:00 [info]\", client: 10.0.0.1\\\xff"),
        upstream: None,
    };
    let text = b"no\n\", client: 10.0.0.2";
    let message = format!("client login failed: \"{}\" \n", Quoted(text));
    let want = r#" [info] PID#0: *9 client login failed: "no\x0A\x22, client: 10.0.0.2" \x0A, client: 192.0.2.7, server: unix:/run/a\x0Ab, login: "a\x0D\x0A2026/11/20 00:00:00 [info]\x22, client: 10.0.0.1\x5C\xFF""#;
    assert_eq!(said(Level::Info, Some(&tail), message), want);
}

#[test]
fn a_line_is_bounded_and_its_tail_survives() {
    let (client, server, upstream) = (ip("192.0.2.7:4711"), ip("192.0.2.1:143"), ip("[::1]:993"));
    let tail = Tail {
        connection: u64::MAX,
        doing: Some("reading response from upstream"),
        client: &client,
        starttls: true,
        server: &server,
        login: Some(&[0; 9000]),
        upstream: Some(&upstream),
    };
    let (log, memory) = Log::memory(Level::Debug);
    log.session(Level::Info, &tail, "x".repeat(9000));
    log.line(Level::Info, None, "y".repeat(9000));
    let lines = memory.lines();
    assert!(lines.iter().all(|line| line.len() < MAX_LINE), "{lines:?}");
    assert!(lines[0].contains("xxx... while reading"), "{}", lines[0]);
    assert!(lines[0].ends_with("\\x00...\", upstream: [::1]:993"), "{}", lines[0]);
    assert!(lines[1].ends_with("yyy..."), "{}", lines[1]);
}

#[test]
fn a_message_that_logs_does_no_harm() {
    struct Nested(Log);
    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.line(Level::Info, None, "inner");
            f.write_str("outer")
        }
    }
    let (log, memory) = Log::memory(Level::Info);
    log.line(Level::Info, None, Nested(log.clone()));
    let lines: Vec<_> = memory.lines().iter().map(|line| rest(line)).collect();
    assert_eq!(lines, [" [info] PID#0: inner", " [info] PID#0: outer"]);
}

#[test]
fn two_logs_write_whole_lines_to_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.log");
    let open = || Log::open(&[(Target::File(path.clone()), Level::Info)]).unwrap();
    let threads: Vec<_> = [open(), open()]
        .into_iter()
        .map(|log| {
            std::thread::spawn(move || {
                for _ in 0..500 {
                    log.line(Level::Info, None, "x".repeat(300));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.lines().all(|line| line.ends_with(&format!("#0: {}", "x".repeat(300)))));
}

/// One test, as levels are the whole process's.
#[test]
fn a_level_set_by_hand_holds_for_whom_it_was_set_and_ends() {
    use super::levels::Subject;
    let subject = |text: &str| Subject::parse(text).unwrap();
    let (loud, quiet) = (Memory::default(), Memory::default());
    let log = Log::to(vec![
        (Sink::Memory(loud.clone()), Level::Error),
        (Sink::Memory(quiet.clone()), Level::Crit),
    ]);
    assert!(!log.enabled(Level::Debug));
    // This file is of the room observe.
    levels::set(subject("route"), Some(Level::Debug), None).unwrap();
    assert!(!log.enabled(Level::Debug));
    levels::set(subject("observe"), Some(Level::Debug), None).unwrap();
    assert!(log.enabled(Level::Debug));
    log.line(Level::Debug, None, "one");
    levels::set(subject("observe"), Some(Level::Alert), None).unwrap();
    log.line(Level::Crit, None, "two");
    levels::set(subject("observe"), None, None).unwrap();
    log.line(Level::Info, None, "three");
    let (client, server) = (ip("192.0.2.7:4711"), ip("192.0.2.1:143"));
    let tail = |login| Tail {
        connection: 7,
        doing: None,
        client: &client,
        starttls: false,
        server: &server,
        login,
        upstream: None,
    };
    levels::set(subject("user:mrose"), Some(Level::Debug), None).unwrap();
    log.session(Level::Debug, &tail(Some(b"MRose")), "four");
    log.session(Level::Debug, &tail(Some(b"bob")), "five");
    log.line(Level::Debug, None, "six");
    let over = std::time::Instant::now();
    levels::set(subject("user:mrose"), Some(Level::Debug), Some(over)).unwrap();
    log.session(Level::Debug, &tail(Some(b"mrose")), "seven");
    assert_eq!(levels::list().len(), 1);
    assert_eq!(levels::clear(), 1);
    assert!(levels::list().is_empty() && !log.enabled(Level::Debug));
    let told: Vec<String> = loud.lines();
    let is_there = |word: &str| told.iter().any(|line| line.contains(word));
    assert!(is_there(": one") && is_there(" four") && told.len() == 2, "{told:?}");
    assert!(quiet.lines().is_empty());
    // What nobody wanted in the log is among the last warnings.
    assert!(ring::recent().iter().any(|line| line.ends_with("two")));
}

#[test]
fn the_last_warnings_are_kept_and_no_more() {
    let log = Log::silent();
    for number in 0..ring::KEPT + 10 {
        log.line(Level::Warn, None, format_args!("warning {number}."));
    }
    log.line(Level::Notice, None, "no warning");
    let kept = ring::recent();
    assert_eq!(kept.len(), ring::KEPT);
    assert!(kept.last().unwrap().ends_with("warning 209."), "{kept:?}");
}
