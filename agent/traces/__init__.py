"""What happened when: the moments of every turn, for the log, the dashboards and metrics."""
