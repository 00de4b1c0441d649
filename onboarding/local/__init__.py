"""`make run`: everything on one machine, with the sandbox or against John Deere and Leaf."""
