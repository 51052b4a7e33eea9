//! The demo's task: how does a penguin's body mass grow with its flippers, species for species?
//!
//! Reads `/in/penguins/penguins.csv`, fits body mass on flipper length with one intercept per species (least squares), gives the
//! slope a 95 % confidence interval by resampling penguins, tests it by permuting within species, and writes
//! `/out/result.json`. It is deterministic: the same data gives the same bytes. It knows nothing of PoX.

mod fit;

use fit::{Bird, Fit};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Resamples for the confidence interval, and permutations for the test.
const ROUNDS: usize = 10_000;
/// Seed of the resampling; any will do, and the same gives the same.
const SEED: u64 = 20_140_305;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let input = args.next().map_or_else(|| PathBuf::from("/in/penguins/penguins.csv"), PathBuf::from);
    let output = args.next().map_or_else(|| PathBuf::from("/out/result.json"), PathBuf::from);
    match run(&input, &output) {
        Ok(summary) => {
            print!("{summary}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: &std::path::Path, output: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let (birds, species) = parse(&text)?;
    let fit = Fit::of(&birds, species.len()).ok_or("too few complete rows to fit")?;
    let interval = fit::bootstrap(&birds, species.len(), ROUNDS, SEED).ok_or("resampling failed")?;
    let p_value =
        fit::permutation_test(&birds, species.len(), fit.slope, ROUNDS, SEED).ok_or("permuting failed")?;
    std::fs::write(output, json(&birds, &species, &fit, interval, p_value))
        .map_err(|error| format!("{}: {error}", output.display()))?;
    let (low, high) = interval;
    Ok(format!(
        "{} penguins of {} species: {:.2} g per mm of flipper (95 % interval {low:.2} to {high:.2}, p {} {p_value:.4})\n",
        birds.len(),
        species.len(),
        fit.slope,
        if p_value <= 1.0 / ROUNDS as f64 { "<=" } else { "=" },
    ))
}

/// Complete rows, and the species in their order of appearance.
fn parse(text: &str) -> Result<(Vec<Bird>, Vec<String>), String> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| header.iter().position(|cell| *cell == name).ok_or(format!("no column {name}"));
    let (kind, flipper, mass) = (column("species")?, column("flipper_length_mm")?, column("body_mass_g")?);
    let (mut birds, mut species) = (Vec::new(), Vec::<String>::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells.get(at).and_then(|cell| cell.parse::<f64>().ok());
        let (Some(name), Some(flipper), Some(mass)) = (cells.get(kind), number(flipper), number(mass)) else {
            continue;
        };
        let index = species.iter().position(|known| known == name).unwrap_or_else(|| {
            species.push((*name).to_owned());
            species.len() - 1
        });
        birds.push(Bird { species: index, flipper, mass });
    }
    Ok((birds, species))
}

fn json(birds: &[Bird], species: &[String], fit: &Fit, (low, high): (f64, f64), p_value: f64) -> String {
    let mut text = String::from("{\n");
    let _ = writeln!(text, "  \"model\": \"body_mass_g ~ flipper_length_mm + species\",");
    let _ = writeln!(text, "  \"penguins\": {},", birds.len());
    let _ = writeln!(text, "  \"slope_g_per_mm\": {:.6},", fit.slope);
    let _ = writeln!(text, "  \"slope_95_percent\": [{low:.6}, {high:.6}],");
    let _ = writeln!(text, "  \"p_value\": {p_value:.6},");
    let _ = writeln!(text, "  \"r_squared\": {:.6},", fit.r_squared);
    text.push_str("  \"intercept_g\": {");
    for (index, (name, intercept)) in species.iter().zip(&fit.intercepts).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}\"{name}\": {intercept:.6}");
    }
    text.push_str("}\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_data_gives_the_published_relation() {
        let (birds, species) = parse(include_str!("../data/penguins.csv")).unwrap();
        assert_eq!((birds.len(), species.len()), (342, 3));
        let fit = Fit::of(&birds, 3).unwrap();
        // R 4.3: lm(body_mass_g ~ flipper_length_mm + species, palmerpenguins::penguins)
        assert!((fit.slope - 40.705).abs() < 0.001, "{}", fit.slope);
        assert!((fit.r_squared - 0.7826).abs() < 0.0001, "{}", fit.r_squared);
    }
}
