//! The core module gets checks, at which the host can look at what runs for long: to let another thread run, to
//! let another sandbox run, to end the run.
//!
//! A check counts the module's global `vt_budget` down and calls `vt_tick` when it is spent (guest/tick.s).
//! wasmtime's own ways to interrupt check at every loop and every function, which costs more; and a page's
//! JavaScript engine has none.
//!
//! # Where
//! Nothing may run for long without a check, whatever the guest's memory holds. A run without one
//! - takes no loop: each has a check at its head;
//! - calls no function through the table that calls others: each has one at its entry;
//! - so it calls functions directly, and these calls never come round again: where they would, the function that
//!   closes the circle has a check, too, and so has what would be longer than [`LONGEST`] with all that it calls.
//!
//! What is left is straight code, times the depth of the stack. An instruction that copies or fills memory and a
//! call of the host are no longer than that, but may take longer: the budget is charged for these.

use std::collections::HashSet;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use wasm_encoder::{BlockType, BranchHint, BranchHints, Encode, Instruction, Section};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ElementItems, ExternalKind, FunctionBody, Operator, Parser, Payload,
    TypeRef,
};

const BUDGET: &str = "vt_budget";
const TICK: &str = "vt_tick";
const WASI: &str = "wasi_snapshot_preview1";
/// Operators that may run without a check, in a function and what it calls.
const LONGEST: u64 = 100_000;
/// A check stands for some nanoseconds. What a call of the host costs in checks,
const HOST_CALL: i32 = 256;
/// and one that goes to WASI, which means files;
const WASI_CALL: i32 = 4096;
/// so many bytes (the logarithm) are copied or filled in a check's time,
const BYTES_LOG: i32 = 7;
/// and a known number is charged for from here on.
const MANY_BYTES: i32 = 1024;

/// Puts checks into the core module `core`.
pub fn insert(core: &[u8]) -> Result<Vec<u8>> {
    let module = Module::read(core)?;
    let checked = module.checked_entries();
    let mut made = core.get(..8).context("no module")?.to_vec();
    for (id, range) in &module.sections {
        if *id == CODE {
            let (code, hints) = module.code(core, &checked)?;
            hints.append_to(&mut made);
            made.push(CODE);
            code.encode(&mut made);
        } else {
            made.push(*id);
            core[range.clone()].encode(&mut made);
        }
    }
    Ok(made)
}

const CODE: u8 = 10;

/// What is known of the module before its code is written.
#[derive(Default)]
struct Module<'a> {
    sections: Vec<(u8, Range<usize>)>,
    /// Parameters of each type.
    types: Vec<u32>,
    /// What a call of each import is charged.
    imports: Vec<i32>,
    /// The type of each function of the module's own.
    functions: Vec<u32>,
    /// Those that can be called through a pointer.
    in_table: HashSet<u32>,
    budget: u32,
    tick: u32,
    bodies: Vec<FunctionBody<'a>>,
    /// Of each body.
    calls: Vec<Calls>,
}

struct Calls {
    operators: u64,
    /// Also through the table.
    any: bool,
    /// Of the module's own functions, by their bodies.
    direct: Vec<usize>,
}

impl<'a> Module<'a> {
    fn read(core: &'a [u8]) -> Result<Self> {
        let mut module = Self::default();
        let (mut budget, mut tick) = (None, None);
        for payload in Parser::new(0).parse_all(core) {
            let payload = payload?;
            match &payload {
                Payload::TypeSection(section) => {
                    for group in section.clone() {
                        for ty in group?.types() {
                            let CompositeInnerType::Func(function) = &ty.composite_type.inner else {
                                bail!("the core module has a type that is no function");
                            };
                            module.types.push(function.params().len().try_into()?);
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.clone().into_imports() {
                        let import = import?;
                        ensure!(
                            matches!(import.ty, TypeRef::Func(_)),
                            "the core module imports {}, which is no function",
                            import.name
                        );
                        let is_wasi = import.module == WASI;
                        module.imports.push(if is_wasi { WASI_CALL } else { HOST_CALL });
                    }
                }
                Payload::FunctionSection(section) => {
                    module.functions = section.clone().into_iter().collect::<Result<_, BinaryReaderError>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section.clone() {
                        let export = export?;
                        match (export.kind, export.name) {
                            (ExternalKind::Global, BUDGET) => budget = Some(export.index),
                            (ExternalKind::Func, TICK) => tick = Some(export.index),
                            _ => {}
                        }
                    }
                }
                Payload::ElementSection(section) => {
                    for element in section.clone() {
                        let ElementItems::Functions(functions) = element?.items else {
                            bail!("the core module has a table of something else than functions");
                        };
                        for function in functions {
                            module.in_table.insert(function?);
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    module.calls.push(Calls::of(body, module.imports.len())?);
                    module.bodies.push(body.clone());
                    continue;
                }
                _ => {}
            }
            module.sections.extend(payload.as_section());
        }
        module.budget = budget.with_context(|| format!("the core module exports no global {BUDGET}"))?;
        module.tick = tick.with_context(|| format!("the core module exports no function {TICK}"))?;
        Ok(module)
    }

    /// The bodies that begin with a check.
    fn checked_entries(&self) -> Vec<bool> {
        let number = |body: usize| (self.imports.len() + body) as u32;
        let mut checked: Vec<bool> = (0..self.bodies.len())
            .map(|body| self.calls[body].any && self.in_table.contains(&number(body)))
            .collect();
        // Depth first, over calls of what has no check yet. A call of what is still open closes a circle.
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let mut seen = vec![Seen::Not; self.bodies.len()];
        let mut length = vec![0_u64; self.bodies.len()];
        for root in 0..self.bodies.len() {
            let mut path = vec![(root, 0)];
            while let Some(&mut (body, ref mut next)) = path.last_mut() {
                if *next == 0 && seen[body] != Seen::Not {
                    path.pop();
                    continue;
                }
                seen[body] = Seen::Open;
                let call = self.calls[body].direct.get(*next).copied();
                *next += 1;
                match call {
                    Some(callee) if checked[callee] => {}
                    Some(callee) => match seen[callee] {
                        Seen::Not => path.push((callee, 0)),
                        Seen::Open => checked[callee] = true,
                        Seen::Done => {}
                    },
                    None => {
                        let all = self.calls[body].direct.iter().map(|&callee| length[callee]);
                        length[body] = all.fold(self.calls[body].operators, u64::saturating_add);
                        checked[body] |= length[body] > LONGEST;
                        if checked[body] {
                            length[body] = 0;
                        }
                        seen[body] = Seen::Done;
                        path.pop();
                    }
                }
            }
        }
        checked
    }

    fn code(&self, core: &[u8], checked: &[bool]) -> Result<(Vec<u8>, BranchHints)> {
        let mut code = Vec::new();
        let mut hints = BranchHints::new();
        self.bodies.len().encode(&mut code);
        for (index, body) in self.bodies.iter().enumerate() {
            let number = (self.imports.len() + index) as u32;
            let mut made = Body::new(self, core, body);
            if number == self.tick {
                made.copy_to(body.range().end);
            } else {
                made.rewrite(body, self.types[self.functions[index] as usize], checked[index])?;
            }
            if !made.hints.is_empty() {
                hints.function_hints(number, made.hints);
            }
            made.bytes.encode(&mut code);
        }
        Ok((code, hints))
    }
}

impl Calls {
    fn of(body: &FunctionBody, imports: usize) -> Result<Self> {
        let mut calls = Self {
            operators: 0,
            any: false,
            direct: Vec::new(),
        };
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            calls.operators += 1;
            match operators.read()? {
                Operator::Call { function_index } => {
                    calls.any = true;
                    calls.direct.extend((function_index as usize).checked_sub(imports));
                }
                Operator::CallIndirect { .. } => calls.any = true,
                Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. }
                | Operator::CallRef { .. } => {
                    bail!("the core module has calls of a kind for which no rule says where checks are needed");
                }
                _ => {}
            }
        }
        calls.direct.sort_unstable();
        calls.direct.dedup();
        Ok(calls)
    }
}

/// Where the loops begin that have a check. One that begins with another loop, come what may, has that one's.
fn loops_to_check(body: &FunctionBody) -> Result<HashSet<usize>> {
    let mut loops = HashSet::new();
    let mut outer = None;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let at = operators.original_position();
        match operators.read()? {
            Operator::Loop { .. } => {
                loops.insert(at);
                if let Some(outer) = outer.replace(at) {
                    loops.remove(&outer);
                }
            }
            Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable => outer = None,
            // It cannot leave the straight way to the next loop.
            _ => {}
        }
    }
    Ok(loops)
}

/// A function's body with checks in it.
struct Body<'a> {
    module: &'a Module<'a>,
    core: &'a [u8],
    /// How far the core module is copied.
    copied: usize,
    bytes: Vec<u8>,
    hints: Vec<BranchHint>,
}

impl<'a> Body<'a> {
    fn new(module: &'a Module<'a>, core: &'a [u8], body: &FunctionBody) -> Self {
        Self {
            module,
            core,
            copied: body.range().start,
            bytes: Vec::new(),
            hints: Vec::new(),
        }
    }

    fn rewrite(&mut self, body: &FunctionBody, parameters: u32, check_entry: bool) -> Result<()> {
        let length = self.add_local(body, parameters)?;
        let loops = loops_to_check(body)?;
        let mut operators = body.get_operators_reader()?;
        if check_entry {
            self.check();
        }
        let mut before = None;
        while !operators.eof() {
            let at = operators.original_position();
            let operator = operators.read()?;
            match operator {
                Operator::Loop { .. } if loops.contains(&at) => {
                    self.copy_to(operators.original_position());
                    self.check();
                }
                Operator::Call { function_index } => {
                    if let Some(&charge) = self.module.imports.get(function_index as usize) {
                        self.copy_to(at);
                        self.charge(&[Instruction::I32Const(charge)]);
                    }
                }
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. }
                    if !matches!(before, Some(Operator::I32Const { value }) if (0..MANY_BYTES).contains(&value)) =>
                {
                    self.copy_to(at);
                    self.put(&[Instruction::LocalTee(length)]);
                    self.charge(&[
                        Instruction::LocalGet(length),
                        Instruction::I32Const(BYTES_LOG),
                        Instruction::I32ShrU,
                    ]);
                }
                _ => {}
            }
            before = Some(operator);
        }
        self.copy_to(body.range().end);
        Ok(())
    }

    /// One local more, for a length; its number.
    fn add_local(&mut self, body: &FunctionBody, parameters: u32) -> Result<u32> {
        let mut locals = body.get_locals_reader()?;
        let groups = locals.get_count();
        let first = locals.original_position();
        let mut number = parameters;
        for _ in 0..groups {
            number += locals.read()?.0;
        }
        (groups + 1).encode(&mut self.bytes);
        self.copied = first;
        self.copy_to(locals.original_position());
        1_u32.encode(&mut self.bytes);
        wasm_encoder::ValType::I32.encode(&mut self.bytes);
        Ok(number)
    }

    fn copy_to(&mut self, end: usize) {
        self.bytes.extend(&self.core[self.copied..end]);
        self.copied = end;
    }

    fn put(&mut self, instructions: &[Instruction]) {
        for instruction in instructions {
            instruction.encode(&mut self.bytes);
        }
    }

    fn charge(&mut self, amount: &[Instruction]) {
        let budget = self.module.budget;
        self.put(&[Instruction::GlobalGet(budget)]);
        self.put(amount);
        self.put(&[Instruction::I32Sub, Instruction::GlobalSet(budget)]);
    }

    fn check(&mut self) {
        self.charge(&[Instruction::I32Const(1)]);
        self.put(&[
            Instruction::GlobalGet(self.module.budget),
            Instruction::I32Const(0),
            Instruction::I32LtS,
        ]);
        self.hints.push(BranchHint {
            branch_func_offset: self.bytes.len() as u32,
            branch_hint_value: 0,
        });
        self.put(&[
            Instruction::If(BlockType::Empty),
            Instruction::Call(self.module.tick),
            Instruction::End,
        ]);
    }
}
