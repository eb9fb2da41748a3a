//! The table and its JSON: what was measured, the floor beside it, and whether the target is met.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The target is met.
    Ok,
    /// It is not. A figure, not a fault: the exit code stays.
    Miss,
    /// Something was lost, wrong or done twice.
    Wrong,
    /// Could not be measured here.
    Skipped,
    /// There is no target.
    Info,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What.
    pub name: String,
    /// How much.
    pub measured: Option<f64>,
    /// Of what.
    pub unit: &'static str,
    /// The floor, in the same unit and from the same run.
    pub floor: Option<f64>,
    /// Measured by floor.
    pub ratio: Option<f64>,
    /// In words.
    pub target: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What else there is to say.
    pub note: String,
}

impl Row {
    /// A figure without floor and target.
    pub fn new(name: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            measured: Some(measured),
            unit,
            floor: None,
            ratio: None,
            target: String::new(),
            verdict: Verdict::Info,
            note: String::new(),
        }
    }

    /// Something that could not be measured here.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        let mut row = Self::new(name, 0.0, "");
        row.measured = None;
        row.verdict = Verdict::Skipped;
        row.note = why.into();
        row
    }

    /// A count of what must not be.
    pub fn faults(name: impl Into<String>, faults: u64, of: impl std::fmt::Display) -> Self {
        let mut row = Self::new(name, count(faults), "faults");
        row.target = "0".to_owned();
        row.verdict = if faults == 0 { Verdict::Ok } else { Verdict::Wrong };
        row.note = of.to_string();
        row
    }

    /// Beside a floor.
    pub fn over(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = self.measured.filter(|_| floor > 0.0).map(|measured| measured / floor);
        self
    }

    /// The ratio should be at most this.
    pub fn ratio_at_most(mut self, most: f64) -> Self {
        self.target = format!("≤ {most} ×");
        self.verdict = judge(self.ratio, most);
        self
    }

    /// The figure itself should be at most this.
    pub fn at_most(mut self, most: f64) -> Self {
        self.target = format!("≤ {most} {}", self.unit).trim_end().to_owned();
        self.verdict = judge(self.measured, most);
        self
    }

    /// The figure itself should be at least this.
    pub fn at_least(mut self, least: f64) -> Self {
        self.target = format!("≥ {least} {}", self.unit).trim_end().to_owned();
        // The same judgement from the other side.
        self.verdict = judge(self.measured.map(|measured| -measured), -least);
        self
    }

    /// With a remark.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

fn judge(figure: Option<f64>, most: f64) -> Verdict {
    match figure {
        Some(figure) if figure <= most => Verdict::Ok,
        Some(_) => Verdict::Miss,
        None => Verdict::Skipped,
    }
}

/// A count as a figure.
#[must_use]
pub fn count(number: impl TryInto<u32>) -> f64 {
    number.try_into().map_or(f64::from(u32::MAX), f64::from)
}

/// All lines.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Prints the heading.
    #[must_use]
    pub fn begin() -> Self {
        println!(
            "{:34} {:>12} {:7} {:>10} {:>8}  {:12} verdict",
            "figure", "measured", "", "floor", "ratio", "target"
        );
        Self::default()
    }

    /// Adds a line and prints it: a run takes long, and each figure is shown when it is there.
    pub fn add(&mut self, row: Row) {
        let number = |value: Option<f64>| value.map_or(String::new(), figure);
        let ratio = row.ratio.map_or(String::new(), |ratio| format!("{ratio:.2} ×"));
        let verdict = match row.verdict {
            Verdict::Ok => "ok",
            Verdict::Miss => "MISS",
            Verdict::Wrong => "WRONG",
            Verdict::Skipped => "skipped",
            Verdict::Info => "",
        };
        let line = format!(
            "{:34} {:>12} {:7} {:>10} {:>8}  {:12} {:7} {}",
            row.name,
            number(row.measured),
            row.unit,
            number(row.floor),
            ratio,
            row.target,
            verdict,
            row.note
        );
        println!("{}", line.trim_end());
        self.rows.push(row);
    }

    /// Whether nothing was lost, wrong or done twice.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.rows.iter().all(|row| row.verdict != Verdict::Wrong)
    }

    /// Prints the sum and writes the JSON.
    pub fn end(&self, json: Option<&Path>) -> Result<()> {
        let of = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        println!(
            "\n{} ok, {} missed, {} wrong, {} skipped",
            of(Verdict::Ok),
            of(Verdict::Miss),
            of(Verdict::Wrong),
            of(Verdict::Skipped)
        );
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(self)?;
            std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_above_its_target_is_missed_and_not_wrong() {
        let row = Row::new("x", 3.0, "µs").over(2.0).ratio_at_most(1.4);
        assert_eq!((row.ratio, row.verdict), (Some(1.5), Verdict::Miss));
        assert_eq!(Row::new("x", 3.0, "µs").over(2.0).ratio_at_most(1.5).verdict, Verdict::Ok);
        let report = Report { rows: vec![row] };
        assert!(report.is_right());
    }

    #[test]
    fn a_rate_below_its_target_is_missed() {
        assert_eq!(Row::new("x", 4_999.0, "1/s").at_least(5_000.0).verdict, Verdict::Miss);
        assert_eq!(Row::new("x", 5_000.0, "1/s").at_least(5_000.0).verdict, Verdict::Ok);
    }

    #[test]
    fn a_fault_is_wrong_and_a_floor_of_nothing_is_no_ratio() {
        let report = Report { rows: vec![Row::faults("x", 1, "lost")] };
        assert!(!report.is_right());
        let row = Row::new("x", 3.0, "µs").over(0.0).ratio_at_most(1.0);
        assert_eq!((row.ratio, row.verdict), (None, Verdict::Skipped));
    }
}
