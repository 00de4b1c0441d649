"""What tests stand on: real processes, a real database server, a real browser."""
