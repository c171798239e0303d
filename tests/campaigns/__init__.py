"""Long runs that look for what a test of a second cannot find; each has a short form in the tests.

    python -m tests.campaigns NAME [--count N | --minutes M] [--seed S]

A campaign is a function from a count, or a time, and a seed to a `Report`: it prints what it did
beside what went wrong, so that a zero says how much stands behind it.  The same seed draws the
same points.
"""
