//! Runs Mainstay and its peers in turn (A B C A B C …) under the same load and compares their CPU per request.
//!
//! Called by `make bench`. What counts is the CPU time that the whole program under test (all threads, all
//! child processes) used in the measured window, divided by the work done in it. Requests per second on a
//! small machine say more about the load generator; they are printed beside it.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line tool: its output is its purpose.

mod arguments;
mod cases;
mod client;
mod configs;
mod measure;
mod origin;
mod process;
mod program;
mod report;
mod sink;
mod wrk;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

/// Errors here end the run and are read by a person, so a sentence is enough.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Origin { http, bulk }) => origin::run(&http, bulk),
        None => bench(&arguments),
    };
    outcome.map_or_else(
        |error| {
            eprintln!("benchmarks: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn bench(arguments: &Arguments) -> Result<()> {
    let programs = arguments.programs()?;
    let cases = arguments.cases()?;
    process::raise_file_limit()?;
    process::pin_self(process::LOAD_CORE)?;
    let bench = measure::Bench::start(arguments.seconds)?;
    let mut results = Vec::new();
    let mut failures = Vec::new();
    for case in cases {
        eprintln!("== {}: {}", case.name, case.about);
        let result = bench.case(case, &programs, arguments.rounds, &mut failures);
        println!("{}", report::case_table(&result));
        results.push(result);
    }
    let report = report::Report::new(&programs, arguments, results, failures);
    report.write(&arguments.out)?;
    report.verdict()
}
