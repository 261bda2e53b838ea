# vtwasm: --memory 64MiB
# native: no (it has no such limit)
# An exception for want of the memory of an int reaches the handlers around it.
statements = "\n  ".join(["number = number"] * 500)  # its instruction is beyond the ints that always exist
exec(f"""
def fill():
  numbers, number, kept = [None] * 100_000, 0, None
  {statements}
  with open("/dev/null"):
    try:
      while True: kept = (kept,)
    except MemoryError: pass
    while True:
      number += 1; numbers[number] = number
""")
try:
    fill()
except MemoryError:
    print("MemoryError")
