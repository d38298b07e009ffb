//! The error log, word for word: what fail2ban, logwatch and dashboards read.

use super::{Backend, Play};

#[test]
fn a_refused_login() {
    Play::imap().answers(&["Auth-Status: Account is closed\nAuth-Wait: 1"]).same(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: a NO {any}Account is closed
        L: [info] client login failed: "Account is closed" while in http auth state, client: {client}, server: {server}, login: "bob"
        "#,
    );
}

#[test]
fn a_client_that_is_idle_once_let_in() {
    Play::imap().mail("proxy_timeout 300ms;").same(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: a OK in
        S: <end>
        L: [info] client timed out (110: Connection timed out) while proxying, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn an_upstream_that_does_not_answer() {
    let up = Backend::imap().says("LOGIN", "<silence>");
    Play::imap().backend(up).mail("timeout 300ms;").nginx_alone(
        r#"
        = greeted
        C: a LOGIN bob pw
        S: * BAD internal server error
        S: <end>
        L: [info] upstream timed out (110: Connection timed out) while sending password to upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn an_upstream_that_makes_no_sense() {
    let up = Backend::imap().greets("* NO sense");
    Play::imap().backend(up).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! An upstream that cannot be reached
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [UNAVAILABLE] service unavailable, try again later
        ! An upstream's line that is no valid response is quoted
        N L: [error] upstream sent invalid response: "* NO sense" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        G L: [error] upstream sent invalid response (no IMAP greeting) while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn an_upstream_that_refuses() {
    let up = Backend::imap().says("LOGIN", "TAG NO wrong");
    Play::imap().backend(up).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! A refused login is `internal server error`
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [AUTHENTICATIONFAILED] invalid user or password
        ! A login that the upstream refuses is an error
        G L: [info] client login failed: "wrong" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        N L: [error] upstream sent invalid response: "NO wrong" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn an_upstream_that_says_too_much() {
    let up = Backend::imap().greets("* OK xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    Play::imap().backend(up).mail("proxy_buffer 64;").differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! `proxy_buffer` is held
        N S: * BAD internal server error
        N S: <end>
        G S: a OK in
        N L: [error] upstream sent too long response line: "{any}" while reading response from upstream, client: {client}, server: {server}, login: "bob", upstream: {up}
        "#,
    );
}

#[test]
fn an_upstream_that_is_not_there() {
    Play::imap().answers(&["Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: 9"]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! An upstream that cannot be reached
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [UNAVAILABLE] service unavailable, try again later
        L: [error] {any} failed (111: Connection refused) while {any} upstream, client: {client}, server: {server}, login: "bob", upstream: {up_ip}:9
        "#,
    );
}

#[test]
fn an_auth_server_that_makes_no_sense() {
    for (answer, words) in [
        ("Auth-Status: OK", "did not send server or port"),
        ("Auth-Status: OK\nAuth-Server: 127.0.0.1", "did not send server or port"),
        ("Auth-Status: OK\nAuth-Port: 143", "did not send server or port"),
        ("Auth-Status: OK\nAuth-Server: !!\nAuth-Port: 143", "sent invalid server address:\"!!\""),
        (
            "Auth-Status: OK\nAuth-Server: 127.0.0.1\nAuth-Port: 70000",
            "sent invalid server port:\"70000\"",
        ),
        ("Auth-Status: OK\nAuth-Server: 127.0.0.1\nAuth-Port: x", "sent invalid server port:\"x\""),
    ] {
        Play::imap().answers(&[answer]).differs(&format!(
            r#"
            = greeted
            C: a LOGIN bob pw
            ! A handler that fails
            N S: * BAD internal server error
            N S: <end>
            G S: a NO [UNAVAILABLE] service unavailable, try again later
            L: [error] auth http server {{lookup}} {words} while in http auth state, client: {{client}}, server: {{server}}, login: "bob"
            "#
        ));
    }
}

#[test]
fn an_auth_server_that_is_slow() {
    Play::imap().answers(&["<silence>"]).mail("auth_http_timeout 300ms;").differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! A handler that fails
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [UNAVAILABLE] service unavailable, try again later
        L: [error] auth http server {lookup} timed out (110: Connection timed out) while in http auth state, client: {client}, server: {server}, login: "bob"
        "#,
    );
}

#[test]
fn an_auth_server_without_a_password() {
    Play::imap().mail("imap_auth cram-md5;").differs(
        r#"
        = greeted
        C: a AUTHENTICATE CRAM-MD5
        S: + {challenge}
        C: {cram bob pw}
        ! A handler that fails
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [SERVERBUG] internal server error
        L: [error] auth http server {lookup} did not send password while in http auth state, client: {client}, server: {server}, login: "bob"
        "#,
    );
}

#[test]
fn broken_exchanges() {
    Play::imap().mail("imap_auth login cram-md5 external;").server("max_errors 50;").differs(
        r#"
        = greeted
        C: a AUTHENTICATE LOGIN
        S: + VXNlcm5hbWU6
        C: {b64 bob}
        S: + UGFzc3dvcmQ6
        C: !!!
        S: a BAD invalid command
        ! A login that breaks off is logged under its name
        N L: [info] client sent invalid base64 encoding in AUTH LOGIN command while in auth state, client: {client}, server: {server}, login: "bob"
        G L: [info] client sent invalid base64 encoding in AUTH LOGIN command while in auth state, client: {client}, server: {server}
        C: b AUTHENTICATE CRAM-MD5
        S: + {challenge}
        C: !!!
        S: b BAD invalid command
        ! A login that breaks off is logged under its name
        N L: [info] client sent invalid base64 encoding in AUTH CRAM-MD5 command while in auth state, client: {client}, server: {server}, login: "bob"
        G L: [info] client sent invalid base64 encoding in AUTH CRAM-MD5 command while in auth state, client: {client}, server: {server}
        C: c AUTHENTICATE CRAM-MD5
        S: + {challenge}
        C: {b64 nodigest}
        S: c BAD invalid command
        ! A login that breaks off is logged under its name
        N L: [info] client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command while in auth state, client: {client}, server: {server}, login: "nodigest"
        G L: [info] client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command while in auth state, client: {client}, server: {server}
        C: d AUTHENTICATE EXTERNAL
        S: + VXNlcm5hbWU6
        C: !!!
        S: d BAD invalid command
        ! A login that breaks off is logged under its name
        N L: [info] client sent invalid base64 encoding in AUTH EXTERNAL command while in auth state, client: {client}, server: {server}, login: "nodigest"
        G L: [info] client sent invalid base64 encoding in AUTH EXTERNAL command while in auth state, client: {client}, server: {server}
        "#,
    );
}

#[test]
fn handshakes() {
    Play::imap().server("starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;").same(
        r#"
        = greeted
        C: a STARTTLS
        S: a OK {any}
        C: this is no TLS
        S: <alert>
        L: [info] SSL_do_handshake() failed ({any}) while in starttls state, client: {client} using starttls, server: {server}
        "#,
    );
    Play::imap().server("starttls on; ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;").same(
        r#"
        = greeted
        C: a STARTTLS
        S: a OK {any}
        = hang up
        S: <end>
        L: [info] peer closed connection in SSL handshake while in starttls state, client: {client} using starttls, server: {server}
        "#,
    );
}

#[test]
fn a_header_of_the_auth_servers_that_is_none() {
    let broken = "HTTP/1.0 200 OK\r\nAuth\0Status: OK\r\n\r\n";
    Play::imap().answers(&[broken]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! A handler that fails
        N S: * BAD internal server error
        N S: <end>
        G S: a NO [UNAVAILABLE] service unavailable, try again later
        L: [error] auth http server {lookup} sent invalid header in response while in http auth state, client: {client}, server: {server}, login: "bob"
        "#,
    );
}
