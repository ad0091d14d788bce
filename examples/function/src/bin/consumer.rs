//! The Kafka consumer as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeron_example_function::consumer_main(std::env::args_os().skip(1))
}
