"""The tests, laid out as the code is."""

import os

# Several test processes share the cores, and threads that spin while they wait for one without a core make all slow.
# Read when torch is loaded, therefore here, before any other module of the tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
