//! SMTP with the client.

use super::{Backend, Play};

const STARTTLS: &str =
    "starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";

/// What is asked for one who comes without a login, and the answer.
const REFUSED: &str = "Auth-Status: No relaying\nAuth-Error-Code: 554 5.7.1\nAuth-Wait: 1";

#[test]
fn a_session_up_to_its_login() {
    Play::smtp().differs(
        r#"
        S: 220 mail.test ESMTP ready
        C: EHLO client.example
        S: 250-mail.test
        S: 250 AUTH PLAIN LOGIN
        C: NOOP
        S: 250 2.0.0 OK
        C: RSET
        S: 250 2.0.0 OK
        C: AUTH PLAIN {plain bob pw}
        S: 235 2.0.0 OK
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: smtp
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Client-Host: [UNAVAILABLE]
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} LOGIN=bob NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any} LOGIN=bob
        B: EHLO client.example
        B: MAIL FROM:<a@b>
        L: [info] client {client}:{client_port} connected to {server}
        L: [info] client logged in, client: {client}, server: {server}, login: "bob", upstream: {up}
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 ok
        = hang up
        S: <end>
        L: [info] proxied session done, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn capabilities_are_as_configured() {
    Play::smtp()
        .mail("smtp_capabilities \"SIZE 1000\" 8BITMIME; smtp_auth plain login cram-md5 external;")
        .server(STARTTLS)
        .same(
            r#"
            = greeted
            C: HELO client.example
            S: 250 mail.test
            C: EHLO client.example
            S: 250-mail.test
            S: 250-SIZE 1000
            S: 250-8BITMIME
            S: 250-AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL
            S: 250 STARTTLS
            C: STARTTLS
            S: 220 2.0.0 Start TLS
            = tls
            C: EHLO client.example
            S: 250-mail.test
            S: 250-SIZE 1000
            S: 250-8BITMIME
            S: 250 AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL
            C: AUTH PLAIN {plain bob pw}
            S: 235 2.0.0 OK
            L: [info] client logged in, client: {client} using starttls, server: {server}, login: "bob", upstream: {up}
            "#,
        );
}

#[test]
fn starttls_only() {
    let only = "starttls only; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;";
    Play::smtp().server(only).differs(
        r#"
        = greeted
        C: EHLO client.example
        S: 250-mail.test
        S: 250 STARTTLS
        C: AUTH PLAIN
        ! A login before TLS under `starttls only`
        N S: 500 5.5.1 Invalid command
        G S: 530 5.7.0 Must issue a STARTTLS command first
        C: MAIL FROM:<a@b>
        S: 530 5.7.1 Authentication required
        "#,
    );
}

#[test]
fn commands_before_the_login() {
    Play::smtp().server("max_errors 50;").same(
        r#"
        = greeted
        C: MAIL FROM:<a@b>
        S: 530 5.7.1 Authentication required
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: DATA
        S: 500 5.5.1 Invalid command
        C: VRFY bob
        S: 500 5.5.1 Invalid command
        C: EXPN bob
        S: 500 5.5.1 Invalid command
        C: HELP
        S: 500 5.5.1 Invalid command
        C: BDAT 3 LAST
        S: 500 5.5.1 Invalid command
        C: STARTTLS
        S: 500 5.5.1 Invalid command
        C: HELO
        S: 501 5.5.4 Invalid argument
        C: NOOP
        S: 250 2.0.0 OK
        C: QUIT
        S: 221 2.0.0 Bye
        S: <end>
        "#,
    );
}

#[test]
fn unknown_commands_count_to_max_errors() {
    Play::smtp().server("max_errors 2;").same(
        r#"
        = greeted
        C: DATA
        S: 500 5.5.1 Invalid command
        C: DATA
        S: 500 5.5.1 Invalid command
        S: <end>
        L: [info] client sent too many invalid commands while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn auth_in_rounds() {
    Play::smtp().differs(
        r#"
        = greeted
        C: AUTH PLAIN
        S: 334\s
        C: {plain bob pw}
        S: 235 2.0.0 OK
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} LOGIN=bob NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any} LOGIN=bob
        "#,
    );
    Play::smtp().differs(
        r#"
        = greeted
        C: HELO client.example
        S: 250 mail.test
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: {b64 bob}
        S: 334 UGFzc3dvcmQ6
        C: {b64 pw}
        S: 235 2.0.0 OK
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} LOGIN=bob NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any} LOGIN=bob
        B: HELO client.example
        "#,
    );
    Play::smtp().mail("smtp_auth cram-md5;").same(
        r#"
        = greeted
        C: AUTH CRAM-MD5
        S: 334 {challenge}
        C: {cram bob pw}
        S: 235 2.0.0 OK
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: cram-md5
        A: Auth-User: bob
        A: Auth-Pass: {cram_digest pw}
        A: Auth-Salt: {salt}
        A: Auth-Protocol: smtp
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Client-Host: [UNAVAILABLE]
        "#,
    );
    Play::smtp().mail("smtp_auth external;").same(
        r#"
        = greeted
        C: AUTH EXTERNAL
        S: 334 VXNlcm5hbWU6
        C: {b64 bob}
        S: 235 2.0.0 OK
        "#,
    );
}

#[test]
fn broken_exchanges() {
    Play::smtp().server("max_errors 50;").differs(
        r#"
        = greeted
        C: AUTH PLAIN
        S: 334\s
        C: *
        ! SMTP: a broken or cancelled AUTH
        N S: 500 5.5.1 Invalid command
        G S: 501 5.7.0 Authentication cancelled
        C: AUTH PLAIN !!!
        N S: 500 5.5.1 Invalid command
        G S: 501 5.5.2 Cannot decode the response
        C: AUTH CRAM-MD5
        N S: 500 5.5.1 Invalid command
        G S: 504 5.5.4 {any}
        C: AUTH
        S: 501 5.5.4 Invalid argument
        "#,
    );
}

#[test]
fn a_refused_login() {
    Play::smtp().answers(&["Auth-Status: Temporary server problem, try again later\nAuth-Error-Code: 451 4.3.0\nAuth-Wait: 1", "Auth-Status: Wrong"]).same(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        S: 451 4.3.0 Temporary server problem, try again later
        L: [info] client login failed: "Temporary server problem, try again later" while in http auth state, client: {client}, server: {server}, login: "bob"
        C: AUTH PLAIN {plain bob pw}
        S: 535 5.7.0 Wrong
        S: <end>
        "#,
    );
}

#[test]
fn mail_without_a_login() {
    Play::smtp().mail("smtp_auth none;").differs(
        r#"
        = greeted
        C: EHLO client.example
        S: 250 mail.test
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: MAIL FROM:<a@b> SIZE=10
        S: 250 2.0.0 OK
        C: MAIL FROM:<a@b>
        S: 503 5.5.1 Bad sequence of commands
        C: RCPT TO:<c@d>
        S: 250 2.0.0 ok
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: none
        A: Auth-User:\s
        A: Auth-Pass:\s
        A: Auth-Protocol: smtp
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Client-Host: [UNAVAILABLE]
        A: Auth-SMTP-Helo: client.example
        A: Auth-SMTP-From: MAIL FROM:<a@b> SIZE=10
        A: Auth-SMTP-To: RCPT TO:<c@d>
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any}
        B: EHLO client.example
        B: MAIL FROM:<a@b> SIZE=10
        B: RCPT TO:<c@d>
        "#,
    );
}

#[test]
fn mail_without_a_login_is_refused() {
    Play::smtp().mail("smtp_auth none;").answers(&[REFUSED]).same(
        r#"
        = greeted
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        S: 554 5.7.1 No relaying
        C: RSET
        S: 250 2.0.0 OK
        "#,
    );
    let up = Backend::smtp().says("RCPT", "550 5.1.1 nobody");
    Play::smtp().backend(up).mail("smtp_auth none;").same(
        r#"
        = greeted
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        S: 550 5.1.1 nobody
        C: RCPT TO:<e@f>
        S: 550 5.1.1 nobody
        "#,
    );
}

#[test]
fn an_early_talker() {
    Play::smtp().mail("smtp_greeting_delay 500ms;").same(
        r#"
        C: EHLO spam.example
        S: 503 5.5.0 Improper use of SMTP command pipelining
        S: <end>
        L: [info] client was rejected before greeting: "{any}" while in delay pipelining state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn mail_from_strangers_is_logged() {
    Play::smtp().same(
        r#"
        = greeted
        C: MAIL FROM:<a@b>
        S: 530 5.7.1 Authentication required
        L: [info] client was rejected: "MAIL FROM:<a@b>{any}" while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn silence() {
    Play::smtp().server("timeout 300ms;").differs(
        r#"
        = greeted
        ! A client that times out hears nothing
        G S: 421 4.4.2 Idle for too long
        S: <end>
        L: [info] client timed out (110: Connection timed out) while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn what_the_upstream_hears_without_xclient() {
    Play::smtp().mail("xclient off;").same(
        r#"
        = greeted
        C: EHLO client.example
        S: 250-mail.test
        S: 250 AUTH PLAIN LOGIN
        C: AUTH PLAIN {plain bob pw}
        S: 235 2.0.0 OK
        B: EHLO mail.test
        "#,
    );
    Play::smtp().mail("xclient off;").differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        S: 235 2.0.0 OK
        ! SMTP: `HELO` to the upstream
        N B: HELO mail.test
        G B: EHLO mail.test
        "#,
    );
}

#[test]
fn what_the_upstream_hears_with_a_login_of_its_own() {
    Play::smtp().mail("proxy_smtp_auth on;").differs(
        r#"
        = greeted
        C: EHLO client.example
        S: 250-mail.test
        S: 250 AUTH PLAIN LOGIN
        C: AUTH PLAIN {plain bob pw}
        S: 235 2.0.0 OK
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any}
        B: EHLO client.example
        B: AUTH PLAIN {plain bob pw}
        "#,
    );
}

#[test]
fn a_name_that_xclient_cannot_hold() {
    // Debian's 1.22 says the name as it is; xtext is newer.
    Play::smtp().differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain u=x+y pw}
        S: 235 2.0.0 OK
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} LOGIN=u=x+y NAME=[UNAVAILABLE]
        G B: XCLIENT NAME=[UNAVAILABLE] ADDR={client} PORT={client_port}{any} LOGIN=u+3Dx+2By
        "#,
    );
}

#[test]
fn an_upstream_that_refuses() {
    let up = Backend::smtp().says("AUTH", "535 5.7.8 wrong");
    Play::smtp().backend(up.clone()).mail("proxy_smtp_auth on;").differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        ! A refused login is `internal server error`
        N S: 451 4.3.2 Internal server error
        N S: <end>
        G S: 535 5.7.8 Authentication credentials invalid
        G L: [info] client login failed: "535 5.7.8 wrong" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        N L: [error] upstream sent invalid response: "535 5.7.8 wrong" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
    Play::smtp().backend(up).mail("proxy_smtp_auth on; proxy_pass_error_message on;").differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        S: 535 5.7.8 wrong
        ! A refused login is `internal server error`
        N S: <end>
        "#,
    );
    let up = Backend::smtp().greets("554 go away");
    Play::smtp().backend(up).differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        ! An upstream that cannot be reached
        N S: 451 4.3.2 Internal server error
        N S: <end>
        G S: 454 4.7.0 {any}
        L: [error] upstream sent invalid response: "554 go away" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn no_password_for_the_upstream() {
    Play::smtp().mail("smtp_auth cram-md5; proxy_smtp_auth on;").differs(
        r#"
        = greeted
        C: AUTH CRAM-MD5
        S: 334 {challenge}
        C: {cram bob pw}
        S: 451 4.3.2 Internal server error
        ! A handler that fails
        N S: <end>
        ! An SMTP upstream that wants a password
        G L: [error] auth http server {lookup} did not send password while in http auth state, client: {client}, server: {server}, login: "bob"
        N L: [error] no password available while sending AUTH to upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn a_client_whose_name_cannot_be_found() {
    // Nobody answers at that port.
    let nobody = "resolver 127.0.0.1:9 ipv6=off; resolver_timeout 300ms;";
    Play::smtp().mail(nobody).differs(
        r#"
        = greeted
        C: AUTH PLAIN {plain bob pw}
        S: 235 2.0.0 OK
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: smtp
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Client-Host: [TEMPUNAVAIL]
        B: EHLO mail.test
        ! `XCLIENT` is `ADDR`, `LOGIN` and `NAME`
        N B: XCLIENT ADDR={client} LOGIN=bob NAME=[TEMPUNAVAIL]
        G B: XCLIENT NAME=[TEMPUNAVAIL] ADDR={client} PORT={client_port} LOGIN=bob
        L: [error] {client} could not be resolved (110: Operation timed out) while in resolving client address, client: {client}, server: {server}{any}
        "#,
    );
}
