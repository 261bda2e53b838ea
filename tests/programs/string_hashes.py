# Strings hash by a keyed function that makes floods of a dictionary hard, as natively.
import sys

print(sys.hash_info.algorithm)
text = "vtwasm" * 10
print(all(hash(text[n:]) == hash(text[n:].encode()) for n in range(len(text))))
