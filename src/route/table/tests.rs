use proptest::prelude::*;

use super::*;
use crate::route::group::Limits;

const CONF: &str = r#"
    upstream old { server 192.0.2.1; }
    upstream new { server 192.0.2.2; }
    route {
        default                       old;
        mrose@example.com             192.0.2.3:143;
        j.smith                       192.0.2.4:143;
        \default                      192.0.2.5:143;
        \.dot                         192.0.2.6:143;
        @example.com                  192.0.2.7:143 login=$user;
        .example.com                  192.0.2.8:143;
        *.b.example.com               192.0.2.9:143;
        *.example.org                 new;
        ~^(?<who>[a-z]+)@(\d)\.test$  store$2.test:1$2 "login=$who at $domain";
        ~*^UPPER@                     [2001:db8::1];
        ~@GROUP\.(.*)$                $1;
        ~@sock\.(.*)$                 unix:/run/$1;
        ~@nul                         $user;
    }
"#;

fn read(conf: &str) -> (Table, Vec<String>) {
    let block = Block::parse(conf);
    let groups = block.blocks("upstream").into_iter().map(|block| {
        let group = Group::read(block, &Limits::default());
        (group.name.clone(), Arc::new(group))
    });
    let groups = Arc::new(groups.collect());
    let table = Table::read(block.blocks("route")[0], &groups);
    let faults = block.shared().faults.sorted(&[]);
    (table, faults.err().into_iter().flatten().map(|fault| fault.to_string()).collect())
}

fn find(table: &Table, login: &str) -> String {
    match table.find(login.as_bytes()) {
        Ok(Some(Found { to, login })) => {
            let to = match to {
                Destination::Group(group) => group.name.clone(),
                Destination::Servers(servers) => servers[0].to_string(),
            };
            login.map_or_else(String::new, |login| format!("{} on ", login.escape_ascii())) + &to
        }
        Ok(None) => "nobody".to_owned(),
        Err(nowhere) => nowhere.to_string(),
    }
}

#[test]
fn the_most_special_row_wins() {
    let (table, faults) = read(CONF);
    assert_eq!(faults, Vec::<String>::new());
    for (login, want) in [
        ("mrose@example.com", "192.0.2.3:143"),
        ("MRose@Example.COM", "192.0.2.3:143"),
        ("j.smith", "192.0.2.4:143"),
        ("default", "192.0.2.5:143"),
        (".dot", "192.0.2.6:143"),
        ("other@example.com", "other on 192.0.2.7:143"),
        ("a@b@example.com", "a@b on 192.0.2.7:143"),
        // Nothing stands before the @: no other name to log in with.
        ("@example.com", "192.0.2.7:143"),
        ("x@a.example.com", "192.0.2.8:143"),
        ("x@b.example.com", "192.0.2.8:143"),
        ("x@a.b.example.com", "192.0.2.9:143"),
        ("x@notexample.com", "old"),
        ("x@example.org", "old"),
        ("x@a.example.org", "new"),
        ("x@.example.org", "new"),
        ("joe@4.test", "joe at 4.test on store4.test:14"),
        ("Joe@4.test", "old"),
        ("Upper@4.test", "[2001:db8::1]"),
        ("", "old"),
        ("@", "old"),
        ("a\u{f6}@b", "old"),
    ] {
        assert_eq!(find(&table, login), want, "{login}");
    }
}

#[test]
fn what_a_login_fills_in_leads_only_where_its_row_does() {
    let (table, _) = read(CONF);
    for (login, want) in [
        ("a@GROUP.new", "new"),
        ("a@GROUP.NEW", "new"),
        ("a@GROUP.host.example:7", "host.example:7"),
        ("a@sock.mrose", "unix:/run/mrose"),
    ] {
        assert_eq!(find(&table, login), want, "{login}");
    }
    for login in [
        "a@GROUP.",
        "a@GROUP.unknown",
        "a@GROUP.host.example:0",
        "a@GROUP.host example:1",
        "a@GROUP.unix:/etc/passwd",
        "a@sock.x/../../../y",
        "unix:/etc@nul",
        "\u{f6}@nul",
    ] {
        assert!(find(&table, login).starts_with("route to \""), "{login}: {}", find(&table, login));
    }
}

#[test]
fn without_a_default_somebody_is_unknown() {
    let (table, _) = read("route { @example.com 192.0.2.1:1; }");
    assert_eq!(find(&table, "x@example.com"), "192.0.2.1:1");
    assert_eq!(find(&table, "x"), "nobody");
    assert!(!table.is_empty());
    assert!(read("route { }").0.is_empty());
}

#[test]
fn each_bad_row_is_told_with_its_place() {
    for (row, want) in [
        ("a;", "no upstream for \"a\""),
        ("a nogroup;", "no upstream \"nogroup\""),
        ("a 1.2.3;", "invalid host in \"1.2.3\""),
        ("a host:0;", "invalid port in \"host:0\""),
        ("a old what;", "invalid parameter \"what\""),
        ("a old login=a login=b;", "invalid parameter \"login=b\""),
        ("a $1;", "unknown \"1\" variable in \"$1\""),
        ("~(.) $2.x;", "unknown \"2\" variable in \"$2.x\""),
        ("~(.) old login=$nix;", "unknown \"nix\" variable in \"login=$nix\""),
        ("~( old;", "invalid regex \"(\": unclosed group"),
        (
            "~(.{1000}){1000} old;",
            "invalid regex \"(.{1000}){1000}\": Compiled regex exceeds size limit of 1048576 bytes.",
        ),
        ("mail.* old;", "invalid pattern \"mail.*\""),
        ("*.a@b old;", "invalid pattern \"*.a@b\""),
        ("@ old;", "invalid pattern \"@\""),
        ("A old; a old;", "conflicting parameter \"a\""),
        ("default old; default old;", "duplicate default route"),
    ] {
        let row = row.replace("~(.{1000}){1000}", "\"~(.{1000}){1000}\"");
        let (_, faults) = read(&format!("upstream old {{ server a; }}\nroute {{ {row} }}"));
        assert_eq!(faults, [format!("{want} in test:2")], "{row}");
    }
}

proptest! {
    #[test]
    fn any_login_leads_nowhere_new(
        login in prop_oneof![
            any::<Vec<u8>>(),
            "(unix:|\\.\\.|/|[a-z.:@0-9]{1,4}){1,6}@(GROUP|sock|nul)?(\\.|/|unix:|[a-z]){0,6}"
                .prop_map(String::into_bytes),
        ],
    ) {
        let (table, _) = read(CONF);
        if let Ok(Some(Found { to: Destination::Servers(servers), login })) = table.find(&login) {
            let server = servers[0].to_string();
            let is_home = server.starts_with("unix:/run/") && !server.contains("..");
            prop_assert!(is_home || !server.starts_with("unix:"), "{server}");
            prop_assert!(login.is_none_or(|login| !login.is_empty()));
        }
    }
}
