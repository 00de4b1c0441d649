"""Where the figures in docs/performance.md come from: `python benchmarks/onboarding.py --help`."""
