# exit: 1
# args: one --two
# What main does not catch gives exit code 1; the arguments arrive.
import sys
import threading

print(sys.argv[1:])
t = threading.Thread(target=print, args=("the thread still ends",))
t.start()
raise SystemExit("a message on stderr")
