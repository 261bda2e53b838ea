# The budgets of the checks that the recipe puts in (xtask/src/recipe/checks.rs).

	.globaltype	vt_budget_0, i32
	.globl	vt_budget_0
vt_budget_0:
	.globaltype	vt_budget_1, i32
	.globl	vt_budget_1
vt_budget_1:
	.globaltype	vt_budget_2, i32
	.globl	vt_budget_2
vt_budget_2:
	.globaltype	vt_budget_3, i32
	.globl	vt_budget_3
vt_budget_3:

# 1: the host puts a list into this memory. 2: and that has taken longer than it ever should.
	.globaltype	landing, i32
landing:

	.functype	vt_ask_for_budget () -> (i32)
	.functype	vt_landing_place (i32, i32, i32, i32) -> (i32)

# void vt_set_budgets(int checks)
	.globl	vt_set_budgets
	.type	vt_set_budgets,@function
vt_set_budgets:
	.functype	vt_set_budgets (i32) -> ()
	local.get	0
	global.set	vt_budget_0
	local.get	0
	global.set	vt_budget_1
	local.get	0
	global.set	vt_budget_2
	local.get	0
	global.set	vt_budget_3
	end_function

# What a check calls when its budget is spent. In the middle of an import the host cannot be asked.
	.globl	vt_tick
	.type	vt_tick,@function
vt_tick:
	.functype	vt_tick () -> ()
	global.get	landing
	if
	global.get	landing
	i32.const	1
	i32.ne
	if
	unreachable
	end_if
	i32.const	2
	global.set	landing
	i32.const	100000000
	call	vt_set_budgets
	return
	end_if
	call	vt_ask_for_budget
	call	vt_set_budgets
	end_function

# What the host calls for room in this memory (memory.c).
	.globl	cabi_realloc
	.type	cabi_realloc,@function
	.export_name	cabi_realloc, cabi_realloc
cabi_realloc:
	.functype	cabi_realloc (i32, i32, i32, i32) -> (i32)
	.local	i32
	i32.const	1
	global.set	landing
	local.get	0
	local.get	1
	local.get	2
	local.get	3
	call	vt_landing_place
	global.get	landing
	i32.const	2
	i32.eq
	if
	i32.const	0
	call	vt_set_budgets
	end_if
	i32.const	0
	global.set	landing
	end_function
