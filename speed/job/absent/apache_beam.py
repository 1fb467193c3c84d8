"""Stands before the real one on the path of the job's Python, which PyFlink needs in process mode only.

PyFlink tries to import it in any mode, and goes on without: seconds and 100 MB less for each interpreter at each start.
"""

raise ImportError("the job runs in thread mode, which has no use for it")
