# The slow path of CPython's recursion check (--wrap=_Py_CheckRecursiveCall): first get room, then
# let CPython look at its own counter.
# int __wrap__Py_CheckRecursiveCall(PyThreadState *tstate, const char *where)
	.functype	vtwasm_stack_grow () -> (i32)
	.functype	vt_recursion_error (i32, i32) -> (i32)
	.functype	__real__Py_CheckRecursiveCall (i32, i32) -> (i32)

	.globl	__wrap__Py_CheckRecursiveCall
	.type	__wrap__Py_CheckRecursiveCall,@function
__wrap__Py_CheckRecursiveCall:
	.functype	__wrap__Py_CheckRecursiveCall (i32, i32) -> (i32)
	call	vtwasm_stack_grow
	if
	local.get	0
	local.get	1
	call	vt_recursion_error
	return
	end_if
	local.get	0
	local.get	1
	call	__real__Py_CheckRecursiveCall
	end_function
