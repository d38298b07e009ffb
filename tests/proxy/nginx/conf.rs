//! The configuration: what nginx takes, gatepost takes.

use std::process::Command;

use crate::support::{Ca, Nginx, Pair, Site, command, fill, run};

/// A `mail` block with every directive that nginx 1.22 has for it.
const MAIL: &str = r#"
mail {
    server_name mail.example.com;
    auth_http 127.0.0.1:9000/auth;
    auth_http_header X-Auth-Key "secret string";
    auth_http_header X-Other two;
    auth_http_timeout 30s;
    auth_http_pass_client_cert on;
    error_log logs/mail.log info;
    timeout 60s;
    max_errors 5;
    resolver 127.0.0.1 valid=30s ipv6=off;
    resolver_timeout 5s;
    proxy on;
    proxy_buffer 4k;
    proxy_timeout 1h;
    proxy_pass_error_message on;
    proxy_protocol off;
    proxy_smtp_auth off;
    xclient on;
    set_real_ip_from 10.0.0.0/8;
    set_real_ip_from 192.0.2.1;
    set_real_ip_from 2001:db8::/32;
    set_real_ip_from unix:;
    imap_auth plain login cram-md5 external;
    imap_capabilities IMAP4 IMAP4rev1 UIDPLUS IDLE NAMESPACE "QUOTA";
    imap_client_buffer 8k;
    pop3_auth plain apop cram-md5 external;
    pop3_capabilities TOP USER UIDL LAST "EXPIRE 60" "IMPLEMENTATION x";
    smtp_auth plain login cram-md5 external;
    smtp_capabilities "SIZE 10485760" ENHANCEDSTATUSCODES 8BITMIME DSN;
    smtp_client_buffer 4k;
    smtp_greeting_delay 0;
    starttls on;
    ssl_certificate @dir@/mail.pem;
    ssl_certificate_key @dir@/mail.key;
    ssl_certificate @dir@/rsa.pem;
    ssl_certificate_key @dir@/rsa.key;
    ssl_password_file @dir@/pass;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_ciphers HIGH:!aNULL:!MD5;
    ssl_prefer_server_ciphers on;
    ssl_session_cache shared:SSL:10m;
    ssl_session_timeout 10m;
    ssl_session_tickets on;
    ssl_session_ticket_key @dir@/ticket.key;
    ssl_verify_client optional;
    ssl_verify_depth 2;
    ssl_client_certificate @dir@/ca.pem;
    ssl_trusted_certificate @dir@/ca.pem;
    ssl_crl @dir@/crl.pem;
    ssl_dhparam @dir@/dh.pem;
    ssl_ecdh_curve X25519:prime256v1;

    server {
        listen @ip@:10143 backlog=100 rcvbuf=8k sndbuf=8k bind so_keepalive=30m::10;
        listen [::1]:@v6@ ipv6only=on;
        protocol imap;
    }
    server { listen @ip@:10993 ssl; protocol imap; }
    server { listen unix:@dir@/imap.sock; protocol imap; starttls only; imap_auth external; }
    server { listen @ip@:10110 proxy_protocol; protocol pop3; starttls only; }
    server {
        listen @ip@:10995 ssl;
        protocol pop3;
        ssl_certificate @dir@/mail.pem;
        ssl_certificate_key @dir@/locked.key;
        ssl_verify_client optional_no_ca;
        auth_http http://127.0.0.1/other;
    }
    server {
        listen @ip@:10025-10027;
        protocol smtp;
        smtp_auth none;
        starttls off;
        auth_http unix:/run/auth.sock:/auth;
    }
    server {
        listen @ip@:10587 so_keepalive=on;
        protocol smtp;
        smtp_greeting_delay 1s;
        auth_http http://unix:/run/auth.sock:/auth;
        proxy_smtp_auth on;
        xclient off;
        proxy_protocol on;
        ssl_verify_client on;
    }
    server {
        listen @ip@:10465 ssl;
        protocol smtp;
        ssl_session_cache none;
        ssl_session_tickets off;
        proxy_pass_error_message off;
        auth_http localhost:9000;
    }
}
"#;

/// What stands around it, in the file of a host that does nothing else.
const AROUND: &str = r#"
user root;
worker_processes auto;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 10s;
worker_priority 0;
pid run/pid;
lock_file run/lock;
pcre_jit on;
timer_resolution 100ms;
error_log logs/error.log info;
events {
    worker_connections 1024;
    multi_accept on;
    use epoll;
    accept_mutex off;
    accept_mutex_delay 500ms;
}
"#;

fn site() -> Site {
    let (site, ca) = (Site::new(), Ca::new());
    site.write("ca.pem", &ca.pem);
    let pair: Pair = ca.ecdsa(&["mail.example.com"]);
    pair.put(&site, "mail");
    ca.rsa(&["mail.example.com"]).put(&site, "rsa");
    pair.locked(&site).put(&site, "locked");
    site.write("pass", "secret\n");
    site.write("ticket.key", [7; 80]);
    let dh = run(Command::new("openssl").args(["dhparam", "-dsaparam", "2048"]), "").worked().out;
    site.write("dh.pem", dh);
    site.write("crl.pem", ca.revokes_nothing());
    site
}

#[test]
fn a_file_written_for_nginx_is_taken() {
    let site = site();
    let v6 = site.port_of_v6();
    let mail = fill(&site, MAIL, &[("v6", &v6)]);
    let checked = Nginx::check(&site, &mail);
    assert!(checked.worked().said().contains("test is successful"));
    site.write("conf/gatepost.conf", format!("{AROUND}{mail}"));
    let checked = run(command(&site).arg("-t"), "");
    assert!(checked.worked().said().contains("test is successful"));
}
