//! Python's own flags, on the way through.

use clap::{ArgAction, Args};

/// Python's own flags, handed to it as they are. `python3 --help` explains them.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Python's own flags")]
pub struct PythonFlags {
    /// Warn about comparing bytes with str (-bb: fail)
    #[arg(short = 'b', action = ArgAction::Count)]
    pub bytes_warning: u8,
    /// Don't write .pyc files
    #[arg(short = 'B')]
    pub no_bytecode: bool,
    /// Ignore PYTHON* environment variables
    #[arg(short = 'E')]
    pub ignore_environment: bool,
    /// Go on interactively after the program
    #[arg(short = 'i')]
    pub interactive: bool,
    /// Isolate Python from the environment and the script's folder
    #[arg(short = 'I')]
    pub isolated: bool,
    /// Remove assert statements (-OO: docstrings too)
    #[arg(short = 'O', action = ArgAction::Count)]
    pub optimize: u8,
    /// Don't put the script's folder on sys.path
    #[arg(short = 'P')]
    pub safe_path: bool,
    /// Don't print the version at the start of the REPL
    #[arg(short = 'q')]
    pub quiet: bool,
    /// Don't add the user's site folder to sys.path
    #[arg(short = 's')]
    pub no_user_site: bool,
    /// Don't import site
    #[arg(short = 'S')]
    pub no_site: bool,
    /// Write stdout and stderr unbuffered
    #[arg(short = 'u')]
    pub unbuffered: bool,
    /// Trace imports (-vv: more)
    #[arg(short = 'v', action = ArgAction::Count)]
    pub verbose: u8,
    /// Control warnings
    #[arg(short = 'W', value_name = "FILTER")]
    pub warnings: Vec<String>,
    /// Skip the first line of the script
    #[arg(short = 'x')]
    pub skip_first_line: bool,
    /// Set an implementation option, such as -X dev
    #[arg(short = 'X', value_name = "OPTION")]
    pub implementation: Vec<String>,
}

impl PythonFlags {
    /// These flags as Python's command line spells them.
    pub fn to_args(&self) -> Vec<String> {
        let counted = [
            ('b', self.bytes_warning),
            ('B', self.no_bytecode.into()),
            ('E', self.ignore_environment.into()),
            ('i', self.interactive.into()),
            ('I', self.isolated.into()),
            ('O', self.optimize),
            ('P', self.safe_path.into()),
            ('q', self.quiet.into()),
            ('s', self.no_user_site.into()),
            ('S', self.no_site.into()),
            ('u', self.unbuffered.into()),
            ('v', self.verbose),
            ('x', self.skip_first_line.into()),
        ];
        let mut args: Vec<String> = counted
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(flag, count)| format!("-{}", flag.to_string().repeat(count.into())))
            .collect();
        args.extend(
            self.warnings
                .iter()
                .flat_map(|value| ["-W".into(), value.clone()]),
        );
        args.extend(
            self.implementation
                .iter()
                .flat_map(|value| ["-X".into(), value.clone()]),
        );
        args
    }
}
