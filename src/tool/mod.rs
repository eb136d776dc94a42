//! The command line: what an operator types, and what they read. Refuses to do anything that the server or
//! a stopped server's store does not do itself.

mod cli;
mod directory;
mod print;
mod stopped;
mod user;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

pub use cli::Serve;
use cli::{Cli, Commands, ConfigCommand};

use crate::config::ConfigError;
use crate::server::admin::{AskError, ask};
use crate::server::check::{Level, check};
use crate::server::command::Command;
use crate::server::settings::{FEATURE_NAMES, read_config};

/// Reads the command line and does what it says. `serve` runs the server until it is told to stop.
pub fn run(serve: fn(&Serve) -> ExitCode) -> ExitCode {
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    let outcome = match cli.command {
        Commands::Serve { test_clock } => {
            return serve(&Serve {
                config: cli.config,
                data: cli.data,
                test_clock,
            });
        }
        Commands::Backup { directory } => backup(config, &cli.data, &directory),
        Commands::Check => return run_check(config, &cli.data),
        Commands::Config {
            command: ConfigCommand::Effective,
        } => effective(config),
        Commands::Config {
            command: ConfigCommand::Reference,
        } => Ok(vec![
            crate::config::reference(FEATURE_NAMES)
                .trim_end()
                .to_owned(),
        ]),
        Commands::Directory { command } => return directory::run(config, command),
        Commands::Reload => on_running(&cli.data, &Command::Reload),
        Commands::Status => on_running(&cli.data, &Command::Status),
        Commands::User { command } => user::run(config, &cli.data, command),
    };
    match outcome {
        Ok(lines) => print::lines(&lines, ExitCode::SUCCESS),
        Err(message) => {
            eprintln!("stonechat: {message}");
            ExitCode::FAILURE
        }
    }
}

/// All errors of a configuration in one message.
fn joined(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    format!("the configuration is not valid\n{}", lines.join("\n"))
}

fn effective(config: Option<&Path>) -> Result<Vec<String>, String> {
    let config = read_config(config).map_err(|errors| joined(&errors))?;
    Ok(vec![config.effective().trim_end().to_owned()])
}

fn run_check(config: Option<&Path>, data: &Path) -> ExitCode {
    let findings = check(config, data);
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    print::lines(
        &lines,
        if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        },
    )
}

fn backup(config: Option<&Path>, data: &Path, directory: &Path) -> Result<Vec<String>, String> {
    // The server may have another working directory.
    let directory = std::path::absolute(directory).map_err(|error| error.to_string())?;
    match ask(
        data,
        &Command::Backup {
            directory: directory.clone(),
        },
    ) {
        Ok(answer) => answer,
        Err(AskError::NotRunning) => stopped::backup(config, data, &directory),
        Err(AskError::Failed(error)) => Err(error),
    }
}

fn on_running(data: &Path, command: &Command) -> Result<Vec<String>, String> {
    match ask(data, command) {
        Ok(answer) => answer,
        Err(AskError::NotRunning) => Err(format!("no server is running on {}", data.display())),
        Err(AskError::Failed(error)) => Err(error),
    }
}
