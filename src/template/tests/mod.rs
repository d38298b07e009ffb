//! The language, rule by rule.

mod places;

use proptest::prelude::*;

use super::*;

/// Values of the program's own: `name=text`, in a template's own words.
fn values(pairs: &[(&str, &str)]) -> Values {
    let mut values = Values::default();
    for (name, text) in pairs {
        values.set(*name, *text);
    }
    values
}

fn site() -> Values {
    values(&[
        ("mail.enabled", ""),
        ("web.enabled", "#"),
        ("lookup.available", ""),
        ("mail.imap.port", "143"),
        ("web.https.port", "443"),
        ("indirect", "mail.imap.port"),
        ("outer", "<${inner}>"),
        ("inner", "[${mail.imap.port}]"),
        ("memcache.:servers", "servers 192.0.2.1:11211;\nservers 192.0.2.2:11211;"),
        ("listen.:addresses", "listen 192.0.2.9:${web.https.port};\nlisten 192.0.2.8:443;"),
        ("empty.:list", ""),
    ])
}

fn domains() -> Copies {
    let of = |pairs: &[(&str, &str)], has_client_certificates| Domain {
        values: values(pairs),
        has_client_certificates,
    };
    Copies {
        domains: vec![
            of(&[("vhn", "mail.a.example"), ("vip", "192.0.2.1"), ("extra", "a")], true),
            of(&[("vhn", "mail.b.example"), ("vip", "")], false),
            of(&[("vhn", "mail.c.example"), ("vip", ""), ("extra", "c")], true),
        ],
        servers: [(
            "docs".to_owned(),
            vec![
                values(&[("server_id", "1"), ("server_hostname", "d1.example")]),
                values(&[("server_id", "2"), ("server_hostname", "d2.example")]),
            ],
        )]
        .into(),
    }
}

fn text(template: &str) -> String {
    let expanded = expand(template, &site(), &domains(), Unknown::Refuse);
    let expanded = expanded.unwrap_or_else(|faults| panic!("{template:?}: {faults:?}"));
    assert_eq!(expanded.notes, [], "{template:?}");
    expanded.text
}

fn faults(template: &str) -> Vec<String> {
    match expand(template, &site(), &domains(), Unknown::Refuse) {
        Ok(expanded) => panic!("{template:?} became {:?}", expanded.text),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn each_rule_of_the_language_has_its_row() {
    for (template, want) in [
        ("", ""),
        ("plain $host ${ $ { text", "plain $host ${ $ { text\n"),
        ("listen ${mail.imap.port};", "listen 143;\n"),
        ("${mail.imap.port}:${web.https.port}", "143:443\n"),
        // Values are expanded again, and a name may be put together.
        ("x ${outer};", "x <[143]>;\n"),
        ("x ${${indirect}};", "x 143;\n"),
        // The last one is taken first: it closes the name of the one before.
        ("x ${mail.${y}imap.port};", ""),
        // An empty name is none.
        ("x ${} ${mail.imap.port} ${}", "x ${} 143 ${}\n"),
        // Lines that a switch leaves out, alone and stacked.
        ("${mail.enabled}include a;", "include a;\n"),
        ("${web.enabled}include a;", "#include a;\n"),
        ("${lookup.available}${mail.enabled}include a;", "include a;\n"),
        ("${lookup.available}${web.enabled}include a;", "#include a;\n"),
        ("  ${web.enabled}${web.enabled}a;", "  ##a;\n"),
        // Lists keep the indentation of their line, and their values are expanded again.
        (
            "{\n  ${memcache.:servers}\n}",
            "{\n  servers 192.0.2.1:11211;\n  servers 192.0.2.2:11211;\n}\n",
        ),
        ("\t${listen.:addresses}", "\tlisten 192.0.2.9:443;\n\tlisten 192.0.2.8:443;\n"),
        ("  ${empty.:list}\nx", "  \nx\n"),
        // A list is switched whole, and none of its lines gets out of a comment.
        (
            "${web.enabled}  ${listen.:addresses}",
            "#  listen 192.0.2.9:443;\n#  listen 192.0.2.8:443;\n",
        ),
        (
            "# so: ${memcache.:servers}",
            "# so: servers 192.0.2.1:11211;\n# servers 192.0.2.2:11211;\n",
        ),
        (
            "a; # ${memcache.:servers}",
            "a; # servers 192.0.2.1:11211;\n# servers 192.0.2.2:11211;\n",
        ),
        // A comment may speak of variables that do not exist.
        ("# ${nobody} ${mail.imap.port}", "# ${nobody} 143\n"),
        ("a\r\nb", "a\nb\n"),
        ("\u{feff}a", "a\n"),
        // Headers.
        (
            "!{explode domain(vhn)}\n# once\nserver_name ${vhn};",
            "# once\nserver_name mail.a.example;\nserver_name mail.b.example;\nserver_name mail.c.example;\n",
        ),
        ("# !{explode  domain( vhn , sso )} why\n${vhn}", "mail.a.example\nmail.c.example\n"),
        (
            "!{explode vhn_vip_ssl}\n${vhn} ${vip};",
            "mail.a.example 192.0.2.1;\nmail.b.example ;\nmail.c.example ;\n",
        ),
        (
            "!{explode server(docs)}\n  # once\n${server_id} ${server_hostname} ${mail.imap.port}",
            "  # once\n1 d1.example 143\n2 d2.example 143\n",
        ),
        ("!{explode domain(vhn)}", ""),
    ] {
        if template.contains("${y}") {
            assert_eq!(faults(template), ["line 1: unknown variable \"y\""]);
            continue;
        }
        assert_eq!(text(template), want, "{template:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (template, want) in [
        (
            "a\n${mail.imp.port}",
            "line 2: unknown variable \"mail.imp.port\"; did you mean \"mail.imap.port\"?",
        ),
        (
            "${vhn}",
            "line 1: unknown variable \"vhn\"; it is set in templates that begin with !{explode domain(vhn)}",
        ),
        (
            "${server_id}",
            "line 1: unknown variable \"server_id\"; it is set in templates that begin with !{explode server(…)}",
        ),
        ("${quite another thing}", "line 1: unknown variable \"quite another thing\""),
        (
            "!{explode}",
            "line 1: illegal custom header command \"!{explode}\"; the one command is \"explode\"",
        ),
        (
            "!{expand domain(vhn)}",
            "line 1: illegal custom header command \"!{expand domain(vhn)}\"; the one command is \"explode\"",
        ),
        (
            "!{explode domain(vip)}",
            "line 1: illegal custom header command \"!{explode domain(vip)}\"; a domain has \"vhn\" or \"vhn, sso\"",
        ),
        (
            "!{explode server()}",
            "line 1: illegal custom header command \"!{explode server()}\"; a server has one service",
        ),
        (
            "!{explode all}",
            "line 1: illegal custom header command \"!{explode all}\"; it explodes domain(…), server(…) or vhn_vip_ssl",
        ),
    ] {
        assert_eq!(faults(template), [want]);
    }
    let long = format!("!{{explode domain(vhn)}}{}", " ".repeat(100));
    assert_eq!(faults(&long), ["line 1: a header of more than 100 characters"]);
    // All of them at once, and of copies the first's.
    assert_eq!(faults("${x1}\n${x2} ${x3}").len(), 3);
    assert_eq!(faults("!{explode domain(vhn)}\n${nobody}\n").len(), 1);
}

#[test]
fn nothing_leaks_from_one_domain_to_the_next() {
    let template = "!{explode domain(vhn)}\n${vhn} ${extra};";
    assert_eq!(faults(template), ["line 2: unknown variable \"extra\""]);
    let expanded = expand(template, &site(), &domains(), Unknown::Lenient).unwrap();
    assert_eq!(expanded.text, "mail.a.example a;\nmail.b.example ;\nmail.c.example c;\n");
}

#[test]
fn a_lenient_expansion_writes_nothing_and_notes_it_once() {
    let template = "!{explode domain(vhn)}\n${vhn} x${nobody}y;";
    let expanded = expand(template, &site(), &domains(), Unknown::Lenient).unwrap();
    assert_eq!(expanded.text.lines().next(), Some("mail.a.example xy;"));
    assert_eq!(expanded.notes, [Fault::new(2, "unknown variable \"nobody\"")]);
}

#[test]
fn a_header_below_the_first_line_is_noted() {
    let expanded =
        expand("a\n!{explode domain(vhn)}", &site(), &domains(), Unknown::Refuse).unwrap();
    assert_eq!(expanded.text, "a\n!{explode domain(vhn)}\n");
    assert_eq!(expanded.notes.len(), 1);
    let expanded =
        expand("!{explode server(none)}\na", &site(), &domains(), Unknown::Refuse).unwrap();
    assert_eq!(expanded.notes, [Fault::new(1, "no server has the service \"none\"")]);
}

#[test]
fn a_value_that_comes_back_to_itself_names_the_way() {
    let values = values(&[
        ("self", "x${self}"),
        ("a", "1 ${b} 2"),
        ("b", "${c}"),
        ("c", "3 ${a}"),
        ("open", "${clo"),
        ("twice", "${mail} ${mail}"),
        ("mail", "m"),
    ]);
    for (template, want) in [
        ("${self}", "line 1: a value comes back to itself: ${self} -> ${self}"),
        ("${a}", "line 1: a value comes back to itself: ${a} -> ${b} -> ${c} -> ${a}"),
        ("x ${mail} ${c} y", "line 1: a value comes back to itself: ${c} -> ${a} -> ${b} -> ${c}"),
        ("${open}se}", "line 1: unknown variable \"close\""),
    ] {
        let faults = expand(template, &values, &Copies::default(), Unknown::Refuse).unwrap_err();
        assert_eq!(faults[0].to_string(), want);
    }
    // Side by side is not within.
    let expanded = expand("${twice}${mail}", &values, &Copies::default(), Unknown::Refuse).unwrap();
    assert_eq!(expanded.text, "m mm\n");
}

#[test]
fn a_loop_through_text_beside_the_variable_ends_too() {
    // `${open` and the template's own `}` make the name, over and over.
    let values = values(&[("a", "${a"), ("b", "${b}}${b")]);
    for template in ["${a}}}}}}", "${b}}}}", "${${a}}}"] {
        let done = expand(template, &values, &Copies::default(), Unknown::Lenient);
        assert!(done.is_err(), "{template}: {done:?}");
    }
}

#[test]
fn values_that_multiply_are_stopped() {
    let mut values = Values::default();
    for nth in 0..20 {
        let next = nth + 1;
        values.set(format!("v{nth}"), format!("${{v{next}}}${{v{next}}}${{v{next}}}"));
        values.set(format!("s{nth}"), format!("${{s{next}}}"));
    }
    values.set("v20", "laughter".repeat(1000));
    values.set("v13", "");
    values.set("big", "x".repeat(5 << 20));
    values.set("s20", "deep");
    let expand = |template: &str| {
        expand(template, &values, &Copies::default(), Unknown::Refuse).map(|expanded| expanded.text)
    };
    let said = |template: &str| expand(template).unwrap_err()[0].to_string();
    assert!(said("${s0}").contains("more than 16 deep: ${s0} -> ${s1}"), "{}", said("${s0}"));
    assert_eq!(expand("${s5}"), Ok("deep\n".to_owned()));
    assert!(said("${v14}").contains("multiply"), "{}", said("${v14}"));
    assert!(said("${big}").contains("makes it too long"));
    // Three to the thirteenth values of nothing are looked through, not for ever.
    let nothing = expand("${v0}");
    assert!(nothing == Ok("\n".to_owned()) || nothing.is_err(), "{nothing:?}");
}

#[test]
fn five_thousand_domains_are_expanded_without_waiting() {
    let mut copies = Copies::default();
    for nth in 0..5000 {
        let mut values = Values::default();
        values.put("vhn", Piece::Text(format!("mail.d{nth}.example")));
        copies.domains.push(Domain { values, has_client_certificates: false });
    }
    let template = format!(
        "!{{explode domain(vhn)}}\n{}",
        "x ${mail.enabled}${vhn} ${mail.imap.port};\n".repeat(10)
    );
    let expanded = expand(&template, &site(), &copies, Unknown::Refuse).unwrap();
    assert_eq!(expanded.text.lines().count(), 50_000);
}

proptest! {
    #[test]
    fn any_template_and_any_values_are_survived(
        input in "(\\$\\{[a-z:.]{0,6}\\}?|!\\{explode (domain\\(vhn\\)|server\\(x\\))\\}|[a-e{}$#\"';\\\\ ]|\\x00|\n|\\PC){0,40}",
    ) {
        hold_for_any(input.as_bytes());
    }

    #[test]
    fn bytes_of_any_kind_are_survived(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        hold_for_any(&input);
    }

    #[test]
    fn text_without_variables_stays_as_it_is(text in "([^$!\r]|\\$[^{$!\r]){0,80}") {
        let expanded = expand(&text, &site(), &domains(), Unknown::Refuse).unwrap();
        let lines: String = text.trim_start_matches('\u{feff}').lines().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(expanded.text, lines);
    }
}
