use super::*;
use crate::config::LOOKUP;
use crate::config::ZM_LOOKUP;

fn read(conf: &str) -> (Vec<Arc<Settings>>, Vec<String>) {
    let block = Block::parse(conf);
    let all = Settings::read_all(&block);
    let faults = block.shared().faults.sorted(&[]);
    (all, faults.err().into_iter().flatten().map(|fault| fault.to_string()).collect())
}

/// A block of every directive of `context` with its default.
fn defaults(context: &str) -> String {
    let own = DIRECTIVES.iter().filter(|directive| directive.within.contains(&context));
    let with = own.filter(|directive| !directive.default.is_empty());
    with.map(|directive| format!("{} {};\n", directive.name, directive.default)).collect()
}

#[test]
fn every_directive_is_read_and_its_default_is_true() {
    let url = "handler http://a/;";
    for more in ["", "protocol nle;"] {
        let (usual, faults) = read(&format!("lookup a {{ {url} {more} }}"));
        assert_eq!(faults, [""; 0]);
        let mut text = defaults(LOOKUP);
        if more.is_empty() {
            // It has a meaning for Zimbra's protocol alone.
            text = text.lines().filter(|line| !line.starts_with("temporary")).collect();
        } else {
            text = text.replace("protocol auth_http;", more).replace("send_password on;", "");
        }
        let (full, faults) = read(&format!("lookup a {{ {url}{text} }}"));
        assert_eq!(faults, [""; 0]);
        let show = |all: &[Arc<Settings>]| {
            let handlers = Vec::new();
            format!("{:?}", Settings { handlers, ..(*all[0]).clone() })
        };
        assert_eq!(show(&full), show(&usual));
    }
    let url = "zm_lookup_handlers http://a;";
    let (usual, faults) = read(&format!("zm_lookup {{ {url} }}"));
    let (full, more) = read(&format!("zm_lookup {{ {url} {} }}", defaults(ZM_LOOKUP)));
    assert_eq!((faults, more), (vec![], vec![]));
    assert_eq!((full[0].timeout, full[0].retry), (usual[0].timeout, usual[0].retry));
    assert_eq!((full[0].caching, full[0].allow_unqualified), (true, false));
    for (context, conf) in [(LOOKUP, "lookup a { }"), (ZM_LOOKUP, "zm_lookup { }")] {
        let block = Block::parse(conf);
        Settings::read_all(&block);
        let inner = block.blocks(conf.split(' ').next().unwrap())[0].clone();
        for directive in DIRECTIVES.iter().filter(|record| record.within.contains(&context)) {
            assert!(inner.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
        }
    }
}

#[test]
fn a_lookup_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pass");
    std::fs::write(&file, "tanstaaf\nnot that\n").unwrap();
    let (all, faults) = read(&format!(
        "lookup zimbra {{
            protocol nle; handler https://10.0.0.11:7072; handler http://b/x weight=3;
            timeout 3s; retry_interval 5m; max_fails 5; hedge 250ms; strict on; send_password on;
            header X-Key 'a b'; ssl_verify off; ssl_trusted_certificate /ca.pem; ssl_name c;
            ssl_server_name off; allow_unqualified on; temporary 'try later' never;
            master zmnginx {};
         }}
         lookup other {{ handler unix:/run/a:/b; hedge off; pass_client_cert on; }}",
        file.display()
    ));
    assert_eq!(faults, [""; 0]);
    let one = &all[0];
    let urls: Vec<_> = one.handlers.iter().map(|at| (at.url.to_string(), at.weight)).collect();
    let own = format!("https://10.0.0.11:7072{}", nle::PATH);
    assert_eq!(urls, [(own, 1), ("http://b:80/x".to_owned(), 3)]);
    assert_eq!(one.handlers[0].source, "test:2");
    assert_eq!((one.timeout, one.retry), (Duration::from_secs(3), Duration::from_secs(300)));
    assert_eq!((one.max_fails, one.hedge), (5, Hedge::After(Duration::from_millis(250))));
    assert!(one.strict && one.send_password && one.allow_unqualified);
    assert!(!one.tls.verify && !one.tls.server_name && one.tls.name.as_deref() == Some("c"));
    assert_eq!(one.temporary[..], ["try later", "never"]);
    let (user, secret) = one.master.as_ref().unwrap();
    assert_eq!((&**user, secret.reveal()), ("zmnginx", &b"tanstaaf"[..]));
    assert_eq!(one.headers.len(), 1);
    let two = &all[1];
    assert_eq!((two.protocol, two.hedge), (Protocol::AuthHttp, Hedge::Off));
    assert!(two.send_password && two.pass_client_cert && two.vouches() && !one.vouches());
}

#[test]
fn zimbras_spelling_is_a_lookup_by_that_name() {
    let (all, faults) = read(
        "zm_lookup {
            zm_lookup_handlers https://10.0.0.11:7072/service/extension/nginx-lookup
                https://10.0.0.12:7072/service/extension/nginx-lookup;
            zm_lookup_timeout 15000ms; zm_lookup_handler_retry_interval 60000ms;
            zm_lookup_caching off; zm_lookup_allow_unqualified on; zm_lookup_buffer_size 1024;
            zm_prefix_url /; zm_lookup_master_auth_username \"zmnginx\";
            zm_lookup_master_auth_password \"tanstaaf\";
         }",
    );
    assert_eq!(faults, [""; 0]);
    let zimbra = &all[0];
    assert_eq!((&*zimbra.name, zimbra.protocol), ("zm_lookup", Protocol::Nle));
    assert_eq!(zimbra.handlers.len(), 2);
    assert_eq!((zimbra.timeout, zimbra.retry), (Duration::from_secs(15), Duration::from_secs(60)));
    assert!(!zimbra.caching && zimbra.allow_unqualified && !zimbra.send_password);
    assert!(zimbra.tls.verify, "Zimbra takes any certificate, and we do not");
    assert!(!format!("{zimbra:?}").contains("tanstaaf"));
}

#[test]
fn what_is_wrong_is_told() {
    for (conf, want) in [
        ("lookup a { }", "no handlers are inside lookup \"a\" in test:1"),
        ("zm_lookup { }", "no \"zm_lookup_handlers\" are inside zm_lookup in test:1"),
        ("lookup a { handler b:x; }", "invalid port in handler \"b:x\" in test:1"),
        ("lookup a { handler b max=1; }", "invalid parameter \"max=1\" in test:1"),
        (
            "lookup a { handler b weight=0; }",
            "invalid \"weight=0\": a weight is from 1 to 1000 in test:1",
        ),
        ("lookup a { handler b; timeout 0; }", "\"timeout\" must be more than 0 in test:1"),
        (
            "lookup a { handler b; hedge maybe; }",
            "invalid value \"maybe\" in \"hedge\" directive, it must be a time such as \"500ms\", \
             \"30s\" or \"1m30s\" in test:1",
        ),
        (
            "lookup a { handler b; header X $login; }",
            "a variable in header \"X\", which is the same for every session in test:1",
        ),
        (
            "lookup a { handler b; master c /nowhere; }",
            "cannot read \"/nowhere\" (No such file or directory (os error 2)) in test:1",
        ),
        (
            "lookup a { handler b; pass_client_cert on; protocol nle; }",
            "\"pass_client_cert\" has no meaning for this lookup's \"protocol\" in test:1",
        ),
        ("lookup a { handler b; }\nlookup a { handler c; }", "duplicate lookup \"a\" in test:2"),
        (
            "zm_lookup { zm_lookup_handlers a; zm_lookup_master_auth_username b; }",
            "\"zm_lookup_master_auth_username\" and \"zm_lookup_master_auth_password\" go together \
             in test:1",
        ),
    ] {
        let (_, faults) = read(conf);
        assert!(faults.contains(&want.to_owned()), "{conf}: {faults:?}");
    }
}
