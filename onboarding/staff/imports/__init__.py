"""Files of growers.

file      what a file holds
verdicts  what each row of it comes to
doing     showing it, and doing what was shown
"""
