//! What the auth server is asked, and what its answers do.

use super::{LET_IN, Play};

#[test]
fn a_question_whole() {
    Play::imap().mail("auth_http_header X-Auth-Key secret;").differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: a OK in
        ! HTTP/1.0, a connection each time
        N A: GET /auth HTTP/1.0
        G A: GET /auth HTTP/1.1
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        ! `Client-Port`, `Server-Addr` and `Server-Port` in each question
        G A: Client-Port: {client_port}
        G A: Server-Addr: {server_ip}
        G A: Server-Port: 10200
        A: X-Auth-Key: secret
        "#,
    );
}

#[test]
fn names_and_passwords_are_escaped() {
    Play::imap()
        .mail("auth_http_header X-Auth-Key \"secret string\"; auth_http_header X-Two 2;")
        .same(
            r#"
        = greeted
        C: a AUTHENTICATE PLAIN {b64 \0us er%x@a.test\0p"s	s é}
        S: a OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: us%20er%25x@a.test
        A: Auth-Pass: p"s%09s%20é
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: X-Auth-Key: secret string
        A: X-Two: 2
        "#,
        );
}

#[test]
fn tls_with_the_client_is_told() {
    Play::imap().server("ssl_protocols TLSv1.3; starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;").same(
        r#"
        = greeted
        C: a STARTTLS
        S: a OK {any}
        = tls
        C: b LOGIN bob pw
        S: b OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: Auth-SSL: on
        A: Auth-SSL-Protocol: TLSv1.3
        A: Auth-SSL-Cipher: TLS_AES_256_GCM_SHA384
        "#,
    );
}

#[test]
fn attempts_are_counted() {
    Play::imap()
        .answers(&["Auth-Status: No\nAuth-Wait: 1", "Auth-Status: WAIT\nAuth-Wait: 1", LET_IN])
        .differs(
            r#"
        = greeted
        C: a LOGIN bob pw
        ! A refusal of the handler's has no response code
        N S: a NO No
        G S: a NO [AUTHENTICATIONFAILED] No
        C: b LOGIN bob pw
        S: b OK in
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 1
        A: Client-IP: {client}
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 2
        A: Client-IP: {client}
        A: {question}
        A: Host: {lookup_ip}
        A: Auth-Method: plain
        A: Auth-User: bob
        A: Auth-Pass: pw
        A: Auth-Protocol: imap
        A: Auth-Login-Attempt: 2
        A: Client-IP: {client}
        "#,
        );
}

#[test]
fn a_refusal_without_a_wait_ends_the_session() {
    Play::imap().answers(&["Auth-Status: Go away"]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! A refusal of the handler's has no response code
        N S: a NO Go away
        G S: a NO [AUTHENTICATIONFAILED] Go away
        S: <end>
        L: [info] client login failed: "Go away" while in http auth state, client: {client}, server: {server}, login: "bob"
        "#,
    );
    Play::pop3().answers(&["Auth-Status: Go away"]).differs(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: PASS pw
        ! A refusal of the handler's has no response code
        N S: -ERR Go away
        G S: -ERR [AUTH] Go away
        S: <end>
        "#,
    );
}

#[test]
fn a_code_of_the_handlers_own_stays() {
    Play::imap().answers(&["Auth-Status: [UNAVAILABLE] later"]).same(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: a NO [UNAVAILABLE] later
        S: <end>
        "#,
    );
    Play::pop3().answers(&["Auth-Status: [IN-USE] later"]).same(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: PASS pw
        S: -ERR [IN-USE] later
        S: <end>
        "#,
    );
}

#[test]
fn the_handler_changes_name_and_password() {
    Play::pop3().answers(&["Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: {up_port}\nAuth-User: robert\nAuth-Pass: secret"]).differs(
        r#"
        = greeted
        C: USER bob
        S: +OK
        C: PASS pw
        S: +OK in
        ! `xclient on`, for SMTP
        G B: CAPA
        B: USER robert
        B: PASS secret
        ! The login in a line of the log is the upstream's
        N L: [info] client logged in, client: {client}, server: {server}, login: "robert", upstream: {up}
        G L: [info] client logged in, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn what_the_status_line_and_the_names_say_does_not_matter() {
    for answer in [
        "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {up_ip}\r\nAuth-Port: {up_port}\r\n\r\n",
        "HTTP/1.1 500 Oops\r\nauth-status: OK\r\nAUTH-SERVER:{up_ip}\r\nauth-port:   {up_port}\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 403 No\r\nAuth-Status: OK\r\nX-Else: x\r\nAuth-Server: {up_ip}\r\nAuth-Port: {up_port}\r\n\r\n",
    ] {
        Play::imap().answers(&[answer]).same("= greeted\nC: a LOGIN bob pw\nS: a OK in");
    }
}

#[test]
fn a_response_without_a_status_line() {
    let bare = "raw Auth-Status: OK\r\nAuth-Server: {up_ip}\r\nAuth-Port: {up_port}\r\n\r\n";
    Play::imap().answers(&[bare]).same("= greeted\nC: a LOGIN bob pw\nS: a OK in");
}

#[test]
fn a_name_for_a_server() {
    Play::imap().answers(&["Auth-Status: OK\nAuth-Server: localhost\nAuth-Port: 9"]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! `Auth-Server` is an address
        N S: * BAD internal server error
        N S: <end>
        N L: [error] auth http server {lookup} sent invalid server address:"localhost" while in http auth state, client: {client}, server: {server}, login: "bob"
        G S: a NO [UNAVAILABLE] service unavailable, try again later
        "#,
    );
}

#[test]
fn a_long_response() {
    let long = format!("{LET_IN}\nX-Long: {}", "x".repeat(2000));
    let hasty = "auth_http_timeout 500ms;";
    Play::imap().mail(hasty).answers(&[long.leak()]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! 1,024 bytes of headers
        N S: * BAD internal server error
        N S: <end>
        G S: a OK in
        "#,
    );
}
