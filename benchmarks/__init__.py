"""Where the figures in docs/performance.md come from; `onboarding.py --help` says how."""
