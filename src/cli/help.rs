//! `gatepost help`: the commands by what they are for.

use std::fmt::Write as _;

use clap::CommandFactory;

use super::args::Args;

/// Every command, in groups. A test compares it with the command line.
const GROUPS: &[(&str, &[&str])] = &[
    ("Look", &["status", "who", "top", "report", "show"]),
    ("Users and their routes", &["user", "cache"]),
    ("Servers", &["upstream", "lookup", "maintenance", "doctor"]),
    ("Attackers", &["throttle"]),
    ("Configuration", &["conf"]),
    ("Logs, and a report for others", &["log", "diag"]),
    ("Certificates", &["tls"]),
    ("As zmprov prints them", &["lookups", "backends", "auth-urls", "caches"]),
    ("Help", &["help"]),
];

/// The whole list, or what one command is about.
pub fn text(words: &[String]) -> Result<String, String> {
    let mut command = Args::command();
    command.build();
    if words.is_empty() {
        return Ok(list(&command));
    }
    let mut about = &mut command;
    for word in words {
        about = about
            .find_subcommand_mut(word)
            .ok_or_else(|| format!("there is no command \"{}\"", words.join(" ")))?;
    }
    Ok(about.render_long_help().to_string())
}

fn list(command: &clap::Command) -> String {
    let mut text = "Usage: gatepost [OPTIONS] [COMMAND]\n\n\
                    Without a command gatepost starts, or does what nginx's flags say: -t tests the\n\
                    configuration, -s reload has it read again, -h lists them. Commands ask the gatepost\n\
                    that runs, at the control socket that the configuration (-c, -p) names, or --control.\n\
                    With --json they print its answer as it is.\n"
        .to_owned();
    for (group, names) in GROUPS {
        let _ = writeln!(text, "\n{group}:");
        for name in *names {
            let Some(found) = command.find_subcommand(name) else { continue };
            let about = found.get_about().map(ToString::to_string).unwrap_or_default();
            let parts: Vec<_> = found
                .get_subcommands()
                .map(clap::Command::get_name)
                .filter(|part| *part != "help")
                .collect();
            let parts =
                if parts.is_empty() { String::new() } else { format!(" {}", parts.join("|")) };
            let head = format!("  {name}{parts}");
            let _ = match head.chars().count() {
                0..=17 => writeln!(text, "{head:<18}{about}"),
                _ => writeln!(text, "{head}\n{:18}{about}", ""),
            };
        }
    }
    text.push_str("\n\"gatepost help COMMAND\" explains one.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group() {
        let command = Args::command();
        let mut names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        names.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(names, grouped);
        let text = text(&[]).unwrap();
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(text.contains("\n  upstream list|drain|undrain|remove|lock|unlock\n"), "{text}");
    }

    #[test]
    fn one_command_is_explained() {
        let words = |words: &str| words.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let about = text(&words("cache purge")).unwrap();
        assert!(about.contains("--domain") && about.contains("%1$s is the server"), "{about}");
        assert_eq!(text(&words("dance")).unwrap_err(), "there is no command \"dance\"");
    }
}
