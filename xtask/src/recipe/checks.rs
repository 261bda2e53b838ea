//! The component's core module gets checks, at which the host can look at what runs for long: to let another thread run, to
//! let another sandbox run, to end the run.
//!
//! A check counts a global of the module down and calls `vt_tick` when it is spent (guest/tick.s). There are four
//! such globals, for the functions by turns: a processor does one count after the other, but four side by side.
//! wasmtime's own ways to interrupt check at every loop and every function, which costs more.
//!
//! # Where
//! Nothing may run for long without a check, whatever the guest's memory holds. A run without one
//! - takes no loop: each has a check at its head, or at all the branches that go back to it;
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
    BinaryReaderError, CompositeInnerType, ElementItems, ExternalKind, FunctionBody, Operator, Parser,
    Payload, TypeRef, Validator, WasmFeatures,
};

const BUDGETS: [&str; 4] = ["vt_budget_0", "vt_budget_1", "vt_budget_2", "vt_budget_3"];
const TICK: &str = "vt_tick";
const WASI: &str = "wasi_snapshot_preview1";
/// All ways to branch, to call and to take long that the rules are made for: others, such as tail calls,
/// exceptions and operators on whole tables, are refused.
const KNOWN: WasmFeatures = WasmFeatures::LIME1;
/// Operators that may run without a check, in a function and what it calls.
const LONGEST: u64 = 100_000;
/// A loop with at most so many branches back has its checks there.
const FEW_BRANCHES: usize = 4;
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
    Validator::new_with_features(KNOWN)
        .validate_all(core)
        .context("the core module has something for which no rule says where checks are needed")?;
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
    budgets: [u32; BUDGETS.len()],
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
        let (mut budgets, mut tick) = ([None; BUDGETS.len()], None);
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
                    module.functions = section
                        .clone()
                        .into_iter()
                        .collect::<Result<_, BinaryReaderError>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section.clone() {
                        let export = export?;
                        let budget = BUDGETS.iter().position(|&name| name == export.name);
                        match (export.kind, export.name) {
                            (ExternalKind::Func, TICK) => tick = Some(export.index),
                            (ExternalKind::Global, _) => {
                                if let Some(budget) = budget {
                                    budgets[budget] = Some(export.index);
                                }
                            }
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
        for (place, (budget, name)) in module.budgets.iter_mut().zip(budgets.into_iter().zip(BUDGETS)) {
            *place = budget.with_context(|| format!("the core module exports no global {name}"))?;
        }
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
            let mut made = Body::new(self, core, body, number);
            made.rewrite(body, self.types[self.functions[index] as usize], checked[index])?;
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
                    calls
                        .direct
                        .extend((function_index as usize).checked_sub(imports));
                }
                Operator::CallIndirect { .. } => calls.any = true,
                _ => {}
            }
        }
        Ok(calls)
    }
}

/// Where the checks of loops are: at the branches that go back, so that a loop whose body runs once costs none,
/// or at the head of a loop that has many such branches.
struct Loops {
    heads: HashSet<usize>,
    branches: HashSet<usize>,
}

impl Loops {
    fn of(body: &FunctionBody) -> Result<Self> {
        let mut found = Self {
            heads: HashSet::new(),
            branches: HashSet::new(),
        };
        // What is open: `None` for what is no loop.
        let mut open: Vec<Option<Loop>> = vec![None];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let at = operators.original_position();
            match operators.read()? {
                Operator::Loop { blockty } => open.push(Some(Loop {
                    head: at,
                    branches: Vec::new(),
                    from_many: matches!(blockty, wasmparser::BlockType::FuncType(_)),
                })),
                Operator::Block { .. } | Operator::If { .. } => open.push(None),
                Operator::End => {
                    if let Some(Some(loop_)) = open.pop() {
                        match loop_.from_many || loop_.branches.len() > FEW_BRANCHES {
                            true => _ = found.heads.insert(loop_.head),
                            false => found.branches.extend(loop_.branches),
                        }
                    }
                }
                Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                    if let Some(loop_) = target(&mut open, relative_depth)? {
                        loop_.branches.push(at);
                    }
                }
                Operator::BrTable { targets } => {
                    for depth in targets.targets().chain([Ok(targets.default())]) {
                        if let Some(loop_) = target(&mut open, depth?)? {
                            loop_.from_many = true;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

struct Loop {
    head: usize,
    branches: Vec<usize>,
    /// Branches go back to it that cannot have a check of their own.
    from_many: bool,
}

fn target(open: &mut [Option<Loop>], depth: u32) -> Result<Option<&mut Loop>> {
    let index = open.len().checked_sub(1 + depth as usize);
    Ok(open[index.context("a branch leads out of its function")?].as_mut())
}

/// A function's body with checks in it.
struct Body<'a> {
    module: &'a Module<'a>,
    core: &'a [u8],
    /// How far the core module is copied.
    copied: usize,
    bytes: Vec<u8>,
    hints: Vec<BranchHint>,
    budget: u32,
}

impl<'a> Body<'a> {
    fn new(module: &'a Module<'a>, core: &'a [u8], body: &FunctionBody, number: u32) -> Self {
        Self {
            module,
            budget: module.budgets[number as usize % BUDGETS.len()],
            core,
            copied: body.range().start,
            bytes: Vec::new(),
            hints: Vec::new(),
        }
    }

    fn rewrite(&mut self, body: &FunctionBody, parameters: u32, check_entry: bool) -> Result<()> {
        let length = self.add_local(body, parameters)?;
        let loops = Loops::of(body)?;
        let mut operators = body.get_operators_reader()?;
        if check_entry {
            self.check();
        }
        let mut before = None;
        while !operators.eof() {
            let at = operators.original_position();
            let operator = operators.read()?;
            match operator {
                Operator::Loop { .. } if loops.heads.contains(&at) => {
                    self.copy_to(operators.original_position());
                    self.check();
                }
                Operator::Br { .. } if loops.branches.contains(&at) => {
                    self.copy_to(at);
                    self.check();
                }
                Operator::BrIf { relative_depth } if loops.branches.contains(&at) => {
                    self.copy_to(at);
                    self.put(&[Instruction::If(BlockType::Empty)]);
                    self.check();
                    self.put(&[Instruction::Br(relative_depth + 1), Instruction::End]);
                    self.copied = operators.original_position();
                }
                Operator::Call { function_index } => {
                    if let Some(&charge) = self.module.imports.get(function_index as usize) {
                        self.copy_to(at);
                        self.charge(&[Instruction::I32Const(charge)]);
                    }
                }
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } if !matches!(before, Some(Operator::I32Const { value }) if (0..MANY_BYTES).contains(&value)) =>
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
        let budget = self.budget;
        self.put(&[Instruction::GlobalGet(budget)]);
        self.put(amount);
        self.put(&[Instruction::I32Sub, Instruction::GlobalSet(budget)]);
    }

    fn check(&mut self) {
        self.charge(&[Instruction::I32Const(1)]);
        self.put(&[
            Instruction::GlobalGet(self.budget),
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind, ExportSection, Function,
        FunctionSection, GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, RefType,
        TableSection, TableType, TypeSection, ValType,
    };

    /// Of [`module`]: the import, `vt_tick`, and the first of a test's own functions.
    const HOST: u32 = 0;
    const TICKS: u32 = 1;
    const FIRST: u32 = 2;

    /// A module of functions (i32) -> () with these bodies, some of them in its table.
    fn module(bodies: &[Vec<Instruction<'static>>], in_table: &[u32]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], []);
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("host", "call", EntityType::Function(1));
        let mut functions = FunctionSection::new();
        functions.function(1);
        bodies.iter().for_each(|_| _ = functions.function(0));
        let mut tables = TableSection::new();
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: 10,
            maximum: None,
            shared: false,
        });
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut globals = GlobalSection::new();
        let mut exports = ExportSection::new();
        for (index, name) in (0..).zip(BUDGETS) {
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            };
            globals.global(ty, &ConstExpr::i32_const(0));
            exports.export(name, ExportKind::Global, index);
        }
        exports.export(TICK, ExportKind::Func, TICKS);
        let mut elements = ElementSection::new();
        elements.active(
            None,
            &ConstExpr::i32_const(0),
            Elements::Functions(in_table.into()),
        );
        let mut code = CodeSection::new();
        for body in [&vec![Instruction::Call(HOST)]].into_iter().chain(bodies) {
            let mut function = Function::new([]);
            body.iter()
                .chain([&Instruction::End])
                .for_each(|i| _ = function.instruction(i));
            code.function(&function);
        }
        let mut module = wasm_encoder::Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&tables);
        module.section(&memories).section(&globals).section(&exports);
        module.section(&elements).section(&code);
        module.finish()
    }

    /// The rewritten functions of the test's own, their operators as text.
    fn checked(bodies: &[Vec<Instruction<'static>>], in_table: &[u32]) -> Vec<Vec<String>> {
        let made = insert(&module(bodies, in_table)).unwrap();
        wasmparser::validate(&made).unwrap();
        let module = Module::read(&made).unwrap();
        let operators = |body: &FunctionBody| {
            let operators = body.get_operators_reader().unwrap();
            let text = operators
                .into_iter()
                .map(|operator| format!("{:?}", operator.unwrap()));
            text.collect()
        };
        module.bodies[1..].iter().map(operators).collect()
    }

    fn begins_with_a_check(body: &[String]) -> bool {
        body.get(6).is_some_and(|operator| operator == "I32LtS")
    }

    /// Structured control flow at random, with which the operand stack stays empty.
    fn random_flow(random: &mut impl FnMut(u32) -> u32, depth: u32, flow: &mut Vec<Instruction<'static>>) {
        for _ in 0..random(4) {
            let label = random(depth + 1);
            match random(8) {
                0 | 1 if depth < 6 => {
                    flow.push(Instruction::Loop(BlockType::Empty));
                    random_flow(random, depth + 1, flow);
                    flow.push(Instruction::End);
                }
                2 if depth < 6 => {
                    flow.push(Instruction::Block(BlockType::Empty));
                    random_flow(random, depth + 1, flow);
                    flow.push(Instruction::End);
                }
                3 if depth < 6 => {
                    flow.extend([Instruction::LocalGet(0), Instruction::If(BlockType::Empty)]);
                    random_flow(random, depth + 1, flow);
                    flow.push(Instruction::Else);
                    random_flow(random, depth + 1, flow);
                    flow.push(Instruction::End);
                }
                4 => flow.push(Instruction::Br(label)),
                5 => {
                    let targets = vec![random(depth + 1), random(depth + 1)];
                    flow.extend([
                        Instruction::LocalGet(0),
                        Instruction::BrTable(targets.into(), label),
                    ]);
                }
                _ => flow.extend([Instruction::LocalGet(0), Instruction::BrIf(label)]),
            }
        }
    }

    /// Takes a way at random through a body; panics if it comes to a loop again without a check between.
    fn walk(body: &[String], random: &mut impl FnMut(u32) -> u32) {
        let numbers = |text: &str| -> Vec<usize> {
            let digits = text
                .split(|c: char| !c.is_ascii_digit())
                .filter(|part| !part.is_empty());
            digits.map(|part| part.parse().unwrap()).collect()
        };
        let opens = |text: &str| ["Loop", "Block", "If"].iter().any(|name| text.starts_with(name));
        let end_of = |open: usize, stop_at_else: bool| {
            let mut depth = 0;
            (open + 1..body.len()).find(|&at| {
                depth += usize::from(opens(&body[at]));
                let is_end = body[at] == "End" || stop_at_else && body[at] == "Else";
                let found = is_end && depth == 0;
                depth -= usize::from(body[at] == "End" && !found);
                found
            })
        };
        let mut checks = 0;
        let mut seen = std::collections::HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        let mut at = 0;
        for _ in 0..2000 {
            let Some(text) = body.get(at) else { return };
            let mut branch = None;
            match text.as_str() {
                "I32LtS" => checks += 1,
                "End" => _ = open.pop(),
                // The end of what was taken.
                "Else" => at = end_of(open.pop().unwrap(), false).unwrap(),
                _ if text.starts_with("If") => {
                    open.push(at);
                    if random(2) == 0 {
                        at = end_of(at, true).unwrap();
                        if body[at] == "End" {
                            open.pop();
                        }
                    }
                }
                _ if opens(text) => open.push(at),
                _ if text.starts_with("BrTable") => {
                    let inside = &text[text.find("default").unwrap()..];
                    let labels = numbers(inside);
                    branch = Some(labels[random(labels.len() as u32) as usize]);
                }
                _ if text.starts_with("BrIf") && random(2) == 0 => {}
                _ if text.starts_with("Br") => branch = Some(numbers(text)[0]),
                _ => {}
            }
            if let Some(label) = branch {
                let Some(index) = open.len().checked_sub(1 + label) else {
                    return;
                };
                at = open[index];
                if body[at].starts_with("Loop") {
                    open.truncate(index + 1);
                    let before = seen.insert(at, checks);
                    assert!(before.is_none_or(|before| before < checks), "{body:#?}");
                } else {
                    open.truncate(index);
                    at = end_of(at, false).unwrap();
                }
            }
            at += 1;
        }
    }

    #[test]
    fn no_way_through_a_function_comes_to_a_loop_again_without_a_check() {
        let seed = std::env::var("SEED").map_or(7, |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        let mut state: u64 = seed;
        let mut random = |below: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) as u32) % below
        };
        let mut looped = 0;
        for _ in 0..500 {
            let mut flow = Vec::new();
            random_flow(&mut random, 0, &mut flow);
            let bodies = checked(&[flow], &[]);
            looped += usize::from(bodies[0].iter().any(|operator| operator.starts_with("Loop")));
            for _ in 0..20 {
                walk(&bodies[0], &mut random);
            }
        }
        assert!(looped > 100, "only {looped} functions have a loop");
    }

    #[test]
    fn a_loop_that_runs_once_passes_no_check() {
        let flow = vec![
            Instruction::Loop(BlockType::Empty),
            Instruction::LocalGet(0),
            Instruction::BrIf(0),
            Instruction::End,
        ];
        let body = &checked(&[flow], &[])[0];
        assert_eq!(body[1], "LocalGet { local_index: 0 }");
        assert!(body[2].starts_with("If"), "{body:?}");
    }

    #[test]
    fn what_is_called_through_the_table_and_calls_others_begins_with_a_check() {
        let calls = vec![Instruction::LocalGet(0), Instruction::Call(FIRST + 2)];
        let through_table = vec![
            Instruction::LocalGet(0),
            Instruction::I32Const(0),
            Instruction::CallIndirect {
                type_index: 0,
                table_index: 0,
            },
        ];
        let bodies = checked(
            &[calls.clone(), calls, vec![], through_table],
            &[FIRST, FIRST + 2, FIRST + 3],
        );
        let found: Vec<bool> = bodies.iter().map(|body| begins_with_a_check(body)).collect();
        assert_eq!(found, [true, false, false, true]);
    }

    #[test]
    fn each_circle_of_direct_calls_has_a_check() {
        let call = |function| vec![Instruction::LocalGet(0), Instruction::Call(FIRST + function)];
        // 0 calls itself; 1, 2 and 3 each other; 4 only begins that.
        let bodies = checked(&[call(0), call(2), call(3), call(1), call(1)], &[]);
        let found: Vec<bool> = bodies.iter().map(|body| begins_with_a_check(body)).collect();
        assert!(found[0] && !found[4], "{found:?}");
        assert_eq!(found[1..4].iter().filter(|&&found| found).count(), 1, "{found:?}");
    }

    #[test]
    fn calls_that_double_at_each_level_have_checks_between() {
        let twice = |function: u32| {
            let call = [Instruction::LocalGet(0), Instruction::Call(FIRST + function)];
            [call.clone(), call].concat()
        };
        let bodies: Vec<_> = (1..=40).map(twice).chain([vec![Instruction::Nop]]).collect();
        let bodies = checked(&bodies, &[]);
        assert!(bodies.iter().filter(|body| begins_with_a_check(body)).count() >= 2);
    }

    #[test]
    fn the_budget_pays_for_calls_of_the_host_and_for_many_bytes() {
        let fill = |length| {
            vec![
                Instruction::I32Const(0),
                Instruction::I32Const(0),
                length,
                Instruction::MemoryFill(0),
            ]
        };
        let host = vec![Instruction::Call(HOST)];
        let bodies = checked(
            &[
                host,
                fill(Instruction::LocalGet(0)),
                fill(Instruction::I32Const(8)),
            ],
            &[],
        );
        let charged: Vec<bool> = bodies
            .iter()
            .map(|body| body.iter().any(|operator| operator.starts_with("GlobalSet")))
            .collect();
        assert_eq!(charged, [true, true, false]);
    }
}
