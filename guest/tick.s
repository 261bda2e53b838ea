# The budget of checks (xtask/src/recipe/checks.rs). No check is put in here.

	.globaltype	vt_budget, i32
	.globl	vt_budget
vt_budget:

	.functype	vt_ask_for_budget () -> (i32)

# What a check calls when the budget is spent.
	.globl	vt_tick
	.type	vt_tick,@function
vt_tick:
	.functype	vt_tick () -> ()
	call	vt_ask_for_budget
	global.set	vt_budget
	end_function

# What a list is allowed that the host puts into this memory. It is more than an allocation ever takes.
	.functype	vt_landing_place (i32, i32, i32, i32) -> (i32)
	.globl	cabi_realloc
	.type	cabi_realloc,@function
	.export_name	cabi_realloc, cabi_realloc
cabi_realloc:
	.functype	cabi_realloc (i32, i32, i32, i32) -> (i32)
	.local	i32
	global.get	vt_budget
	local.set	4
	i32.const	100000000
	global.set	vt_budget
	local.get	0
	local.get	1
	local.get	2
	local.get	3
	call	vt_landing_place
	local.get	4
	global.set	vt_budget
	end_function
