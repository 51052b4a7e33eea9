//! `pox reference`: the command line's reference, made from its definition.

use crate::cli::Cli;
use crate::error::Failure;
use crate::output::write_out;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use std::fmt::Write as _;

pub(crate) fn run() -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    write_out(markdown(&root).trim_end())
}

fn markdown(root: &Command) -> String {
    let mut page = String::from(HEAD);
    for command in leaves(root) {
        let path = command.get_bin_name().unwrap_or_default();
        section(&mut page, &format!("`{path}`"), command, |argument| !argument.is_global_set());
    }
    page.push_str("\n## Options of every command\n");
    table(&mut page, root.get_arguments().filter(|argument| argument.is_global_set()));
    page.push_str(TAIL);
    page
}

/// Commands that do something, in the order of their definition.
fn leaves(command: &Command) -> Vec<&Command> {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let below = command.get_subcommands().filter(shown).flat_map(leaves);
    // Some do something by themselves, too.
    let itself = (!command.is_subcommand_required_set()).then_some(command);
    itself.into_iter().chain(below).collect()
}

fn section(page: &mut String, title: &str, command: &Command, wanted: impl Fn(&Arg) -> bool) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // Writing to a string never fails.
    let _ = write!(page, "\n## {title}\n\n{about}.\n\n    {}\n", usage(command));
    table(page, command.get_arguments().filter(|argument| wanted(argument)));
}

fn table<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let shown = arguments.filter(|argument| {
        !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
    });
    let rows: Vec<String> = shown.map(row).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| argument | meaning |\n|---|---|\n{}\n", rows.join("\n"));
    }
}

fn row(argument: &Arg) -> String {
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let is_flag = !argument.get_action().takes_values();
    if !choices.is_empty() && !is_flag {
        let _ = write!(meaning, "; one of {}", choices.join(", "));
    }
    let defaults = argument.get_default_values();
    if !defaults.is_empty() && !is_flag {
        let defaults: Vec<String> =
            defaults.iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let _ = write!(meaning, " (default {})", defaults.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(meaning, "; or in `{}`", variable.to_string_lossy());
    }
    format!("| `{}` | {} |", spelled(argument), meaning.replace('|', "\\|"))
}

/// Escaped for a table: even in code, a bar ends a cell.
fn spelled(argument: &Arg) -> String {
    let value = values(argument);
    let text = match (argument.get_short(), argument.get_long()) {
        (_, None) => value,
        (None, Some(long)) => format!("--{long} {value}"),
        (Some(short), Some(long)) => format!("-{short}, --{long} {value}"),
    };
    text.trim_end().replace('|', "\\|")
}

fn values(argument: &Arg) -> String {
    if !argument.get_action().takes_values() {
        return String::new();
    }
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.first().map_or_else(|| argument.get_id().to_string(), ToString::to_string);
    format!("<{name}>")
}

fn usage(command: &Command) -> String {
    let mut line = command.get_bin_name().unwrap_or_default().to_owned();
    let arguments =
        || command.get_arguments().filter(|argument| !argument.is_hide_set() && !argument.is_global_set());
    for argument in arguments().filter(|argument| !argument.is_positional()) {
        if ["help", "version"].contains(&argument.get_id().as_str()) {
            continue;
        }
        let long = argument.get_long().unwrap_or_default();
        let text = format!("--{long} {}", values(argument));
        let repeated = if matches!(argument.get_action(), ArgAction::Append) { "..." } else { "" };
        let _ = match argument.is_required_set() {
            true => write!(line, " {}", text.trim_end()),
            false => write!(line, " [{}]{repeated}", text.trim_end()),
        };
    }
    for argument in arguments().filter(|argument| argument.is_positional()) {
        let value = values(argument);
        let _ = match argument.is_required_set() {
            true => write!(line, " {value}"),
            false => write!(line, " [{}]", value.trim_matches(['<', '>'])),
        };
    }
    line
}

const HEAD: &str = "# The command line

`pox reference` prints this page from the program's own definition; a test compares them.

Results go to standard output, talk to standard error. With `--json` standard output has one JSON document, which is
`{\"failure\": …}` where a command fails. Exit codes: 0 done, 1 verified and falls short of the required grade, 2 not done.
";

const TAIL: &str = "
Secrets are never arguments: keys are files in the home folder that only their user can read.
";
