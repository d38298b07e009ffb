//! POP3 with the client.

use super::{Backend, Play};

const STLS: &str =
    "starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";

/// The upstream's password is said by the handler: nobody else has one.
const WITH_PASSWORD: &str =
    "Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: {up_port}\nAuth-Pass: secret";

#[test]
fn a_session_up_to_its_login() {
    Play::pop3().differs(
        r#"
        ! the same few words for everything
        N S: +OK POP3 ready
        G S: +OK gatepost ready
        C: USER bob
        S: +OK
        C: PASS pw
        S: +OK in
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER bob
        B: PASS pw
        L: [info] client {client}:{client_port} connected to {server}
        L: [info] client logged in, client: {client}, server: {server}, login: "bob", upstream: {up}
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: pop3
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        = hang up
        S: <end>
        L: [info] proxied session done, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn capabilities() {
    Play::pop3().mail("pop3_auth plain;").server(STLS).differs(
        r#"
        = greeted
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        S: STLS
        ! POP3 commands to 128 bytes
        G S: RESP-CODES
        G S: AUTH-RESP-CODE
        G S: PIPELINING
        G S: XCLIENT
        S: .
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: LOGIN
        S: .
        C: NOOP
        S: +OK
        "#,
    );
}

#[test]
fn capabilities_with_challenges() {
    Play::pop3()
        .mail("pop3_auth plain apop cram-md5 external; pop3_capabilities TOP USER UIDL LAST;")
        .differs(
            r#"
        ! the same few words for everything
        N S: +OK POP3 ready {salt}
        G S: +OK gatepost ready {salt}
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: LAST
        S: SASL PLAIN LOGIN CRAM-MD5 EXTERNAL
        ! POP3 commands to 128 bytes
        G S: RESP-CODES
        G S: AUTH-RESP-CODE
        G S: PIPELINING
        G S: XCLIENT
        S: .
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: LOGIN
        S: CRAM-MD5
        S: EXTERNAL
        S: .
        "#,
        );
}

#[test]
fn goodbye() {
    Play::pop3().differs(
        r#"
        = greeted
        C: QUIT
        ! the same few words for everything
        N S: +OK
        G S: +OK bye
        S: <end>
        "#,
    );
    Play::pop3().differs(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: QUIT
        ! the same few words for everything
        N S: +OK
        G S: +OK bye
        S: <end>
        "#,
    );
}

#[test]
fn names_and_passwords_with_blanks() {
    Play::pop3().differs(
        r#"
        = greeted
        C: USER us er
        S: +OK
        C: PASS two words\s
        S: +OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: us%20er
        A: Auth-Pass: two%20words%20
        A: Auth-Protocol: pop3
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER us er
        B: PASS two words\s
        "#,
    );
}

#[test]
fn unknown_commands_count_to_max_errors() {
    Play::pop3().server("max_errors 3;").same(
        r#"
        = greeted
        C: LIST
        S: -ERR invalid command
        C: STAT
        S: -ERR invalid command
        C: XTND
        S: -ERR invalid command
        S: <end>
        L: [info] client sent too many invalid commands while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn commands_out_of_order() {
    Play::pop3().server("max_errors 50;").differs(
        r#"
        = greeted
        C: PASS pw
        S: -ERR invalid command
        C: USER
        S: -ERR invalid command
        C: STLS
        S: -ERR invalid command
        C: APOP bob 0123456789abcdef0123456789abcdef
        S: -ERR invalid command
        C: USER bob
        S: +OK
        C: USER eve
        ! A second USER is invalid
        N S: -ERR invalid command
        G S: +OK
        C: user bob
        S: +OK
        C: pass pw
        S: +OK in
        "#,
    );
}

#[test]
fn a_command_too_long() {
    let name = "x".repeat(300);
    Play::pop3().differs(&format!(
        r#"
        = greeted
        C: USER {name}
        ! the same few words for everything
        N S: -ERR invalid command
        G S: -ERR {{any}}
        S: <end>
        L: [info] client sent too long command "{{any}}" while in auth state, client: {{client}}, server: {{server}}
        "#
    ));
}

#[test]
fn a_long_command() {
    let name = "x".repeat(140);
    Play::pop3().differs(&format!(
        r#"
        = greeted
        C: USER {name}
        ! POP3 commands to 128 bytes
        N S: -ERR invalid command
        N S: <end>
        G S: +OK
        "#
    ));
}

#[test]
fn auth_plain_and_login() {
    Play::pop3().differs(
        r#"
        = greeted
        C: AUTH PLAIN
        S: +\s
        C: {plain bob pw}
        S: +OK in
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER bob
        B: PASS pw
        "#,
    );
    Play::pop3().same("= greeted\nC: AUTH PLAIN {plain bob pw}\nS: +OK in");
    Play::pop3().same(
        r#"
        = greeted
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: + UGFzc3dvcmQ6
        C: {b64 pw}
        S: +OK in
        "#,
    );
    Play::pop3().same(
        r#"
        = greeted
        C: AUTH LOGIN {b64 bob}
        S: + UGFzc3dvcmQ6
        C: {b64 pw}
        S: +OK in
        "#,
    );
}

#[test]
fn a_broken_exchange() {
    Play::pop3().server("max_errors 50;").same(
        r#"
        = greeted
        C: AUTH PLAIN
        S: +\s
        C: *
        S: -ERR invalid command
        C: AUTH PLAIN !!!
        S: -ERR invalid command
        C: AUTH CRAM-MD5
        S: -ERR invalid command
        C: AUTH NTLM
        S: -ERR invalid command
        "#,
    );
}

#[test]
fn apop() {
    Play::pop3().mail("pop3_auth plain apop;").answers(&[WITH_PASSWORD]).differs(
        r#"
        ! the same few words for everything
        N S: +OK POP3 ready {salt}
        G S: +OK gatepost ready {salt}
        C: APOP bob {apop pw}
        S: +OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: apop
        A: Auth-User: bob
        A: Auth-Pass: {apop pw}
        A: Auth-Salt: {salt}
        A: Auth-Protocol: pop3
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER bob
        B: PASS secret
        "#,
    );
}

#[test]
fn cram_md5() {
    Play::pop3().mail("pop3_auth plain cram-md5;").answers(&[WITH_PASSWORD]).differs(
        r#"
        ! the same few words for everything
        N S: +OK POP3 ready {salt}
        G S: +OK gatepost ready {salt}
        C: AUTH CRAM-MD5
        S: + {challenge}
        C: {cram bob pw}
        S: +OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: cram-md5
        A: Auth-User: bob
        A: Auth-Pass: {cram_digest pw}
        A: Auth-Salt: {salt}
        A: Auth-Protocol: pop3
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER bob
        B: PASS secret
        "#,
    );
}

#[test]
fn external() {
    Play::pop3().mail("pop3_auth plain external;").answers(&[WITH_PASSWORD]).differs(
        r#"
        ! the same few words for everything
        N S: +OK POP3 ready
        G S: +OK gatepost ready
        C: AUTH EXTERNAL
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: +OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: external
        A: Auth-User: bob
        A: Auth-Pass:\s
        A: Auth-Protocol: pop3
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER bob
        B: PASS secret
        "#,
    );
}

#[test]
fn stls() {
    Play::pop3().server(STLS).differs(
        r#"
        = greeted
        C: STLS
        ! the same few words for everything
        N S: +OK
        G S: +OK begin TLS
        = tls
        C: STLS
        S: -ERR invalid command
        C: USER bob
        S: +OK
        C: PASS pw
        S: +OK in
        L: [info] client logged in, client: {client} using starttls, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn stls_only() {
    let only = "starttls only; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";
    Play::pop3().server(only).differs(
        r#"
        = greeted
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: UIDL
        S: STLS
        ! POP3 commands to 128 bytes
        G S: RESP-CODES
        G S: AUTH-RESP-CODE
        G S: PIPELINING
        G S: XCLIENT
        S: .
        C: USER bob
        ! A login before TLS under `starttls only`
        N S: -ERR invalid command
        G S: -ERR use STLS first
        C: AUTH PLAIN
        ! A login before TLS under `starttls only`
        N S: -ERR invalid command
        G S: -ERR use STLS first
        C: STLS
        ! the same few words for everything
        N S: +OK
        G S: +OK begin TLS
        = tls
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        ! POP3 commands to 128 bytes
        G S: RESP-CODES
        G S: AUTH-RESP-CODE
        G S: PIPELINING
        G S: XCLIENT
        S: .
        "#,
    );
}

#[test]
fn silence() {
    Play::pop3().server("timeout 300ms;").differs(
        r#"
        = greeted
        ! A client that times out hears nothing
        G S: -ERR idle for too long
        S: <end>
        L: [info] client timed out (110: Connection timed out) while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn line_ends_in_a_login_reach_no_upstream() {
    let up = Backend::pop3().says("DELE", "<silence>");
    Play::pop3().backend(up).differs(
        r#"
        = greeted
        C: AUTH PLAIN {b64 \0u\r\nDELE 1\0p}
        ! CR and LF in decoded credentials go through
        N S: +OK in
        N B: USER u
        N B: DELE 1
        N B: PASS p
        G S: -ERR invalid command
        G B: <nothing>
        "#,
    );
}

#[test]
fn an_upstream_that_refuses() {
    let up = Backend::pop3().says("PASS", "-ERR wrong");
    Play::pop3().backend(up.clone()).differs(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: PASS pw
        ! A refused login is `internal server error`
        N S: -ERR internal server error
        N S: <end>
        G S: -ERR [AUTH] login failed
        "#,
    );
    Play::pop3().backend(up).mail("proxy_pass_error_message on;").differs(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: PASS pw
        ! A refused login is `internal server error`
        N S: -ERR wrong
        N S: <end>
        G S: -ERR [AUTH] wrong
        "#,
    );
}
