# What C cannot say: a function without a frame, that leaves its caller on another stack (stack.c).

	.globaltype	__stack_pointer, i32

	.functype	vt_stack_move (i32) -> (i32)
	.functype	vt_stack_extend (i32, i32) -> (i32)
	.functype	vt_stack_shrink (i32) -> (i32)

# int vtwasm_stack_grow(void)
	.globl	vtwasm_stack_grow
	.type	vtwasm_stack_grow,@function
vtwasm_stack_grow:
	.functype	vtwasm_stack_grow () -> (i32)
	.local	i32
	global.get	__stack_pointer
	call	vt_stack_move
	local.tee	0
	if
	local.get	0
	global.set	__stack_pointer
	i32.const	0
	return
	end_if
	i32.const	1
	end_function

# void *vtwasm_stack_extend(size_t wanted)
	.globl	vtwasm_stack_extend
	.type	vtwasm_stack_extend,@function
vtwasm_stack_extend:
	.functype	vtwasm_stack_extend (i32) -> (i32)
	.local	i32
	global.get	__stack_pointer
	local.get	0
	call	vt_stack_extend
	local.tee	1
	if
	local.get	1
	i32.const	-16
	i32.and
	global.set	__stack_pointer
	end_if
	local.get	1
	end_function

# void vtwasm_stack_shrink(void *extension)
	.globl	vtwasm_stack_shrink
	.type	vtwasm_stack_shrink,@function
vtwasm_stack_shrink:
	.functype	vtwasm_stack_shrink (i32) -> ()
	local.get	0
	if
	local.get	0
	call	vt_stack_shrink
	global.set	__stack_pointer
	end_if
	end_function
