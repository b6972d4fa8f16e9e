import os

import pytest

from conftest import run_code

# Ctrl-C at each line and return that this process comes to where locks are taken, the first two
# times that it comes there from the same place.
SCRIPT = """
import concurrent.futures.process, multiprocessing.synchronize  # once, not in each attempt
import os, signal, sys
from collections import Counter
from vinreader.processes import in_order

def double(number):
    return 2 * number

def interrupt(at):
    me, seen, times = os.getpid(), 0, Counter()
    def trace(frame, event, _):
        nonlocal seen
        file = frame.f_code.co_filename
        if os.getpid() != me or not file.endswith(("threading.py", "_base.py")):
            return None
        place = file, frame.f_lineno, event, frame.f_back.f_code, frame.f_back.f_lineno
        times[place] += event in ("line", "return")
        if 0 < times[place] <= 2:
            seen += 1
            if seen == at:
                os.kill(me, signal.SIGINT)
        return trace
    sys.settrace(trace)
    try:
        results = list(in_order(double, range(8), 2))
    except KeyboardInterrupt:
        sys.settrace(None)
        return 130
    sys.settrace(None)
    return 0 if results == list(range(0, 16, 2)) and at > seen else 1

signal.signal(signal.SIGINT, signal.default_int_handler)
code, at = 130, 0
while code == 130:
    at += 1
    child = os.fork()
    if not child:
        signal.alarm(LIMIT)
        os._exit(interrupt(at))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(at)
sys.exit(f"interrupted at {at}: exit code {code}" if code else 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts each attempt by a fork")
def test_ctrl_c_at_any_point_of_sharing_the_work_ends_it():
    result = run_code(SCRIPT.replace("LIMIT", "300"))  # seconds: longer is for ever
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert int(result.stdout) > 100
