//! `kafka-broker prepare` fetches what a local Kafka broker needs; `kafka-broker run ADDRESS` runs one
//! with throw-away data until it is interrupted.

use anyhow::{Context, bail};
use zeron_tests::broker::{self, Broker, Ports};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare"] => {
            broker::prepare()?;
            Ok(())
        }
        ["run", address] => run(address),
        _ => bail!("expected `prepare` or `run ADDRESS`"),
    }
}

fn run(address: &str) -> anyhow::Result<()> {
    let address = address
        .parse()
        .with_context(|| format!("{address:?} is not IP:PORT"))?;
    let broker = Broker::start_on(Ports::with_plaintext(address))?;
    println!(
        "Kafka answers on {}. Ctrl-C ends it; its data goes with it.",
        broker.address()
    );
    // Ctrl-C ends this process; the keeper then ends the broker and removes its folder.
    loop {
        std::thread::park();
    }
}
