//! The keys of all stages: each is a hash over what goes into it and over the stages before it.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    Options, browser, configured, fuzz, helper, libraries, native, node, npm, objects, openssl, patched,
    peers, posix, python, source, stdlib, toolchain, tools,
};
use crate::cache::{Key, KeyBuilder};
use crate::packages::Packages;
use crate::workspace::Workspace;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Tools,
    Toolchain,
    Libraries,
    Openssl,
    Source,
    Helper,
    Patched,
    Configured,
    Objects,
    Stdlib,
    Python,
    Native,
    Posix,
    Peers,
    Node,
    Npm,
    Browser,
    Fuzz,
}

impl Stage {
    pub const ALL: [Self; 18] = [
        Self::Tools,
        Self::Toolchain,
        Self::Libraries,
        Self::Openssl,
        Self::Source,
        Self::Helper,
        Self::Patched,
        Self::Configured,
        Self::Objects,
        Self::Stdlib,
        Self::Python,
        Self::Native,
        Self::Posix,
        Self::Peers,
        Self::Node,
        Self::Npm,
        Self::Browser,
        Self::Fuzz,
    ];

    /// Its name in the cache and on the terminal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Toolchain => "toolchain",
            Self::Libraries => "libraries",
            Self::Openssl => "openssl",
            Self::Source => "source",
            Self::Helper => "helper",
            Self::Patched => "patched",
            Self::Configured => "configured",
            Self::Objects => "objects",
            Self::Stdlib => "stdlib",
            Self::Python => "python",
            Self::Native => "native",
            Self::Posix => "posix",
            Self::Peers => "peers",
            Self::Node => "node",
            Self::Npm => "npm",
            Self::Browser => "browser",
            Self::Fuzz => "fuzz",
        }
    }
}

/// What the keys are computed from.
pub struct Inputs<'a> {
    pub workspace: &'a Workspace,
    pub options: &'a Options,
    pub packages: &'a Packages,
    plan: &'a Plan,
}

impl Inputs<'_> {
    /// Begins the key of a stage. `code` is the text of the stage's own file: flags and steps.
    pub fn key(&self, stage: Stage, code: &str, before: &[Stage]) -> KeyBuilder {
        let mut key = KeyBuilder::new(stage.name()).text("code", code);
        for &stage in before {
            key = key.key(stage.name(), self.plan.key(stage));
        }
        key
    }
}

#[derive(Debug)]
pub struct Plan(BTreeMap<Stage, Key>);

impl Plan {
    pub fn new(workspace: &Workspace, options: &Options, packages: &Packages) -> Result<Self> {
        let mut plan = Self(BTreeMap::new());
        for stage in Stage::ALL {
            let inputs = Inputs {
                workspace,
                options,
                packages,
                plan: &plan,
            };
            let key = match stage {
                Stage::Tools => tools::key(&inputs),
                Stage::Toolchain => toolchain::key(&inputs)?,
                Stage::Libraries => libraries::key(&inputs),
                Stage::Openssl => openssl::key(&inputs)?,
                Stage::Source => source::key(&inputs)?,
                Stage::Helper => helper::key(&inputs),
                Stage::Patched => patched::key(&inputs)?,
                Stage::Configured => configured::key(&inputs)?,
                Stage::Objects => objects::key(&inputs)?,
                Stage::Stdlib => stdlib::key(&inputs)?,
                Stage::Python => python::key(&inputs)?,
                Stage::Native => native::key(&inputs),
                Stage::Posix => posix::key(&inputs)?,
                Stage::Peers => peers::key(&inputs),
                Stage::Node => node::key(&inputs),
                Stage::Npm => npm::key(&inputs)?,
                Stage::Browser => browser::key(&inputs),
                Stage::Fuzz => fuzz::key(&inputs),
            };
            plan.0.insert(stage, key);
        }
        Ok(plan)
    }

    pub fn key(&self, stage: Stage) -> &Key {
        self.0.get(&stage).expect("stages are planned in order")
    }

    /// The stages that may have to run for `target`.
    pub fn stages_for(&self, target: Stage) -> impl Iterator<Item = Stage> + use<> {
        Stage::ALL.into_iter().filter(move |stage| match target {
            Stage::Native => matches!(stage, Stage::Tools | Stage::Source | Stage::Native),
            Stage::Posix => matches!(stage, Stage::Tools | Stage::Toolchain | Stage::Posix),
            Stage::Peers | Stage::Node | Stage::Browser | Stage::Fuzz => *stage == target,
            Stage::Npm => matches!(stage, Stage::Node | Stage::Npm),
            _ => *stage <= Stage::Python,
        })
    }
}
