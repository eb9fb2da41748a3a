//! A relay on loopback for tests in other languages: prints `{"url":"ws://…"}` as one line and runs
//! until its standard input is closed, so that it never outlives the test that started it.

use std::error::Error;
use std::io::Write as _;

use portal_testkit::EphemeralRelay;
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let relay = EphemeralRelay::start().await?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::json!({ "url": relay.url() }))?;
    output.flush()?;
    let mut input = tokio::io::stdin();
    let mut ignored = [0_u8; 256];
    while input.read(&mut ignored).await? > 0 {}
    relay.stop().await;
    Ok(())
}
