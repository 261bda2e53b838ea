# What CPython's recursion checks call when their counter is spent or the shadow stack is low: first
# get room, then let CPython look at its counter. It must not have a frame of its own, since it
# leaves its caller on another segment (stack.c).

	.functype	vtwasm_stack_grow () -> (i32)
	.functype	vt_recursion_error (i32, i32) -> (i32)
	.functype	_Py_CheckRecursiveCall (i32, i32) -> (i32)

# int vtwasm_check_recursive_call(PyThreadState *tstate, const char *where)
	.globl	vtwasm_check_recursive_call
	.type	vtwasm_check_recursive_call,@function
vtwasm_check_recursive_call:
	.functype	vtwasm_check_recursive_call (i32, i32) -> (i32)
	call	vtwasm_stack_grow
	if
	local.get	0
	local.get	1
	call	vt_recursion_error
	return
	end_if
	local.get	0
	local.get	1
	call	_Py_CheckRecursiveCall
	end_function
