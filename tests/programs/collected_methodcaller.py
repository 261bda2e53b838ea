# A methodcaller in a reference cycle is collected like anything else.
import gc
import operator

cycle = []
cycle.append(operator.methodcaller("append", cycle, key=cycle))
del cycle
gc.collect()
print("collected", any(isinstance(it, operator.methodcaller) for it in gc.get_objects()))
