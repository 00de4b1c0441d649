"""Files of growers.

file      what a file holds
verdicts  what each row of it comes to
doing     showing it, and having it done
work      the worker's part
"""
