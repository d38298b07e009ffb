//! PROXY headers from balancers, and for upstreams.

use super::{Backend, Play};

#[test]
fn a_client_behind_a_balancer() {
    Play::imap().listen("proxy_protocol").server("set_real_ip_from 127.0.0.0/8;").same(
        r#"
        C: PROXY TCP4 192.0.2.7 198.51.100.1 4711 143
        = greeted
        C: a LOGIN bob pw
        S: a OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: 192.0.2.7
        A: Proxy-Protocol-Addr: 192.0.2.7
        A: Proxy-Protocol-Port: 4711
        A: Proxy-Protocol-Server-Addr: 198.51.100.1
        A: Proxy-Protocol-Server-Port: 143
        L: [info] client logged in, client: 192.0.2.7, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn a_client_behind_somebody_else() {
    Play::imap().listen("proxy_protocol").server("set_real_ip_from 192.0.2.1;").same(
        r#"
        C: PROXY TCP4 192.0.2.7 198.51.100.1 4711 143
        = greeted
        C: a LOGIN bob pw
        S: a OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Proxy-Protocol-Addr: 192.0.2.7
        A: Proxy-Protocol-Port: 4711
        A: Proxy-Protocol-Server-Addr: 198.51.100.1
        A: Proxy-Protocol-Server-Port: 143
        "#,
    );
}

#[test]
fn a_header_that_is_none() {
    Play::imap().listen("proxy_protocol").server("set_real_ip_from 127.0.0.0/8;").same(
        r#"
        C: a LOGIN bob pw
        S: <end>
        L: [error] broken header: "a LOGIN bob pw{any}
        "#,
    );
}

#[test]
fn a_header_for_the_upstream() {
    // No answer to the header itself.
    let up = Backend::imap().says("TCP4", "<silence>");
    Play::imap().mail("proxy_protocol on;").backend(up).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: a OK in
        B: PROXY TCP4 {client} {server_ip} {client_port} 10200
        ! IMAP: LOGIN with literals
        N B: a LOGIN {3}
        N B: bob {2}
        N B: pw
        G B: g1 ID {any}
        G B: g2 LOGIN "bob" "pw"
        "#,
    );
}
