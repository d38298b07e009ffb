//! Files, databases and directories in a search; SQLite, which needs no server.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const PEOPLE: &str = "CREATE TABLE people (mail TEXT, server TEXT, port INT, login TEXT);
    INSERT INTO people VALUES
    ('mrose', '192.0.2.7', 1143, 'm.rose'), ('tlove', 'west', NULL, NULL),
    ('null', NULL, 1143, NULL), ('twice', 'west', NULL, NULL), ('twice', 'west', NULL, NULL),
    ('bad', 'nowhere', NULL, NULL);";

const QUERY: &str = "SELECT server, port, login FROM people WHERE mail = :login";

/// A folder with a database, and configurations that name it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        make(&scene.path("people.db"), PEOPLE);
        scene
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `@dir@` is the folder; `sql NAME QUERY` a database to be asked.
    fn router(&self, conf: &str) -> Router {
        let conf = format!("upstream west {{ server 192.0.2.1; }} {conf}");
        router(&conf.replace("@dir@", &self.0.path().display().to_string()))
    }

    fn asking(&self, query: &str) -> Router {
        self.router(&format!(
            "route_sql people {{ url sqlite:@dir@/people.db; query \"{query}\"; }}"
        ))
    }
}

fn make(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

async fn of(router: &Router, user: &str) -> String {
    found(router.find(&attempt(user, None), &asker(), &nobody).await).await
}

const UNKNOWN: &str = "BadCredentials None 0ns false (info: no route for this login)";

fn failed(words: &str) -> String {
    format!("Unavailable None 0ns false (error: route_sql \"people\": {words})")
}

#[tokio::test]
async fn a_row_of_a_database_is_a_route() {
    let (scene, twice) = (Scene::new(), "more than one row for one login: let there be one");
    let nowhere = "server \"nowhere\" is neither an upstream nor host[:port]";
    let router = scene.asking(QUERY);
    for (user, want) in [
        ("mrose", "user m.rose 192.0.2.7:1143".to_owned()),
        ("tlove", "group west 192.0.2.1:143".to_owned()),
        ("nobody", UNKNOWN.to_owned()),
        ("null", UNKNOWN.to_owned()),
        ("twice", failed(twice)),
        ("bad", failed(nowhere)),
        // What looks like SQL is a name like any other.
        ("' OR 1=1 --", UNKNOWN.to_owned()),
        ("mrose'; DROP TABLE people; --", UNKNOWN.to_owned()),
        ("\\' OR ''='", UNKNOWN.to_owned()),
        ("mrose\u{e9}\"`[]%_*?", UNKNOWN.to_owned()),
        ("mrose", "user m.rose 192.0.2.7:1143".to_owned()),
    ] {
        assert_eq!(of(&router, user).await, want, "{user}");
    }
    let odd = Attempt::new(Mechanism::Plain, &b"mro\xffse"[..], Secret::default());
    assert_eq!(found(router.find(&odd, &asker(), &nobody).await).await, UNKNOWN);
    // With an authorization identity, its mailbox is looked for.
    let acting = attempt("admin", Some("mrose"));
    let route = found(router.find(&acting, &asker(), &nobody).await).await;
    assert_eq!(route, "authzid m.rose 192.0.2.7:1143");
}

#[tokio::test]
async fn a_question_that_fails_is_no_unknown_user() {
    let scene = Scene::new();
    let known = "server, port, login, authzid, tls, secret";
    for (query, want) in [
        (
            "SELECT server AS host FROM people WHERE mail = :user",
            format!(
                "column \"host\" of the query is none of {known}: name it with AS, or leave it out"
            ),
        ),
        (
            "SELECT port FROM people WHERE mail = :user",
            format!("no column of the query is \"server\", of {known}"),
        ),
        (
            "SELECT 1.5 AS server WHERE :user <> ''",
            "column \"server\" of the query is of type real: cast it to text".to_owned(),
        ),
        (
            "SELECT server FROM missing WHERE mail = :user",
            "the question failed: no such table: missing".to_owned(),
        ),
        (
            "DELETE FROM people WHERE mail = :user RETURNING server",
            "the question failed: attempt to write a readonly database".to_owned(),
        ),
    ] {
        let told = of(&scene.asking(query), "mrose").await;
        assert!(told.starts_with(failed(&want).trim_end_matches(')')), "{told}");
    }
    fs::remove_file(scene.path("people.db")).unwrap();
    let told = of(&scene.asking(QUERY), "mrose").await;
    assert!(told.contains("cannot be reached: ") && told.starts_with("Unavailable"), "{told}");
    scene.write("people.db", &"no database ".repeat(100));
    let told = of(&scene.asking(QUERY), "mrose").await;
    assert!(told.contains("file is not a database") && told.starts_with("Unavailable"), "{told}");
}

#[tokio::test]
async fn a_database_that_was_replaced_is_opened_anew() {
    let scene = Scene::new();
    let router = scene.asking(QUERY);
    assert_eq!(of(&router, "tlove").await, "group west 192.0.2.1:143");
    make(&scene.path("next.db"), &PEOPLE.replace("'west'", "'192.0.2.9'"));
    fs::rename(scene.path("next.db"), scene.path("people.db")).unwrap();
    assert_eq!(of(&router, "tlove").await, "192.0.2.9:143");
}

#[tokio::test]
async fn a_question_without_end_is_stopped_and_its_place_is_free() {
    let scene = Scene::new();
    let query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                 SELECT max(i) AS server FROM n WHERE :user = 'slow' OR i < 2";
    let router = scene.router(&format!(
        "route_sql people {{ url sqlite:@dir@/people.db; query \"{query}\"; pool 1; timeout 300ms; }}"
    ));
    // By itself "1" is no server; but it is an answer.
    let answer = failed("server \"1\" is neither an upstream nor host[:port]");
    for _ in 0..3 {
        assert_eq!(of(&router, "slow").await, failed("no answer within 300ms"));
    }
    let fast = scene.router(
        "route_sql people { url sqlite:@dir@/people.db; query \"SELECT 1 AS server, :user AS login\"; }",
    );
    assert_eq!(of(&fast, "fast").await, answer);
}

#[tokio::test]
async fn sources_are_asked_in_order_and_a_failure_ends_it() {
    let scene = Scene::new();
    scene.write("a.routes", "filed west\nboth 192.0.2.3:1\n");
    scene.write("b.routes", "both 192.0.2.4:1\nlate 192.0.2.4:1\nnull 192.0.2.4:1\nbad west\n");
    let conf = format!(
        "route {{ tabled 192.0.2.2:1; both 192.0.2.2:1; }}
         route_file a @dir@/a.routes;
         route_sql people {{ url sqlite:@dir@/people.db; query \"{QUERY}\"; }}
         route_file b @dir@/b.routes format=hash;"
    );
    let router = scene.router(&conf);
    for (user, want) in [
        ("tabled", "192.0.2.2:1".to_owned()),
        ("both", "192.0.2.2:1".to_owned()),
        ("filed", "group west 192.0.2.1:143".to_owned()),
        ("mrose", "user m.rose 192.0.2.7:1143".to_owned()),
        ("late", "192.0.2.4:1".to_owned()),
        // A row without a server is none.
        ("null", "192.0.2.4:1".to_owned()),
        ("bad", failed("server \"nowhere\" is neither an upstream nor host[:port]")),
        ("nobody", UNKNOWN.to_owned()),
    ] {
        assert_eq!(of(&router, user).await, want, "{user}");
    }
    let router = scene.router(&format!("{conf} route_order b a;"));
    assert_eq!(of(&router, "both").await, "192.0.2.4:1");
    assert_eq!(of(&router, "tabled").await, UNKNOWN, "who is not named is not asked");
    let router = scene.router(&format!("{conf} route_order a table;"));
    assert_eq!(of(&router, "both").await, "192.0.2.3:1");
}

#[tokio::test]
async fn what_was_asked_of_others_may_be_kept() {
    let scene = Scene::new();
    scene.write("a.routes", "filed west\n");
    let sql = |query: &str| {
        format!("route_sql people {{ url sqlite:@dir@/people.db; query \"{query}\"; }}")
    };
    let file = "route_file a @dir@/a.routes;";
    let by_client = format!("{QUERY} AND :client_ip <> ''");
    let secret = "SELECT 'west' AS server, 'tanstaaf' AS secret WHERE :user IN ('mrose', 'token')";
    for (conf, user, want) in [
        (sql(QUERY), "mrose", true),
        (sql(QUERY), "nobody", true),
        (sql(QUERY), "twice", false),
        (sql(&by_client), "mrose", false),
        (sql(&by_client), "nobody", false),
        (file.to_owned(), "filed", false),
        (format!("{file} {}", sql(QUERY)), "filed", false),
        (format!("{} {file}", sql(QUERY)), "filed", true),
        (format!("{} {file}", sql(&by_client)), "filed", false),
        ("route { default west; }".to_owned(), "mrose", false),
        ("route { a west; }".to_owned(), "mrose", true),
        // The client's own password counts, so there is nothing secret in the route.
        (sql(secret), "mrose", true),
    ] {
        let keepable = match scene.router(&conf).find(&attempt(user, None), &asker(), &nobody).await
        {
            Ok(route) => route.keepable,
            Err(none) => none.keepable,
        };
        assert_eq!(keepable, want, "{conf} {user}");
    }
    // Who has proved itself otherwise needs one.
    let router = scene.router(&sql(secret));
    let external = Attempt::new(Mechanism::External, &b"mrose"[..], Secret::default());
    let route = router.find(&external, &asker(), &nobody).await.unwrap();
    assert!(!route.keepable && !route.is_checked);
    assert_eq!(route.secret.map(|secret| secret.reveal().to_vec()), Some(b"tanstaaf".to_vec()));
    let password = router.find(&attempt("mrose", None), &asker(), &nobody).await.unwrap();
    assert!(password.secret.is_none(), "anybody would get in");
}

#[test]
fn workers_share_what_none_of_them_owns() {
    let scene = Scene::new();
    let router = Arc::new(scene.asking(QUERY));
    let worker = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = worker();
    assert_eq!(first.block_on(of(&router, "tlove")), "group west 192.0.2.1:143");
    drop(first);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                worker().block_on(async {
                    for _ in 0..50 {
                        assert_eq!(of(&router, "tlove").await, "group west 192.0.2.1:143");
                    }
                });
            });
        }
    });
}

#[tokio::test]
async fn each_question_is_counted_by_what_became_of_it() {
    let scene = Scene::new();
    let conf = format!(
        "upstream west {{ server 192.0.2.1; }}
         route_sql people {{ url sqlite:{}; query \"{QUERY}\"; }}",
        scene.path("people.db").display()
    );
    let settings = Settings::read(&Block::parse(&conf), &Settings::default());
    let (names, metrics): (Names, _) = (Book::of(&[]), Metrics::new());
    let fleet = Fleet::new(Cache::off(), metrics.clone());
    let router = Router::new(&settings, &names, &mut Connectors::default(), &fleet).unwrap();
    for user in ["mrose", "mrose", "nobody", "twice"] {
        of(&router, user).await;
    }
    let shown = metrics.render();
    for (result, count) in [("found", 2), ("unknown", 1), ("failed", 1)] {
        let mut line = "gatepost_route_source_seconds_count".to_owned();
        let _ = writeln!(line, "{{source=\"people\",result=\"{result}\"}} {count}");
        assert!(shown.contains(&line), "{line}{shown}");
    }
}

#[test]
fn each_fault_of_a_source_is_told_with_its_place() {
    let sql = |inside: &str| format!("route_sql a {{ {inside} }}");
    let ldap = |inside: &str| format!("route_ldap a {{ {inside} }}");
    let whole = "server ldap://a; base b; filter (c=%u);";
    let url = "url postgres://u@a/d;";
    for (conf, want) in [
        (
            sql(""),
            &["no \"url\" is inside route_sql \"a\"", "no \"query\" is inside route_sql \"a\""][..],
        ),
        (
            sql("url mysql://a; query 'SELECT :user';"),
            &["invalid url: it must begin with \"postgres://\" or \"sqlite:\""],
        ),
        (
            sql(&format!("{url} query 'SELECT $1';")),
            &["\"$1\" in the query: write :login, or another name of what is asked for"],
        ),
        (
            sql(&format!("{url} query 'SELECT :user'; pool 0;")),
            &["invalid value \"0\" in \"pool\" directive, it must be a number from 1 to 1000"],
        ),
        (
            sql(&format!("{url} query 'SELECT :user'; timeout 0;")),
            &["\"timeout\" must be longer than nothing"],
        ),
        (
            sql("url sqlite:a; query 'SELECT :user'; ssl on;"),
            &["\"ssl\" and \"password_file\" are for a database on the network"],
        ),
        (
            ldap(""),
            &[
                "no \"server\" is inside route_ldap \"a\"",
                "no \"base\" is inside route_ldap \"a\"",
                "no \"filter\" is inside route_ldap \"a\"",
            ],
        ),
        (
            ldap(&format!("{whole} server a;")),
            &[
                "invalid server \"a\": it must be ldap://host[:port], ldaps://host[:port] or ldapi://path",
            ],
        ),
        (
            ldap(&format!("{whole} server ldaps://a; starttls on;")),
            &["\"starttls\" and ldaps://a:636 exclude each other: write ldap://"],
        ),
        (ldap(&format!("{whole} bind_dn a;")), &["\"bind_dn\" and \"password_file\" go together"]),
        (
            ldap(&format!("{whole} scope up;")),
            &[
                "invalid value \"up\" in \"scope\" directive, it must be \"sub\", \"one\" or \"base\"",
            ],
        ),
        (
            ldap(&format!("{whole} attribute 'a)';")),
            &["invalid attribute \"a)\" in \"attribute\" directive"],
        ),
        (
            "route_file a b format=db;".to_owned(),
            &["invalid parameter \"format=db\", it must be format=hash or format=map"],
        ),
        (
            "route_file table b;".to_owned(),
            &["\"table\" is no name for a source: it stands for another"],
        ),
        (
            "route_file 'a b' c;".to_owned(),
            &[
                "invalid name \"a b\" of a source: letters, digits, \"_\", \"-\" and \".\", 64 at most",
            ],
        ),
        (
            "route_file a b; route_file a c;".to_owned(),
            &["duplicate source \"a\": names are unique over all kinds"],
        ),
        (
            "route_file legacy b; route_order table legcay;".to_owned(),
            &["no source \"legcay\" in route_order, did you mean \"legacy\"?"],
        ),
    ] {
        let block = Block::parse(&conf);
        Settings::read(&block, &Settings::default());
        let want: Vec<_> = want.iter().map(|fault| format!("{fault} in test:1")).collect();
        assert_eq!(block.faults(), want, "{conf}");
    }
}

#[test]
fn a_server_block_has_the_sources_of_mail_in_an_order_of_its_own() {
    let mail =
        Settings::read(&Block::parse("route_file a b; route_file c d;"), &Settings::default());
    assert!(mail.leads_somewhere() && mail.trusts_upstreams() && mail.may_choose_tls());
    let server = Settings::read(&Block::parse("route_order c;"), &mail);
    assert_eq!(*server.order, [Step::Named("c".to_owned())]);
    let same = Settings::read(&Block::parse(""), &mail);
    assert_eq!(same.order, mail.order);
    let block = Block::parse("route_order b;");
    Settings::read(&block, &mail);
    assert_eq!(block.faults().len(), 1);
    let none = Settings::read(&Block::parse("route_order table auth_http;"), &mail);
    assert!(!none.leads_somewhere());
}
