//! Every variable, out of settings, into templates.

use super::super::{Unknown, expand};
use super::*;

/// What Zimbra's own templates ask for, group by group.
const ZIMBRAS: &str = "
core.workdir core.includes core.cprefix core.ipboth.enabled core.ipv4only.enabled core.ipv6only.enabled
main.workers main.connections main.loglevel main.logfile main.pidfile main.accept_mutex main.krb5keytab
memcache.:servers memcache.timeout memcache.reconnect memcache.ttl
zmlookup.:handlers lookup.available zmlookup.timeout zmlookup.retryinterval zmlookup.caching
zmlookup.dpasswd zmprefix.url
mail.enabled mail.imap.enabled mail.imaps.enabled mail.pop3.enabled mail.pop3s.enabled
mail.imap.port mail.imaps.port mail.pop3.port mail.pop3s.port mail.imap.tls mail.pop3.tls
mail.imap.timeout mail.pop3.timeout mail.imap.proxytimeout mail.pop3.proxytimeout mail.ctimeout
mail.passerrors mail.authwait mail.imap.greeting mail.pop3.greeting mail.imapcapa mail.pop3capa
mail.imapid mail.imap.authplain.enabled mail.imap.authgssapi.enabled mail.pop3.authplain.enabled
mail.pop3.authgssapi.enabled mail.imap.literalauth mail.defaultrealm mail.sasl_host_from_ip
mail.saslapp mail.proxy.ssl mail.upstream.pop3xoip mail.upstream.imapid
mail.ipmax mail.ipttl mail.imapmax mail.imapttl mail.pop3max mail.pop3ttl mail.usermax mail.userttl
mail.iprej mail.userrej mail.whitelistip.:servers mail.whitelist.ttl mail.ssl.protocols
mail.ssl.preferserverciphers mail.ssl.ciphers mail.ssl.ecdh.curve mail.auth_http_timeout
web.enabled web.available web.http.enabled web.https.enabled web.mailmode web.http.port
web.https.port web.server_name.default web.server_names.max_size web.server_names.bucket_size
web.upstream.name web.upstream.webclient.name web.upstream.:servers web.upstream.webclient.:servers
web.upstream.ewsserver.:servers web.upstream.loginserver.:servers web.upstream.zx.:servers
web.ssl.upstream.:servers web.ssl.upstream.webclient.:servers web.ssl.upstream.ewsserver.:servers
web.ssl.upstream.loginserver.:servers web.ssl.upstream.zx.:servers web.upstream.target
web.upstream.webclient.target web.upstream.login.target web.upstream.ews.target web.upstream.zx
web.ews.upstream.disable web.login.upstream.disable web.upstream.connect.timeout
web.upstream.read.timeout web.upstream.send.timeout web.upstream.polling.timeout
web.upstream.noop.timeout web.upstream.waitset.timeout web.upstream.exactversioncheck
upstream.fair.shm.size web.strict.servername listen.:addresses web.:error_pages
web.add.headers.default web.ssl.protocols web.ssl.ciphers web.ssl.preferserverciphers
web.ssl.ecdh.curve web.ssl.dhparam.enabled web.ssl.dhparam.file ssl.session.cachesize
ssl.session.timeout ssl.crt.default ssl.key.default ssl.clientcertmode.default
ssl.clientcertca.default ssl.clientcertdepth.default ssl.clientcertca.enabled web.sso.enabled
web.sso.default.enabled web.sso.certauth.port web.sso.certauth.default.enabled
web.admin.default.enabled web.admin.port web.admin.uport web.admin.upstream.:servers
web.admin.upstream.adminclient.:servers web.xmpp.enabled web.upstream.onlyoffice.docservice
web.upstream.onlyoffice.spellchecker web.logfile web.uploadmax web.http.maxbody web.https.maxbody";

/// Those that a copy has: `domain(vhn)`.
const OF_A_COPY: &str = "vhn vip ssl.crt ssl.key ssl.clientcertmode ssl.clientcertca \
                         web.sso.certauth.enabled web.add.headers.vhost";

const SITE: &str = include_str!("../../../tests/fixtures/templates/site.toml");

fn settings(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// `template` with the settings `text`, for `server`.
fn expanded(text: &str, server: Option<&str>, template: &str) -> String {
    let (values, copies, _) = values(&settings(text), server, &[]);
    match expand(template, &values, &copies, Unknown::Refuse) {
        Ok(expanded) => expanded.text,
        Err(faults) => panic!("{template:?}: {faults:?}"),
    }
}

#[test]
fn zimbras_variables_are_all_there() {
    let (values, copies, listed) = values(&settings(SITE), None, &[]);
    for name in ZIMBRAS.split_whitespace() {
        assert!(values.get(name).is_some(), "{name}");
        assert!(listed.iter().any(|entry| entry.keyword == name), "{name} is not listed");
    }
    for name in OF_A_COPY.split_whitespace() {
        assert!(copies.domains[0].values.get(name).is_some(), "{name}");
        assert!(values.get(name).is_none(), "{name} is a copy's own");
        assert!(OF_A_DOMAIN.contains(&name), "{name}");
    }
    for entry in &listed {
        assert!(!entry.description.is_empty() && !entry.text.contains("refused"), "{entry}");
    }
    let mut names: Vec<_> = listed.iter().map(|entry| entry.keyword.as_str()).collect();
    names.dedup();
    assert_eq!(names.len(), listed.len(), "a variable is listed twice");
}

#[test]
fn each_setting_becomes_its_variable() {
    for (set, template, want) in [
        ("", "${mail.imap.port} ${mail.imaps.port}", "143 993"),
        ("mail.imap.port = 7143", "${mail.imap.port}", "7143"),
        ("mail.imap.enabled = false", "${mail.imap.enabled}x", "#x"),
        ("", "${memcache.ttl} ${memcache.timeout}", "3600000ms 3000ms"),
        ("mail.pass_errors = false", "${mail.passerrors}", "off"),
        (
            "mail.imap.greeting = \"a; b\"",
            "g ${mail.imap.greeting}; \"${mail.imap.greeting}\"",
            "g \"a; b\"; \"a; b\"",
        ),
        (
            "tls.protocols = [\"TLSv1.2\", \"TLSv1.3\"]",
            "p ${mail.ssl.protocols};",
            "p TLSv1.2 TLSv1.3;",
        ),
        ("mail.imap.capabilities = [\"ID\", \"X Y\"]", "c ${mail.imapcapa};", "c \"ID\" \"X Y\";"),
        (
            "memcache.servers = [\"c1.example\", \"[2001:db8::1]:11212\", \"[2001:db8::2]\"]",
            " ${memcache.enabled}${memcache.:servers}",
            " servers c1.example:11211;\n servers [2001:db8::1]:11212;\n servers [2001:db8::2]:11211;",
        ),
        ("", "${memcache.enabled}${lookup.available}${memcache.:servers}x", "##x"),
        (
            "lookup.targets = [\"n1.example\"]",
            "h ${zmlookup.:handlers};",
            "h https://n1.example:7072/service/extension/nginx-lookup;",
        ),
        (
            "lookup.handlers = [\"http://n2.example/x\"]",
            "${lookup.available}h ${zmlookup.:handlers};",
            "h http://n2.example/x;",
        ),
        (
            "throttle.whitelist = [\"192.0.2.0/24\", \"::1\"]",
            "${mail.whitelistip.:servers}",
            "mail_whitelist_ip 192.0.2.0/24;\nmail_whitelist_ip ::1;",
        ),
        (
            "main.ip_mode = \"both\"",
            "${core.ipboth.enabled}a\n${core.ipv4only.enabled}b\n${core.ipv6only.enabled}c",
            "a\n#b\n#c",
        ),
        ("mail.imap.auth.gssapi = true", "imap_auth ${mail.imap.auth};", "imap_auth plain gssapi;"),
        (
            "web.mode = \"https\"\nweb.enabled = true",
            "${web.http.enabled}a\n${web.https.enabled}b",
            "#a\nb",
        ),
        ("upstream.tls.enabled = true", "${web.upstream.target}", "https://zimbra_ssl"),
        ("upstream.tls.enabled = false", "${web.upstream.target}", "http://zimbra"),
        (
            "web.headers = [\"X-Frame-Options: DENY; \\\"a\\\"\"]",
            "${web.add.headers.default}",
            "add_header X-Frame-Options \"DENY; \\\"a\\\"\";",
        ),
        (
            "",
            "${web.:error_pages}",
            "error_page 502 /zmerror_upstream_502.html;\nerror_page 504 /zmerror_upstream_504.html;",
        ),
        (
            "web.error_url = \"https://e.example/\"",
            "${web.:error_pages}",
            "error_page 502 https://e.example/?err=502&up=$upstream_addr;\nerror_page 504 https://e.example/?err=504&up=$upstream_addr;",
        ),
        // Beyond Zimbra's: any setting by its own name, and as a switch.
        (
            "upstream.tls.verify = true",
            "${upstream.tls.verify} ${upstream.tls.verify.set}a ${upstream.tls.verify.unset}b",
            "on a #b",
        ),
        (
            "mail.real_ip_from = [\"10.0.0.0/8\"]",
            "${mail.real_ip_from.set}r ${mail.real_ip_from};",
            "r 10.0.0.0/8;",
        ),
    ] {
        let text = format!("[global]\n{set}\n");
        assert_eq!(expanded(&text, None, template).trim_end(), want, "{set}");
    }
}

#[test]
fn a_server_has_its_own_values_and_the_globals() {
    let port = |server| expanded(SITE, server, "${mail.imap.port} ${web.server_name.default}");
    assert_eq!(port(None), "143 localhost\n");
    assert_eq!(port(Some("mx1.example.com")), "1143 mx1.example.com\n");
    assert_eq!(port(Some("mx2.example.com")), "143 second.example.com\n");
    assert_eq!(
        expanded(SITE, None, "!{explode server(proxy)}\n${server_id} ${server_hostname};"),
        "mx1.example.com mx1.example.com;\nmx2.example.com second.example.com;\n"
    );
    assert_eq!(
        expanded(SITE, None, "!{explode server(memcached)}\n${server_id};"),
        "mx2.example.com;\n"
    );
}

#[test]
fn addresses_go_with_virtual_hosts_by_index() {
    let template = "!{explode domain(vhn)}\n${vhn} ${vip}${mail.imaps.port};";
    for (hosts, addresses, want) in [
        (
            r#""a.example", "b.example""#,
            r#""192.0.2.1", "2001:db8::1""#,
            "a.example 192.0.2.1:993;\nb.example [2001:db8::1]:993;\n",
        ),
        (
            r#""a.example", "b.example""#,
            r#""192.0.2.1""#,
            "a.example 192.0.2.1:993;\nb.example 192.0.2.1:993;\n",
        ),
        (r#""a.example""#, r#""192.0.2.1", "192.0.2.2""#, "a.example 192.0.2.1:993;\n"),
        (r#""a.example""#, "", "a.example 993;\n"),
    ] {
        let text = |sni: bool| {
            format!(
                "[global]\ntls.sni = {sni}\n[domain.\"a.example\"]\nvirtual_hosts = [{hosts}]\n\
                 virtual_addresses = [{addresses}]\ntls.certificate = \"/a.crt\"\n"
            )
        };
        assert_eq!(expanded(&text(false), None, template), want);
        // Where SNI tells names apart, no address does.
        assert!(!expanded(&text(true), None, template).contains("192.0.2"));
    }
}

#[test]
fn a_domain_without_anything_of_its_own_has_no_copy() {
    let template = "!{explode domain(vhn)}\n${vhn} ${ssl.crt};";
    for (domain, want) in [
        ("virtual_hosts = [\"v.example\"]", ""),
        ("tls.certificate = \"/a.crt\"", ""),
        ("virtual_hosts = [\"v.example\"]\ntls.certificate = \"/a.crt\"", "v.example /a.crt;\n"),
        (
            "virtual_hosts = [\"v.example\"]\nclient_certificate_mode = \"on\"",
            "v.example /default.crt;\n",
        ),
    ] {
        let text = format!(
            "[global]\ntls.certificate = \"/default.crt\"\n[domain.\"a.example\"]\n{domain}\n"
        );
        assert_eq!(expanded(&text, None, template), want, "{domain}");
        let off = text.replace("[global]", "[global]\nvirtual_hosts_enabled = false");
        assert_eq!(expanded(&off, None, template), "", "{domain}");
    }
}

#[test]
fn the_command_line_goes_before_the_settings() {
    for (text, want) in [
        ("7143", Some("p 7143;\n")),
        ("\"a; b\" c", Some("p \"a; b\" c;\n")),
        ("${mail.imaps.port}", Some("p 993;\n")),
        ("#", Some("p #;\n")),
        ("1; evil", None),
        ("1 {", None),
        ("\"open", None),
        ("# comment", None),
        ("a\\", None),
        ("1\nevil;", None),
    ] {
        let overrides = [("mail.imap.port".to_owned(), text.to_owned())];
        let (values, copies, listed) = values(&Settings::default(), None, &overrides);
        let expanded = expand("p ${mail.imap.port};", &values, &copies, Unknown::Refuse);
        assert_eq!(expanded.ok().map(|expanded| expanded.text).as_deref(), want, "{text}");
        let entry = listed.iter().find(|entry| entry.keyword == "mail.imap.port").unwrap();
        assert_eq!(entry.default, "143");
        assert!(want.is_none() || entry.text == text, "{entry}");
    }
    let overrides = ["mail.imap.prt", "vhn", "web.upstream.name", "my.own", "main.user.set"];
    let overrides = overrides.map(|name| (name.to_owned(), String::new()));
    assert_eq!(unknown_overrides(&overrides), ["mail.imap.prt", "my.own"]);
}

#[test]
fn the_listing_is_zmproxyconfgens() {
    let set = settings(
        "[global]\nthrottle.ip.max = 7\nmemcache.servers = [\"a.example\", \"b.example\"]\n",
    );
    let (_, _, listed) = values(&set, None, &[]);
    let block = |name: &str| listed.iter().find(|entry| entry.keyword == name).unwrap().to_string();
    let text = block("mail.ipmax");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "  NGINX Keyword:         mail.ipmax");
    assert!(lines[1].starts_with("  Description:           "), "{text}");
    assert_eq!(
        lines[2..],
        [
            "  Value Type:            INTEGER",
            "  Controlling Attribute: zimbraReverseProxyIPLoginLimit",
            "  Default Value:         0",
            "  Current Value:         7",
            "  Config Text:           7",
            "",
        ]
    );
    let text = block("memcache.:servers");
    assert!(text.contains("  Config Text:           servers a.example:11211;\n                         servers b.example:11211;\n"), "{text}");
    let text = block("mail.imap.enabled");
    assert!(text.contains("  Current Value:         true\n  Config Text:\n"), "{text}");
}

#[test]
fn a_secret_is_in_no_listing() {
    let set = settings("[global]\nlookup.master.password_file = \"/etc/gatepost/secret\"\n");
    let (mut values, copies, listed) = values(&set, None, &[]);
    let entry = listed.iter().find(|entry| entry.keyword == "zmlookup.dpasswd").unwrap();
    assert!(entry.text.contains("has not been read"), "{entry}");
    // Who generates reads the file.
    let expand =
        |values: &Values| expand("p ${zmlookup.dpasswd};", values, &copies, Unknown::Refuse);
    assert!(expand(&values).is_err());
    values.put("zmlookup.dpasswd", Piece::Secret("hush; hush".to_owned()));
    assert_eq!(expand(&values).unwrap().text, "p \"hush; hush\";\n");
    assert!(!format!("{values:?}").contains("hush"));
}

#[test]
fn a_whole_site_is_what_it_was() {
    for (template, want) in [
        (
            include_str!("../../../tests/fixtures/templates/mail.template"),
            include_str!("../../../tests/fixtures/templates/mail.expanded"),
        ),
        (
            include_str!("../../../tests/fixtures/templates/vhost.template"),
            include_str!("../../../tests/fixtures/templates/vhost.expanded"),
        ),
    ] {
        let text = expanded(SITE, Some("mx1.example.com"), template);
        assert!(text == want, "{text}");
    }
}
