"""Cost, utilisation, success and times, computed from the entries of a journal or of a simulation.

Pure: entries, specs and a window in, a `Report` out, and from it CSV, JSON and HTML texts. Reading the journal, running
a simulation for comparison and printing are the callers' (`cli.report`). Every number is defined in docs/report.md.
"""
