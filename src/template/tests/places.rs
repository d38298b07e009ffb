//! What an admin's value may do where it stands: nothing but be a value.

use super::*;

/// Reads text as nginx does: words, `;`, `{` and `}`. Quoted words are marked with a `q`.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            letter if letter.is_ascii_whitespace() => {}
            '#' => while letters.next_if(|letter| *letter != '\n').is_some() {},
            ';' | '{' | '}' => tokens.push(letter.to_string()),
            '"' | '\'' => {
                let mut word = "q:".to_owned();
                loop {
                    match letters.next() {
                        None => return vec!["unclosed".to_owned()],
                        Some('\\') => match letters.next() {
                            Some(next @ ('"' | '\'' | '\\')) => word.push(next),
                            other => word.extend(['\\'].into_iter().chain(other)),
                        },
                        Some(end) if end == letter => break,
                        Some(other) => word.push(other),
                    }
                }
                tokens.push(word);
            }
            letter => {
                let mut word = letter.to_string();
                while let Some(next) = letters
                    .next_if(|next| !next.is_ascii_whitespace() && !matches!(next, ';' | '{'))
                {
                    word.push(next);
                }
                tokens.push(word);
            }
        }
    }
    tokens
}

fn with(template: &str, piece: Piece) -> Result<String, String> {
    let mut values = site();
    values.put("x", piece);
    match expand(template, &values, &Copies::default(), Unknown::Refuse) {
        Ok(expanded) => Ok(expanded.text.trim_end().to_owned()),
        Err(faults) => Err(faults[0].what.clone()),
    }
}

const WITHIN: &str =
    "${x}: its value needs quotes and stands within a word; put the whole word into quotes";

#[test]
fn a_text_is_quoted_by_where_it_stands() {
    let row = |template, raw: &str| with(template, Piece::Text(raw.to_owned()));
    for (template, raw, want) in [
        ("a ${x};", "plain", Ok("a plain;")),
        ("a ${x};", "", Ok("a ;")),
        ("a ${x};", "two words", Ok("a \"two words\";")),
        ("a ${x};", "b; evil on", Ok("a \"b; evil on\";")),
        ("a ${x};", "say \"hi\" \\o/", Ok("a \"say \\\"hi\\\" \\\\o/\";")),
        ("a ${x};", "# gone", Ok("a \"# gone\";")),
        ("a ${x};", "a}b", Ok("a \"a}b\";")),
        ("a \"${x}\";", "say \"hi\"; it's \\", Ok("a \"say \\\"hi\\\"; it's \\\\\";")),
        ("a '${x}';", "it's \"so\"", Ok("a 'it\\'s \"so\"';")),
        ("a \"b \\\" ${x}\";", "\"", Ok("a \"b \\\" \\\"\";")),
        ("a /dir/${x}/file;", "plain", Ok("a /dir/plain/file;")),
        ("a /dir/${x}/file;", "two words", Err(WITHIN)),
        ("a ${x}/file;", "two words", Err(WITHIN)),
        ("a ${mail.imap.port}${x};", "two words", Err(WITHIN)),
        ("a ${mail.enabled}${x};", "two words", Ok("a \"two words\";")),
        ("# ${x}", "it's; {", Ok("# it's; {")),
        ("a; # it's ${x}", "\"", Ok("a; # it's \"")),
        // A value may name another, as with Zimbra; that one is quoted by its place as well.
        ("a ${x};", "port${mail.imap.port}", Ok("a port143;")),
        ("a ${x};", "port ${mail.imap.port}", Ok("a \"port 143\";")),
        ("a ${x};", "open ${mail", Err("${x}: its value has a \"${\" that is not closed")),
        (
            "a ${x}{mail.imap.port};",
            "$",
            Err("${x}: its value would make a variable with what stands beside it"),
        ),
        (
            "a \"$${x}\";",
            "{b",
            Err("${x}: its value would make a variable with what stands beside it"),
        ),
        ("a ${x};", "b\nevil on;", Err("${x}: its value has a control character, \\u{a}")),
        ("# ${x}", "b\nevil on;", Err("${x}: its value has a control character, \\u{a}")),
        ("a \"${x}\";", "b\0", Err("${x}: its value has a control character, \\u{0}")),
        // A quote that an earlier line has opened.
        ("a \"b\n ${x}\";", "c; d\"", Ok("a \"b\n c; d\\\"\";")),
    ] {
        assert_eq!(
            row(template, raw),
            want.map(str::to_owned).map_err(str::to_owned),
            "{template}"
        );
    }
}

#[test]
fn lists_and_words_are_quoted_one_by_one() {
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let list = |template, words: &[&str]| with(template, Piece::List(of(words)));
    let words = |template, words: &[&str]| with(template, Piece::Words(of(words)));
    assert_eq!(list("a ${x};", &["TLSv1.2", "TLSv1.3"]).unwrap(), "a TLSv1.2 TLSv1.3;");
    assert_eq!(list("a ${x};", &["b;", "", "c d"]).unwrap(), "a \"b;\" \"\" \"c d\";");
    assert_eq!(list("a ${x};", &[]).unwrap(), "a ;");
    assert_eq!(list("a \"${x}\";", &["b\"", "c"]).unwrap(), "a \"b\\\" c\";");
    assert_eq!(
        words("a ${x};", &["ID", "EXPIRE 31 USER"]).unwrap(),
        "a \"ID\" \"EXPIRE 31 USER\";"
    );
    assert_eq!(words("a ${x};", &["b\"; evil {"]).unwrap(), "a \"b\\\"; evil {\";");
    assert_eq!(words("a \"${x}\";", &["b\"", "c"]).unwrap(), "a \"b\\\" c\";");
    for template in ["a b${x};", "a ${x}b;"] {
        assert_eq!(
            list(template, &["b", "c"]).unwrap_err(),
            "${x}: a list cannot stand within a word"
        );
        assert_eq!(
            words(template, &["b", "c"]).unwrap_err(),
            "${x}: a list cannot stand within a word"
        );
    }
    assert!(words("a ${x};", &["a\rb"]).unwrap_err().contains("control character"));
}

#[test]
fn lines_of_configuration_do_not_go_into_quotes() {
    assert!(with("a \"${x}\";", Piece::Code("b \"c\";".to_owned())).is_err());
    assert_eq!(with("a \"${x}\";", Piece::Code("10s".to_owned())).unwrap(), "a \"10s\";");
    assert_eq!(
        with("a ${x};", Piece::Refused("it is so".to_owned())).unwrap_err(),
        "${x}: it is so"
    );
}

#[test]
fn a_secret_is_written_and_not_shown() {
    let secret = Piece::Secret("pa ss".to_owned());
    assert_eq!(format!("{secret:?}"), "\"********\"");
    assert_eq!(with("a ${x};", secret).unwrap(), "a \"pa ss\";");
}

proptest! {
    /// Whatever a text is, the directives beside it are what they were.
    #[test]
    fn a_value_is_never_more_than_one_word(
        raw in "([a-z$;{}\"'\\\\# /]|\\$\\{|\\PC|\\s){0,12}",
        template in prop::sample::select(vec![
            "one ${x} two; three { four; }", "one \"${x}\" two; three { four; }",
            "one '${x}' two; three { four; }", "one a${x} two; three { four; }",
            "one ${x}; three { four; }", "one ${mail.enabled}${x} two; three { four; }",
            "one \"a\n${x}\" two; three { four; }", "# ${x}\none two; three { four; }",
        ]),
    ) {
        if let Ok(text) = with(template, Piece::Text(raw.clone())) {
            let read = tokens(&text);
            let tail: Vec<_> = [";", "three", "{", "four", ";", "}"].iter().map(|token| (*token).to_owned()).collect();
            prop_assert!(read.ends_with(&tail), "{raw:?} made {text:?}");
            prop_assert!(read.len() <= tail.len() + 3, "{raw:?} made {text:?}");
            if template.starts_with("one ${x} two") && !raw.is_empty() && !raw.contains("${") {
                prop_assert_eq!(read[1].trim_start_matches("q:"), raw.as_str());
            }
        }
    }

    #[test]
    fn a_word_of_a_list_is_read_as_it_was_set(raw in "[^\\p{C}]{0,12}") {
        if let Ok(text) = word(&raw) && !raw.contains("${") {
            let read = tokens(&format!("a {text};"));
            prop_assert_eq!(read.len(), 3, "{}", text);
            prop_assert_eq!(read[1].strip_prefix("q:").unwrap_or(&read[1]), raw.as_str());
        }
    }
}
