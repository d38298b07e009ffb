//! Where a login goes, asked of real files, SQLite, PostgreSQL and slapd.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::{CERTIFICATE, servers};
use crate::support::{
    Ca, Client, FakeUpstream, Gatepost, Manners, Mechanism, Postgres, Protocol, Site, Slapd, imap,
    mail, until,
};

const IMAP: Protocol = Protocol::Imap;
/// A reload is over.
const GONE: &str = "exited with code 0";
const NOT_NOW: &str = "NO [UNAVAILABLE]";
const NOBODY: &str = "NO [AUTHENTICATIONFAILED]";

/// Who looks like a piece of SQL, of a filter or of a pattern.
const ODD: &[&str] = &[
    "' OR '1'='1",
    "mrose'; DROP TABLE people; --",
    "mrose\\",
    "\\' OR 1=1 --",
    "$$; DROP TABLE people; $$",
    "*",
    "*)(uid=*",
    "mrose)(|(uid=*",
    "\\2a",
    "%u${USER}:user$1?1",
    "mrose\u{e9}\u{202e}",
    "(&(objectClass=*))",
];

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

/// A gatepost with these files beside it.
#[track_caller]
fn gatepost(files: &[(&str, &str)], inside: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let (site, ca) = (Site::new(), Ca::new());
    ca.ecdsa(&["mail.test"]).put(&site, "mail");
    for (name, text) in files {
        site.write(&format!("conf/{name}"), text);
    }
    Gatepost::start(
        site,
        &mail(&format!("{CERTIFICATE}\nroute_cache off;\n{inside}\n{}", servers(IMAP))),
        values,
    )
}

fn attempt(gatepost: &Gatepost, user: &str) -> String {
    let mut client = Client::greeted(IMAP, gatepost.imap());
    client.try_log_in(Mechanism::PlainAtOnce, user, "pw")
}

#[track_caller]
fn is_let_in(gatepost: &Gatepost, user: &str, up: &FakeUpstream) {
    let before = up.accepted();
    let end = attempt(gatepost, user);
    assert!(end.starts_with("OK"), "{user}: {end}\n{}", gatepost.error_log());
    assert_eq!(up.accepted(), before + 1, "{user} went elsewhere");
}

#[track_caller]
fn is_refused(gatepost: &Gatepost, user: &str, how: &str) {
    let end = attempt(gatepost, user);
    assert!(end.starts_with(how), "{user}: {end}");
}

fn people(rows: &[(&str, &FakeUpstream)]) -> String {
    let mut sql = "CREATE TABLE people (mail TEXT, server TEXT, port INT);".to_owned();
    for (mail, up) in rows {
        let (ip, port) = (up.addr().ip(), up.addr().port());
        sql += &format!("INSERT INTO people VALUES ('{mail}', '{ip}', {port});");
    }
    sql
}

fn person(name: &str, server: &str) -> String {
    format!(
        "dn: uid={name},dc=test\nobjectClass: inetOrgPerson\nobjectClass: zimbraAccount\n\
         uid: {name}\ncn: {name}\nsn: {name}\nmail: {name}@a.test\n{server}\n\n"
    )
}

fn at(up: &FakeUpstream) -> String {
    format!("zimbraMailHost: {}\ntestPort: {}", up.addr().ip(), up.addr().port())
}

#[test]
fn a_login_is_looked_for_in_one_source_after_the_other() {
    let (ca, ups) = (Ca::new(), [(); 5].map(|()| upstream()));
    let [tabled, filed, lite, big, directory] = &ups;
    let postgres = Postgres::start(&ca, &people(&[("pat@a.test", big)]));
    let slapd = Slapd::start(&ca, &person("lee", &at(directory)));
    let site = Site::new();
    let database = site.path("people.db");
    let rows = people(&[("sal@a.test", lite)]);
    rusqlite::Connection::open(&database).unwrap().execute_batch(&rows).unwrap();
    let routes = format!("# people\nfil@a.test\n   {}\n", filed.addr());
    let inside = "
        route { tab@a.test @tabled@; }
        route_file files people.routes;
        route_sql lite {
            url sqlite:@database@;
            query 'SELECT server, port FROM people WHERE mail = :login';
        }
        route_sql big {
            url postgres://gatepost@@postgres@/postgres;
            password_file big.password;
            query 'SELECT server, port FROM people WHERE mail = :login';
        }
        route_ldap directory {
            server ldap://@slapd@;
            bind_dn @reader@;
            password_file directory.password;
            base dc=test;
            filter '(|(mail=${USER})(zimbraMailAlias=${USER})(zimbraId=${USER}))';
            port_attribute testPort;
        }";
    let files = [
        ("people.routes", routes.as_str()),
        ("big.password", Postgres::PASSWORD),
        ("directory.password", Slapd::PASSWORD),
    ];
    let values: [(&str, &dyn ToString); 5] = [
        ("tabled", &tabled.addr()),
        ("database", &database.display()),
        ("postgres", &postgres.addr()),
        ("slapd", &slapd.addr()),
        ("reader", &Slapd::READER),
    ];
    let mut gatepost = gatepost(&files, inside, &values);
    for _ in 0..3 {
        for (user, up) in [
            ("tab@a.test", tabled),
            ("fil@a.test", filed),
            ("sal@a.test", lite),
            ("pat@a.test", big),
            ("lee@a.test", directory),
        ] {
            is_let_in(&gatepost, user, up);
        }
        is_refused(&gatepost, "who@a.test", NOBODY);
    }
    for user in ODD {
        is_refused(&gatepost, user, NOBODY);
    }
    assert_eq!(postgres.sql("SELECT count(*) FROM people"), "1\n");
    // A file that changes is read again by itself.
    let routes = format!("fil@a.test {}\nnew@a.test {}\n", lite.addr(), filed.addr());
    gatepost.site.write("conf/next", routes);
    std::fs::rename(gatepost.site.path("conf/next"), gatepost.site.path("conf/people.routes"))
        .unwrap();
    gatepost.logs("people.routes again");
    is_let_in(&gatepost, "fil@a.test", lite);
    is_let_in(&gatepost, "new@a.test", filed);
    gatepost.site.write("conf/people.routes", "fil@a.test nowhere\n");
    gatepost.logs("no upstream \"nowhere\" in ");
    is_let_in(&gatepost, "fil@a.test", lite);
    drop(postgres);
    // Who comes before it does not mind; nobody behind it is asked.
    is_let_in(&gatepost, "sal@a.test", lite);
    is_refused(&gatepost, "lee@a.test", NOT_NOW);
    is_refused(&gatepost, "who@a.test", NOT_NOW);
    gatepost.signal(Signal::SIGQUIT);
    assert_eq!(gatepost.ends().code(), Some(0));
}

#[test]
fn a_database_that_is_away_makes_logins_fail_for_now() {
    let (ca, up) = (Ca::new(), upstream());
    let mut sql = people(&[("mrose", &up), ("twice", &up), ("twice", &up)]);
    sql += "CREATE FUNCTION late(who text) RETURNS text LANGUAGE sql VOLATILE AS
            $$ SELECT CASE WHEN who = 'late' THEN pg_sleep(30)::text ELSE who END $$;";
    let mut postgres = Postgres::start(&ca, &sql);
    let stranger = Ca::new();
    let conf = |ca: &str, host: &str| {
        format!(
            "route_sql people {{
                 url postgres://gatepost@{host}/postgres;
                 password_file sql.password;
                 query \"SELECT server, port FROM people WHERE mail = late(:user)
                        AND :protocol = 'imap' AND :client_ip::inet << '127.0.0.0/8'\";
                 timeout 3s; pool 2;
                 ssl on; ssl_name postgres.test; ssl_trusted_certificate {ca};
             }}"
        )
    };
    let files = [
        ("sql.password", Postgres::PASSWORD),
        ("ours.pem", ca.pem.as_str()),
        ("strange.pem", stranger.pem.as_str()),
    ];
    // The first host is nobody's.
    let nobody = Site::new();
    let hosts = format!("{}:1,{}", nobody.ip, postgres.addr());
    let gatepost = gatepost(&files, &conf("ours.pem", &hosts), &[]);
    is_let_in(&gatepost, "mrose", &up);
    is_refused(&gatepost, "who", NOBODY);
    is_refused(&gatepost, "twice", NOT_NOW);
    gatepost.logs("route_sql \"people\": more than one row for one login");
    for user in ODD {
        is_refused(&gatepost, user, NOBODY);
    }
    let ssl = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE application_name = 'gatepost'";
    assert_eq!(postgres.sql(ssl), "t\n");
    // What takes too long is given up, and the next one does not wait for it.
    let began = Instant::now();
    is_refused(&gatepost, "late", NOT_NOW);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    gatepost.logs("route_sql \"people\": no answer within 3s");
    is_let_in(&gatepost, "mrose", &up);
    // And the server works on it no more.
    let busy =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%late%'
                AND pid <> pg_backend_pid()";
    until("the question to be called off", || (postgres.sql(busy) == "0\n").then_some(()));
    // A table that changes under its prepared statement costs a login or none.
    postgres.sql("ALTER TABLE people ALTER port TYPE text");
    attempt(&gatepost, "mrose");
    is_let_in(&gatepost, "mrose", &up);
    // Sent away while it idles.
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatepost'");
    is_let_in(&gatepost, "mrose", &up);
    postgres.kill();
    is_refused(&gatepost, "mrose", NOT_NOW);
    is_refused(&gatepost, "who", NOT_NOW);
    gatepost.logs("route_sql \"people\": ");
    postgres.restart();
    is_let_in(&gatepost, "mrose", &up);
    // Bad SQL and bad certificates are no unknown users either.
    postgres.sql("ALTER TABLE people RENAME TO others");
    is_refused(&gatepost, "who", NOT_NOW);
    gatepost.logs("relation \"people\" does not exist");
    let with = |inside: &str| {
        mail(&format!("{CERTIFICATE}\nroute_cache off;\n{inside}\n{}", servers(IMAP)))
    };
    let strange = with(&conf("strange.pem", &postgres.addr().to_string()));
    gatepost.reload(&strange, &[], GONE);
    is_refused(&gatepost, "mrose", NOT_NOW);
    gatepost.logs("error performing TLS handshake");
    let log = gatepost.error_log();
    assert!(!log.contains(Postgres::PASSWORD), "the password is in the log");
}

#[test]
fn a_database_on_a_socket_needs_no_password() {
    let (ca, up) = (Ca::new(), upstream());
    let postgres = Postgres::start(&ca, &people(&[("mrose", &up)]));
    let inside = "route_sql people {
        url postgres://gatepost@@socket@/postgres;
        query 'SELECT server, port FROM people WHERE mail = :user';
    }";
    let gatepost = gatepost(&[], inside, &[("socket", &postgres.socket())]);
    is_let_in(&gatepost, "mrose", &up);
    is_refused(&gatepost, "who", NOBODY);
}

#[test]
fn a_directory_that_is_away_makes_logins_fail_for_now() {
    let (ca, up) = (Ca::new(), upstream());
    let ldif = [
        person("mrose", &at(&up)),
        person("twice", &at(&up)),
        person("twin", &format!("{}\nzimbraMailAlias: twice@a.test", at(&up))),
        person("both", &format!("{}\nzimbraMailHost: b.test", at(&up))),
        person("none", "description: has no server"),
    ];
    let mut slapd = Slapd::start(&ca, &ldif.concat());
    let conf = |servers: &str| {
        format!(
            "route_ldap people {{
                 {servers}
                 bind_dn {}; password_file people.password;
                 base dc=test; scope sub;
                 filter '(|(mail=${{USER}})(zimbraMailAlias=%u)(&(uid=%n)(mail=%n@a.test)))';
                 attribute zimbramailhost; port_attribute testPort; user_attribute uid;
                 timeout 3s; connections 2;
                 ssl_name slapd.test; ssl_trusted_certificate ours.pem;
             }}",
            Slapd::READER
        )
    };
    let files = [("people.password", Slapd::PASSWORD), ("ours.pem", ca.pem.as_str())];
    let nobody = Site::new();
    let starttls = format!("server ldap://{}:1 ldap://{}; starttls on;", nobody.ip, slapd.addr());
    let gatepost = gatepost(&files, &conf(&starttls), &[]);
    let with = |inside: &str| {
        mail(&format!("{CERTIFICATE}\nroute_cache off;\n{inside}\n{}", servers(IMAP)))
    };
    for servers in [
        String::new(),
        format!("server ldaps://{};", slapd.tls()),
        format!("server ldap://{};", slapd.addr()),
        format!("server ldapi://{};", slapd.socket()),
        starttls,
    ] {
        if !servers.is_empty() {
            gatepost.reload(&with(&conf(&servers)), &[], GONE);
        }
        is_let_in(&gatepost, "mrose@a.test", &up);
        is_let_in(&gatepost, "mrose", &up);
        is_refused(&gatepost, "who@a.test", NOBODY);
        is_refused(&gatepost, "none@a.test", NOBODY);
        is_refused(&gatepost, "twice@a.test", NOT_NOW);
        is_refused(&gatepost, "both@a.test", NOT_NOW);
        for user in ODD {
            is_refused(&gatepost, user, NOBODY);
        }
        is_let_in(&gatepost, "mrose@a.test", &up);
    }
    assert!(slapd.log().contains("STARTTLS"), "{}", slapd.log());
    gatepost.logs("route_ldap \"people\": more than one entry for one login");
    gatepost.logs("route_ldap \"people\": more than one value of an attribute for one login");
    slapd.kill();
    is_refused(&gatepost, "mrose@a.test", NOT_NOW);
    is_refused(&gatepost, "who@a.test", NOT_NOW);
    slapd.restart();
    is_let_in(&gatepost, "mrose@a.test", &up);
    // One that hangs is given up.
    slapd.signal(Signal::SIGSTOP);
    let began = Instant::now();
    is_refused(&gatepost, "mrose@a.test", NOT_NOW);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    slapd.signal(Signal::SIGCONT);
    is_let_in(&gatepost, "mrose@a.test", &up);
    assert!(!gatepost.error_log().contains(&format!("{:?}", Slapd::PASSWORD)));
    assert!(!gatepost.error_log().contains("panicked"));
    // The goodbye of what a reload left behind.
    assert!(slapd.log().contains("UNBIND"), "{}", slapd.log());
}

#[test]
fn a_directory_that_hangs_leaves_the_login_to_the_next() {
    let (ca, up) = (Ca::new(), upstream());
    let ldif = person("mrose", &at(&up));
    let (first, second) = (Slapd::start(&ca, &ldif), Slapd::start(&ca, &ldif));
    let inside = "route_ldap people {
        server ldap://@first@ ldap://@second@;
        bind_dn @reader@; password_file people.password;
        base dc=test; filter (mail=%u); port_attribute testPort; timeout 4s;
    }";
    let values: [(&str, &dyn ToString); 3] =
        [("first", &first.addr()), ("second", &second.addr()), ("reader", &Slapd::READER)];
    let gatepost = gatepost(&[("people.password", Slapd::PASSWORD)], inside, &values);
    is_let_in(&gatepost, "mrose@a.test", &up);
    first.signal(Signal::SIGSTOP);
    // It may have done with one more before it stops. Then one login waits, and it rests.
    is_let_in(&gatepost, "mrose@a.test", &up);
    is_let_in(&gatepost, "mrose@a.test", &up);
    let began = Instant::now();
    is_let_in(&gatepost, "mrose@a.test", &up);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    first.signal(Signal::SIGCONT);
}

#[test]
fn whom_a_directory_does_not_trust_is_told() {
    let (ca, up) = (Ca::new(), upstream());
    let slapd = Slapd::start(&ca, &person("mrose", &at(&up)));
    let conf = |password: &str, trusted: &str| {
        let inside = format!(
            "route_ldap people {{
                 server ldaps://{}; ssl_name slapd.test; {trusted}
                 bind_dn {}; password_file {password};
                 base dc=test; filter (mail=%u); port_attribute testPort; timeout 3s;
             }}",
            slapd.tls(),
            Slapd::READER
        );
        mail(&format!("{CERTIFICATE}\nroute_cache off;\n{inside}\n{}", servers(IMAP)))
    };
    let ours = "ssl_trusted_certificate ours.pem;";
    let site = Site::new();
    Ca::new().ecdsa(&["mail.test"]).put(&site, "mail");
    for (name, text) in [
        ("right", Slapd::PASSWORD),
        ("wrong", "wrong"),
        ("ours.pem", &ca.pem),
        ("strange.pem", &Ca::new().pem),
    ] {
        site.write(&format!("conf/{name}"), text);
    }
    let gatepost = Gatepost::start(site, &conf("wrong", ours), &[]);
    is_refused(&gatepost, "mrose@a.test", NOT_NOW);
    gatepost.logs("has refused us: ");
    for trusted in ["ssl_trusted_certificate strange.pem;", ""] {
        gatepost.reload(&conf("right", trusted), &[], GONE);
        is_refused(&gatepost, "mrose@a.test", NOT_NOW);
    }
    gatepost.logs("cannot be reached: TLS: ");
    gatepost.reload(&conf("right", "ssl_verify off;"), &[], GONE);
    is_let_in(&gatepost, "mrose@a.test", &up);
    gatepost.reload(&conf("right", ours), &[], GONE);
    is_let_in(&gatepost, "mrose@a.test", &up);
}
