"""What staff do on the dashboard: who they are, what they see, and what is kept of it. No Flask."""
