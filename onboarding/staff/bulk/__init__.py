"""Work on many connections at once.

choice  which are meant, and what would come of it
jobs    making, stopping and reading it
work    the worker's part
"""
