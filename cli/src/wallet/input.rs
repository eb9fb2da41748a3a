//! What the person types: lines of the standard input, without holding up anything else.

use tokio::sync::mpsc;

use crate::error::CliError;

/// Longer than any login URL or answer.
const LONGEST_LINE: usize = 8192;

/// The lines of the standard input. The thread that reads them ends with the process: nothing can
/// wake it before the next line.
///
/// # Errors
/// When the system has no thread for it.
pub fn lines() -> Result<mpsc::Receiver<String>, CliError> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::Builder::new()
        .name("portal-stdin".to_owned())
        .spawn(move || {
            let mut line = String::new();
            while let Ok(1..) = std::io::stdin().read_line(&mut line) {
                if line.len() <= LONGEST_LINE && sender.blocking_send(line.clone()).is_err() {
                    break;
                }
                line.clear();
            }
        })
        .map_err(|source| CliError::Io { what: "the standard input cannot be read", source })?;
    Ok(receiver)
}

/// The next line; waits for ever once there are no more.
///
/// # Cancel safety
/// Safe to drop: no line is lost.
pub async fn next_line(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
