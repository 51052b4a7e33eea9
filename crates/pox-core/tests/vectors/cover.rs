//! The README's table: each section of the spec with a MUST has a row, and each row names what exists.

use std::fs;
use std::path::Path;

pub(crate) fn check(spec: &str, readme: &str, vectors: &Path) {
    let rows: Vec<Vec<&str>> = readme
        .lines()
        .filter(|line| line.starts_with("| §"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for section in sections_with_must(spec) {
        let row = rows.iter().any(|row| row[0] == format!("§{section}"));
        assert!(row, "§{section} has a MUST and no row in spec/vectors/README.md");
    }
    for row in &rows {
        let names: Vec<_> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{} names nothing", row[0]);
        for name in names {
            check_name(name, vectors);
        }
    }
    // The table of attacks.
    let attacks = readme.split("## Attacks on evidence").nth(1).expect("the README has a table of attacks");
    for name in attacks.split('`').skip(1).step_by(2) {
        check_name(name, vectors);
    }
}

/// `folder/` and `folder/file.json` are vectors; `path::to_test` is a test in a file of the repository.
fn check_name(name: &str, vectors: &Path) {
    let Some((file, test)) = name.split_once("::") else {
        assert!(vectors.join(name).exists(), "the README names {name}, which is not there");
        return;
    };
    let source = fs::read_to_string(vectors.join("../..").join(file));
    let source = source.unwrap_or_else(|error| panic!("the README names {file}: {error}"));
    let (rust, solidity) = (format!("fn {test}("), format!("function {test}("));
    assert!(source.contains(&rust) || source.contains(&solidity), "{file} has no test {test}");
}

fn sections_with_must(spec: &str) -> Vec<String> {
    let mut section = String::from("0");
    let mut found = Vec::new();
    for line in spec.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let number = heading.trim_start_matches('#').trim().split(' ').next().unwrap_or_default();
            if number.starts_with(|c: char| c.is_ascii_digit()) {
                section = number.trim_end_matches('.').to_owned();
            }
        } else if line.contains("MUST") && section != "0" && !found.contains(&section) {
            found.push(section.clone());
        }
    }
    found
}
