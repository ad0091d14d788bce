//! The HTTP function as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeron_example_function::function_main(std::env::args_os().skip(1))
}
