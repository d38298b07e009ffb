//! Logins that fail, with gatepost as it is without a word about them.

use super::{Backend, Play};

#[test]
fn an_upstreams_words_about_wrong_credentials() {
    let up = Backend::pop3().says("PASS", "-ERR bob has no mailbox here");
    Play::pop3()
        .guarded("login_failure_delay 0;")
        .backend(up.clone())
        .mail("proxy_pass_error_message on;")
        .differs(
            r#"
            = greeted
            C: USER bob
            S: +OK
            C: PASS pw
            ! `proxy_pass_error_message` and `Auth-Status` reach the client for wrong credentials
            N S: -ERR bob has no mailbox here
            G S: -ERR [AUTH] login failed
            ! A refused login is `internal server error`
            N S: <end>
            "#,
        );
    Play::pop3()
        .guarded("login_failure_delay 0; login_failure_uniform off;")
        .backend(up)
        .mail("proxy_pass_error_message on;")
        .differs(
            r#"
            = greeted
            C: USER bob
            S: +OK
            C: PASS pw
            ! A refused login is `internal server error`
            N S: -ERR bob has no mailbox here
            N S: <end>
            G S: -ERR [AUTH] bob has no mailbox here
            "#,
        );
}

#[test]
fn a_refusal_takes_its_time() {
    Play::imap().guarded("login_failure_delay 500ms;").answers(&["Auth-Status: no"]).differs(
        r#"
        = greeted
        C: a LOGIN bob pw
        ! A refusal of the handler's has no response code
        N S: a NO no
        G S: a NO [AUTHENTICATIONFAILED] no
        ! A refused login is answered at once, or after `Auth-Wait`
        G = not within 450 ms
        S: <end>
        "#,
    );
}

#[test]
fn so_many_logins_of_one_user_may_fail() {
    Play::imap()
        .guarded("login_failures_user 1/10m free=1; login_failure_delay 0;")
        .answers(&["Auth-Status: no\nAuth-Wait: 1"])
        .differs(
            r#"
            = greeted
            C: a LOGIN bob pw
            ! A refusal of the handler's has no response code
            N S: a NO no
            G S: a NO [AUTHENTICATIONFAILED] no
            C: b LOGIN bob pw
            ! Failed logins are limited by address, network and user
            N S: b NO no
            G S: b NO [LIMIT] {any}
            G S: <end>
            "#,
        );
}
