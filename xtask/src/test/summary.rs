//! What is said at the end: a table, and the plain line that names how many steps passed.

use std::process::ExitCode;
use std::time::Duration;

/// What a line that belongs into the table begins with.
pub const NOTE: &str = "xtask note: ";

/// The outcome of one step.
pub struct Row {
    /// The step.
    pub name: &'static str,
    /// How it ended.
    pub passed: bool,
    /// How long it took.
    pub took: Duration,
    /// What else there is to say, or nothing.
    pub remark: String,
}

/// Prints the table; the exit code is a failure when a step failed.
#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
pub fn print(rows: &[Row]) -> ExitCode {
    println!();
    for row in rows {
        let result = if row.passed { "ok" } else { "FAILED" };
        let line = format!(
            "{:<12} {result:<7} {:>7.1} s  {}",
            row.name,
            row.took.as_secs_f64(),
            row.remark
        );
        println!("{}", line.trim_end());
    }
    let passed = rows.iter().filter(|row| row.passed).count();
    let failed = rows.len() - passed;
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The last lines of a step's output.
pub fn tail(printed: &str, lines: usize) -> impl Iterator<Item = &str> {
    let skipped = printed.lines().count().saturating_sub(lines);
    printed.lines().skip(skipped)
}

/// How many tests the runners in this output counted, and the notes of the step.
pub fn remark(printed: &str) -> String {
    let tests: u64 = printed.lines().filter_map(tests_in).sum();
    let mut remarks: Vec<String> = Vec::new();
    if tests > 0 {
        remarks.push(format!("{tests} tests"));
    }
    remarks.extend(printed.lines().filter_map(|line| line.strip_prefix(NOTE)).map(short));
    remarks.join("; ")
}

fn short(note: &str) -> String {
    note.chars().take(100).collect()
}

/// The number of passed tests in a closing line of cargo's or Node's runner.
fn tests_in(line: &str) -> Option<u64> {
    let rest = line.trim_start();
    let count = rest
        .strip_prefix("test result: ok. ")
        .or_else(|| rest.strip_prefix("# pass "))
        .or_else(|| rest.strip_prefix("ℹ pass "))?;
    count.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_notes_kept() {
        let printed = "running 2 tests\ntest result: ok. 2 passed; 0 failed\n\
                       test result: FAILED. 9 passed\n# pass 3\nnote: of the compiler\nxtask note: one thing\n";
        assert_eq!(remark(printed), "5 tests; one thing");
        assert_eq!(remark("nothing of note"), "");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc", 2).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(tail("a", 2).collect::<Vec<_>>(), ["a"]);
    }
}
