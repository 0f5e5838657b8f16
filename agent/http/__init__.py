"""What is asked for over HTTP: where calls begin and end, keys, completions, models, reports and metrics."""
