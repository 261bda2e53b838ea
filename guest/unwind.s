# What C cannot say: leaving a thread from any depth, and a function without a frame.

	.globaltype	__stack_pointer, i32

# pthread_exit throws; nothing else in the module does, and nothing else catches.
	.tagtype	vt_exit_tag
	.functype	vt_thread_body (i32) -> ()
	.functype	vt_stack_move (i32) -> (i32)
	.functype	vt_stack_extend (i32, i32) -> (i32)
	.functype	vt_stack_shrink (i32) -> (i32)

# bool vt_catch_exit(vt_thread *thread)
	.globl	vt_catch_exit
	.type	vt_catch_exit,@function
vt_catch_exit:
	.functype	vt_catch_exit (i32) -> (i32)
	block
	try_table	(catch vt_exit_tag 0)
	local.get	0
	call	vt_thread_body
	i32.const	0
	return
	end_try_table
	end_block
	i32.const	1
	end_function

# _Noreturn void vt_throw_exit(void)
	.globl	vt_throw_exit
	.type	vt_throw_exit,@function
vt_throw_exit:
	.functype	vt_throw_exit () -> ()
	throw	vt_exit_tag
	end_function

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

	.section	.data.vt_exit_tag,"",@
	.globl	vt_exit_tag
vt_exit_tag:
